"""A job: a data set in, a folder of results out."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from .colorizer import Colorizer, ColorizerSettings
from .output import Output
from .parts import fingerprint
from .ray_pool import RayPool
from .source import Source
from .worker import Worker


@dataclass(frozen=True)
class Job:
    """A data set to colorize.

        Job(Source(("album",)), ColorizerSettings(), FolderOutput(Path("colorized")))

    Args:
        source: the input.
        settings: settings of the colorizer.
        output: where results are written; the folder of an earlier run of the same job to resume.
        rows_per_part: rows that are written in one go, and lost if a worker dies.
    """

    source: Source
    settings: ColorizerSettings
    output: Output
    rows_per_part: int = 64


class Progress(NamedTuple):
    """How many rows there are in all, how many have a result, and how many failed."""

    rows: int
    done: int = 0
    failed: int = 0


def run_job(
    job: Job, pool: RayPool, on_part: Callable[[Progress], None] = lambda progress: None
) -> Progress:
    """Run a job, or what is left of it.

    Every row ends in exactly one place, the results or the table of errors, whichever processes
    were killed on the way.

    Args:
        job: the job.
        pool: the workers.
        on_part: called at the start, and after every finished part.

    Raises:
        ValueError, ImportError, ConnectionError, RuntimeError: see `Source.parts`, `Output.start`,
            `Colorizer` and `RayPool.run`. Finished parts stay.
        OSError: if something cannot be read or written.
    """
    parts = job.source.parts(job.rows_per_part, leave_out=job.output.folder)
    rows = sum(map(len, parts))
    Colorizer(job.settings, "cpu")  # raises what is wrong, before anything is written or started
    job.output.start(
        {
            "input": f"{rows} rows, SHA-256 {fingerprint(parts)}",
            "rows_per_part": job.rows_per_part,
            "output": type(job.output).__name__,
            **job.settings.as_json(),
        }
    )
    counts = {number: job.output.counts(number) for number in range(len(parts))}
    finished = [count for count in counts.values() if count]
    progress = Progress(rows, *map(sum, zip((0, 0), *finished, strict=True)))
    on_part(progress)
    left = [(number, parts[number]) for number, count in counts.items() if count is None]
    if left:
        worker = Worker(job.settings, job.output, uuid.uuid4().hex, pool.threads, pool.device)
        for done, failed in pool.run(worker, left):
            progress = Progress(rows, progress.done + done, progress.failed + failed)
            on_part(progress)
    job.output.finish(len(parts))
    return progress
