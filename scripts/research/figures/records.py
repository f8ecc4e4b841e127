"""Files that `scripts/benchmark.py --output` wrote."""

import json
from pathlib import Path

from ..benchmark.interleaved import Measurements


def read_measurements(record: str | Path, command: str) -> dict[str, Measurements]:
    """Read the measurements of `scripts/benchmark.py COMMAND --output RECORD`.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is no record of that command with the memory of every row.
    """
    text = Path(record).read_text()
    try:
        content = json.loads(text)
        values = content["measurements"]
        rows, measured = values["wall"].keys(), values["memory"].keys()
        complete = content["command"] == command and rows == measured and len(rows) > 0
    except (AttributeError, KeyError, TypeError, ValueError):
        complete = False
    if not complete:
        raise ValueError(
            f"{record}: not a record of `scripts/benchmark.py {command} --output` with the memory "
            "of every row"
        )
    return values
