"""Files that are there whole or not at all."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_PREFIX = ".scsnet-"  # of files that are being written


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to instead, which becomes `path` at the end of the block.

    It lies in the same folder, which is made, and has the same suffix. An error in the block, or an
    interruption, leaves `path` as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{path.suffix}")
    try:
        temporary.open("xb").close()
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
