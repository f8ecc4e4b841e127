"""Works through parts, one after the other, whoever starts it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ..io.error_lines import one_line
from .attempts import MOST_DEATHS, Attempts
from .colorizer import Colorizer, Recipe
from .output import (
    Colored,
    Failed,
    Output,
    Report,
)
from .parts import Fetch, Part


@dataclass(frozen=True)
class Worker:
    """Colorizes parts and writes them.

    It can be pickled as long as it has not begun: the model is loaded at the first part.

    Args:
        recipe: what to do with images.
        output: where results go.
        run: name of this run, see `Attempts`.
        threads: of PyTorch.
        device: as for `transformers.pipeline`.
    """

    recipe: Recipe
    output: Output
    run: str
    threads: int
    device: str | None = None

    @cached_property
    def _colorize(self) -> Colorizer:
        import torch

        torch.set_num_threads(self.threads)
        return Colorizer(self.recipe, self.device)

    def __call__(self, number: int, part: Part) -> Report:
        """Work through a part, unless it is finished.

        Raises:
            ValueError: if the model cannot be loaded, or the part is another one here.
            OSError: if the input is gone, or results cannot be written.
        """
        finished = self.output.report(number)
        if finished:  # by a worker that died before it could say so
            return finished
        attempts = Attempts(self.output.notes(number), self.run)
        report = self.output.write(number, self._results(part, attempts))
        attempts.finish()
        return report

    def _results(self, part: Part, attempts: Attempts) -> Iterator[Colored | Failed]:
        for key, fetch in part.rows():
            if attempts.allow(key):
                yield self._result(key, fetch)
            else:
                yield Failed(key, f"{MOST_DEATHS} workers died while they worked on it")

    def _result(self, key: str, fetch: Fetch) -> Colored | Failed:
        colorize = self._colorize
        try:
            return colorize(key, fetch())
        except Exception as error:  # a bad row, whatever is wrong with it, must not stop the others
            return Failed(key, one_line(error))
