"""Files that appear under their name only when they are complete."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_PREFIX = ".scsnet-"  # of files that are being written


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to `path` at the end of the block.

    The temporary file is in the same folder, which is created if needed, and has the same suffix.
    After an error or an interruption in the block `path` is as it was before.

    Args:
        path: the file to write or replace.

    Yields:
        The path of an empty file.

    Raises:
        OSError: if the file cannot be written or renamed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{path.suffix}")
    try:
        temporary.open("xb").close()
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
