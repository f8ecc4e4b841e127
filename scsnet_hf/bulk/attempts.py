"""Rows that kill the process that works on them, as an image can that takes too much memory.

A worker notes on disk which row it is at. Who begins the same part after it died knows from that
what it died of, and leaves a row out that was the last one too often.
"""

import json
from pathlib import Path

from ..io.run_settings import write_json

MOST_DEATHS = 3


class Attempts:
    """The notes on one part.

    Args:
        path: file of the notes.
        run: notes of another run do not count; that one may have been killed on purpose.
    """

    def __init__(self, path: Path, run: str):
        self._path, self._run = path, run
        self._deaths = self._read()

    def _read(self) -> dict[str, int]:
        if not self._path.exists():
            return {}
        notes = json.loads(self._path.read_text())
        if notes["run"] != self._run:
            return {}
        last = notes["at"]
        return {**notes["deaths"], last: notes["deaths"].get(last, 0) + 1}

    def allow(self, key: str) -> bool:
        """Note that a row begins, unless too many workers died of it."""
        if self._deaths.get(key, 0) >= MOST_DEATHS:
            return False
        write_json(self._path, {"run": self._run, "at": key, "deaths": self._deaths}, indent=None)
        return True

    def finish(self) -> None:
        """Remove the notes."""
        self._path.unlink(missing_ok=True)
