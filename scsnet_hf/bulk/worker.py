"""Colorizes parts, one after the other."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..io.error_lines import one_line
from ..io.run_settings import write_json
from .colorizer import Colorizer, ColorizerSettings
from .output import Colorized, Counts, Failed, Output
from .parts import InputError, Part

MAX_CRASHES = 3


class CrashLog:
    """A file with the row that a worker is at, and how often rows have killed a worker.

    An image can kill its worker, if it takes too much memory. The next worker at the same part sees
    which row that was, and skips a row that did it too often.

    Args:
        path: the file.
        run_id: name of this run; other runs may have been killed on purpose and do not count.
    """

    def __init__(self, path: Path, run_id: str):
        self._path, self._run_id = path, run_id
        self._crashes: dict[str, int] = {}
        log = json.loads(path.read_text()) if path.exists() else {"run": None}
        if log["run"] == run_id:
            self._crashes = log["crashes"]
            self._crashes[log["row"]] = self._crashes.get(log["row"], 0) + 1

    def start_row(self, key: str) -> bool:
        """Write down that a row starts; return False if it killed too many workers."""
        if self._crashes.get(key, 0) >= MAX_CRASHES:
            return False
        log = {"run": self._run_id, "row": key, "crashes": self._crashes}
        write_json(self._path, log, indent=None)
        return True

    def remove(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Worker:
    """Colorizes parts and writes the results.

    A worker can be pickled until its first part, at which it loads the model.

    Args:
        settings: settings of the colorizer.
        output: where results are written.
        run_id: name of this run, see `CrashLog`.
        threads: number of PyTorch's threads.
        device: device as for `transformers.pipeline`.
    """

    settings: ColorizerSettings
    output: Output
    run_id: str
    threads: int
    device: str | None = None

    @cached_property
    def _colorizer(self) -> Colorizer:
        import torch

        torch.set_num_threads(self.threads)
        return Colorizer(self.settings, self.device)

    def __call__(self, number: int, part: Part) -> Counts:
        """Colorize a part, unless it is finished.

        Raises:
            ValueError: if the model cannot be loaded, or the input has changed.
            OSError: if the input is missing, or results cannot be written.
        """
        finished = self.output.counts(number)
        if finished:  # by a worker that died before it could report so
            return finished
        crash_log = CrashLog(self.output.crash_log(number), self.run_id)
        counts = self.output.write(number, self._results(part, crash_log))
        crash_log.remove()
        return counts

    def _results(self, part: Part, crash_log: CrashLog) -> Iterator[Colorized | Failed]:
        colorizer = self._colorizer
        for index, key in enumerate(part.keys):
            if not crash_log.start_row(key):
                yield Failed(key, f"{MAX_CRASHES} workers died while working on it")
                continue
            try:
                yield colorizer(key, part.read(index))
            except InputError:
                raise
            except Exception as error:  # whatever is wrong with one row, the others are colorized
                yield Failed(key, one_line(error))
