"""Files that `scripts/benchmark.py --output` has written."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .rounds import Repeats


@contextmanager
def repeats_of(record: str | Path, command: str) -> Iterator[dict[str, Repeats]]:
    """What a record of `benchmark.py COMMAND` holds, for a block that takes values out of it.

    Raises:
        OSError: if there is no such file.
        ValueError: if it is no such record: if the block does not find what it looks for.
    """
    try:
        yield json.loads(Path(record).read_text())["repeats"]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{record}: not a record of `scripts/benchmark.py {command} --output` with the memory "
            "of every row"
        ) from error
