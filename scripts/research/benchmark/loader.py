"""Does the loader keep up with training?"""

import dataclasses
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from scsnet_hf.data import (
    DataSource,
    PairMaker,
    collate,
    open_photograph,
    resolve_source,
    stream_photographs,
    training_loader,
    training_stream,
)

from .rounds import Repeats, in_turn
from .training_step import (
    PRESET,
    WARM_UP_STEPS,
    StepSetting,
    step_measures,
)

if TYPE_CHECKING:
    import datasets

PREFETCHED = 2  # batches that a loader process makes ahead, PyTorch's default


def measure_loader(
    data: Sequence[str],
    source_size: int,
    workers: Sequence[int],
    batches: int,
    repeats: int,
    step: StepSetting,
) -> dict[str, Repeats]:
    """How fast images come, and how fast training takes them in.

    Args:
        data: names of one source, see `resolve_source`.
        source_size: side of source, reference and labels in pixels.
        workers: numbers of loader processes.
        batches: steps, and batches of a loader process, in a repeat.
        repeats: how often each is measured.
        step: of training.

    Returns:
        Images/s of `loader` (by loader processes) and `step` (by loss terms); `sample`, seconds
        of its stages and of the whole stream, which all but `collate` are part of.

    Raises:
        ValueError, OSError: as `resolve_source` does.
    """
    source = resolve_source(data if len(data) > 1 else data[0])
    pairs = dataclasses.replace(
        PRESET.pairs, source_size=source_size, label_size=source_size, reference_size=source_size
    )
    size, count = step.batch_size, batches * step.batch_size
    stream = training_stream(
        stream_photographs(source),
        pairs,
        selection=source.selection,
        block_size=count,  # so that every measurement holds the reading of one block
    )
    samples = iter(stream)
    of_steps = [collate(list(islice(samples, size))) for _ in range(WARM_UP_STEPS + batches)]
    groups = {
        "loader": [
            partial(loader_speed, stream, size, number, batches)
            for number in available_workers(stream, workers)
        ],
        "sample": [
            partial(stage_times, started(undecoded(source)), pairs, size, count),
            partial(stream_time, started(iter(stream)), count),
        ],
        "step": step_measures(step, of_steps),
    }
    return in_turn(groups, repeats)


def available_workers(stream: "datasets.IterableDataset", wanted: Sequence[int]) -> list[int]:
    """The numbers of loader processes that there are shards for."""
    usable = sorted({min(workers, stream.num_shards) for workers in wanted})
    if max(wanted) > usable[-1]:
        sys.stderr.write(
            f"the data have {stream.num_shards} shards, so at most as many loader processes\n"
        )
    return usable


def loader_speed(
    stream: "datasets.IterableDataset", batch_size: int, workers: int, batches: int
) -> dict[str, float]:
    """Images/s in the long run, so from when the loader processes are at work."""
    loader = iter(training_loader(stream, batch_size, workers))
    batches *= max(1, workers)  # a number for each, since their batches come together
    for _ in range(1 + PREFETCHED * workers):
        next(loader)
    start = time.perf_counter()
    for _ in range(batches):
        next(loader)
    return {str(workers): batches * batch_size / (time.perf_counter() - start)}


def started(iterator: Iterator[dict]) -> Iterator[dict]:
    """The iterator after its first item, so with its files open."""
    next(iterator)
    return iterator


def undecoded(source: DataSource) -> Iterator[dict]:
    """The `image` column of the rows of a source, again and again."""
    for row in stream_photographs(source).repeat(None):
        yield row["image"]


def stage_times(
    images: Iterator[dict], make_pair: PairMaker, batch_size: int, count: int
) -> dict[str, float]:
    """Seconds per sample of the stages in one process, by calling them one by one."""
    seconds = defaultdict(float)

    def timed(stage: str, function: Callable, *arguments):
        start = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            seconds[stage] += time.perf_counter() - start

    samples, rng = [], random.Random(0)
    while len(samples) < count:
        encoded = timed("read", next, images)
        try:
            image = timed("decode", open_photograph, encoded)
            samples.append(timed("cut", make_pair, image, rng))
        except (OSError, ValueError):
            continue  # also the stream leaves it out
    for first in range(0, count, batch_size):
        timed("collate", collate, samples[first : first + batch_size])
    return {stage: total / count for stage, total in seconds.items()}


def stream_time(samples: Iterator[dict], count: int) -> dict[str, float]:
    """Seconds per sample of the stream as a whole, in one process."""
    start = time.perf_counter()
    for _ in islice(samples, count):
        pass
    return {"stream": (time.perf_counter() - start) / count}
