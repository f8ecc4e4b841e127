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
from scsnet_hf.training import PRESETS

from .interleaved import Measurements, interleave
from .training_step import WARM_UP_STEPS, StepSettings, step_measurements

if TYPE_CHECKING:
    import datasets

_PREFETCHED = 2  # batches that a loader process prepares ahead, PyTorch's default


def measure_loader(
    data: Sequence[str],
    preset: str,
    network: str | None,
    batch_size: int | None,
    source_size: int | None,
    workers: Sequence[int],
    batches: int,
    runs: int,
    loader_only: bool,
    **step: object,
) -> dict[str, Measurements]:
    """Measure how fast the loader delivers images, and how fast training consumes them.

    Args:
        data: names of one source, see `resolve_source`.
        preset: of training, whose samples are made.
        network: preset of `SCSNetConfig`; None for that of the preset.
        batch_size: images of a step; None for that of the preset.
        source_size: side of source, reference and labels in pixels; None for those of the preset.
        workers: numbers of loader processes.
        batches: steps, and batches of a loader process, in each run.
        runs: of each.
        loader_only: measure no training steps.
        **step: other arguments of `StepSettings`.

    Returns:
        Images/s of `loader` (by loader processes) and `step` (by loss terms); `sample`, seconds
        of its stages and of the whole stream, which includes all of them but `collate`.

    Raises:
        ValueError, OSError: as `resolve_source` does.
    """
    own = PRESETS[preset]
    size = batch_size or own.batch_size
    settings = StepSettings(preset, network or own.network, size, **step)
    source = resolve_source(data if len(data) > 1 else data[0])
    pairs = own.pairs
    if source_size:
        names = ("source_size", "label_size", "reference_size")
        pairs = dataclasses.replace(pairs, **dict.fromkeys(names, source_size))
    count = batches * size
    stream = training_stream(
        stream_photographs(source),
        pairs,
        selection=source.selection,
        block_size=count,  # so that every measurement includes the reading of one block
    )
    groups = {
        "loader": [
            partial(_loader_speed, stream, size, number, batches)
            for number in _available_workers(stream, workers)
        ],
        "sample": [
            partial(_stage_times, _start(_encoded_images(source)), pairs, size, count),
            partial(_stream_time, _start(iter(stream)), count),
        ],
    }
    if not loader_only:
        samples = iter(stream)
        taken = [collate(list(islice(samples, size))) for _ in range(WARM_UP_STEPS + batches)]
        groups["step"] = step_measurements(settings, taken)
    return interleave(groups, runs)


def _available_workers(stream: "datasets.IterableDataset", wanted: Sequence[int]) -> list[int]:
    """The numbers of loader processes for which there are enough shards."""
    usable = sorted({min(workers, stream.num_shards) for workers in wanted})
    if max(wanted) > usable[-1]:
        sys.stderr.write(
            f"the data have {stream.num_shards} shards, so at most as many loader processes\n"
        )
    return usable


def _loader_speed(
    stream: "datasets.IterableDataset", batch_size: int, workers: int, batches: int
) -> dict[str, float]:
    """Images/s in the long run, measured once the loader processes are at work."""
    loader = iter(training_loader(stream, batch_size, workers))
    batches *= max(1, workers)  # the batches of several processes arrive together
    for _ in range(1 + _PREFETCHED * workers):
        next(loader)
    start = time.perf_counter()
    for _ in range(batches):
        next(loader)
    return {str(workers): batches * batch_size / (time.perf_counter() - start)}


def _start(iterator: Iterator[dict]) -> Iterator[dict]:
    """Take the first item off an iterator, so that its files are open."""
    next(iterator)
    return iterator


def _encoded_images(source: DataSource) -> Iterator[dict]:
    """Repeat the `image` column of the rows of a source endlessly."""
    for row in stream_photographs(source).repeat(None):
        yield row["image"]


def _stage_times(
    images: Iterator[dict], make_pair: PairMaker, batch_size: int, count: int
) -> dict[str, float]:
    """Seconds per sample of the stages in one process, which are called one by one."""
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
            continue  # the stream skips it too
    for first in range(0, count, batch_size):
        timed("collate", collate, samples[first : first + batch_size])
    return {stage: total / count for stage, total in seconds.items()}


def _stream_time(samples: Iterator[dict], count: int) -> dict[str, float]:
    """Seconds per sample of the whole stream, in one process."""
    start = time.perf_counter()
    for _ in islice(samples, count):
        pass
    return {"stream": (time.perf_counter() - start) / count}
