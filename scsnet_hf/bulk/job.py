"""A job: a data set in, a folder of results out."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from .colorizer import Colorizer, Recipe
from .output import Output, Report
from .parts import fingerprint
from .pool import Pool
from .sources import Source
from .worker import Worker


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Args:
        source: the input.
        recipe: what to do with its images.
        output: where results go; of an earlier run of the same job, to go on with it.
        rows_per_part: rows that are written in one go, and lost if a worker dies.
    """

    source: Source
    recipe: Recipe
    output: Output
    rows_per_part: int = 64


@dataclass
class Summary:
    """How many rows have a result, how many failed, and how many there are in all."""

    rows: int
    done: int = 0
    failed: int = 0

    @property
    def finished(self) -> int:
        """Rows of finished parts."""
        return self.done + self.failed

    def add(self, report: Report) -> None:
        """Count a part."""
        self.done += report.done
        self.failed += report.failed


def run(job: Job, pool: Pool, on_part: Callable[[Summary], None] = lambda summary: None) -> Summary:
    """Do a job, or what is left of it.

    Every row ends in exactly one place, the results or the table of errors, whichever processes
    were killed on the way.

    Args:
        job: what is to be done.
        pool: who does it.
        on_part: called at the beginning, and after every finished part.

    Raises:
        ValueError, ImportError, ConnectionError, RuntimeError: see `Source.parts`, `Output.begin`,
            `Colorizer` and `Pool.run`. Finished parts stay.
        OSError: if something cannot be read or written.
    """
    parts = job.source.parts(job.rows_per_part, leave_out=job.output.folder)
    summary = Summary(sum(map(len, parts)))
    Colorizer(job.recipe, "cpu")  # raises what is wrong, before anything is written or started
    job.output.begin(
        {
            "input": f"{summary.rows} rows, SHA-256 {fingerprint(parts)}",
            "rows_per_part": job.rows_per_part,
            "output": type(job.output).__name__,
            **job.recipe.describe(),
        }
    )
    reports = [job.output.report(number) for number in range(len(parts))]
    for report in filter(None, reports):
        summary.add(report)
    on_part(summary)
    left = [(number, part) for number, part in enumerate(parts) if reports[number] is None]
    if left:
        worker = Worker(job.recipe, job.output, uuid.uuid4().hex, pool.threads, pool.device)
        for report in pool.run(worker, left):
            summary.add(report)
            on_part(summary)
    job.output.finish(len(parts))
    return summary
