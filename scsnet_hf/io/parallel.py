"""Several files at once: threads of this process, each with its share of the cores.

While one thread computes, others decode and encode: PyTorch and Pillow release Python's lock. And
small images are computed faster by one core each than by all cores one after the other.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, TypeVar

import torch

from .image_file import ImageFile

Item = TypeVar("Item")
Result = TypeVar("Result")


class NotAloneError(Exception):
    """An item should be processed alone, with all cores and all memory."""


class _Limits(NamedTuple):
    jobs: int  # at once, each of which takes the memory of an image
    pixels: int  # that take a few seconds, for which Ctrl-C may have to wait


_CPU_LIMITS = _Limits(4, 2**22)
_ACCELERATOR_LIMITS = _Limits(3, 2**24)  # while one computes, one reads and one writes


def _limits_for(device: torch.device) -> _Limits:
    return _CPU_LIMITS if device.type == "cpu" else _ACCELERATOR_LIMITS


def automatic_jobs(device: torch.device) -> int:
    """Return how many files to process at once where the network runs on `device`."""
    return min(_cores(), _limits_for(device).jobs)


def _cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_large(source: ImageFile, output_size: tuple[int, int], device: torch.device) -> bool:
    """Return whether an image file is better processed alone.

    Args:
        source: the file.
        output_size: (Ho, Wo) of a result.
        device: where the network runs.
    """
    height, width = output_size
    pixels = max(source.width * source.height, width * height)
    return source.frame_count * pixels > _limits_for(device).pixels


def run_parallel(
    items: Sequence[Item],
    run: Callable[[Item, bool], Result],
    jobs: int,
    errors: tuple[type[Exception], ...] = (Exception,),
    on_warning: Callable[[str], None] = print,
) -> Iterator[tuple[Item, Result | Exception]]:
    """Process items, several at once.

    An item starts when another one is done, so at most `jobs` are held at a time. Items that raise
    NotAloneError or MemoryError beside others are processed again at the end, one after the other,
    in the thread of the caller. When the generator is closed or interrupted, it starts no more
    items and ends when those in progress are done.

    Args:
        items: what to process.
        run: called with an item and whether it is processed alone; in other threads, unless `jobs`
            is 1.
        jobs: items at once, between which PyTorch's threads are divided.
        errors: exceptions of `run` that concern one item; others are raised here and end it all.
        on_warning: called with one line about what an interruption waits for.

    Yields:
        Every item once with what `run` returned, or with its error, as they are done.
    """

    def attempt(item: Item, alone: bool) -> Result | Exception:
        try:
            return run(item, alone)
        except (NotAloneError, *errors) as error:
            return error

    jobs = min(jobs, len(items))
    last = [] if jobs > 1 else list(items)
    if jobs > 1:
        beside_others = partial(attempt, alone=False)
        for item, outcome in _run_in_threads(items, beside_others, jobs, on_warning):
            if isinstance(outcome, NotAloneError | MemoryError):
                last.append(item)
            else:
                yield item, outcome
    for item in last:
        yield item, attempt(item, alone=True)


def _run_in_threads(
    items: Iterable[Item],
    run: Callable[[Item], Result],
    jobs: int,
    on_warning: Callable[[str], None],
) -> Iterator[tuple[Item, Result]]:
    running: dict[Future, Item] = {}

    def first_done() -> Iterator[tuple[Item, Result]]:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in [future for future in running if future in done]:
            yield running.pop(future), future.result()

    with _sharing_cores(jobs) as pool:
        try:
            for item in items:
                if len(running) == jobs:
                    yield from first_done()
                running[pool.submit(run, item)] = item
            while running:
                yield from first_done()
        except BaseException:
            in_progress = sum(not future.done() for future in running)
            if in_progress:
                on_warning(f"stopping; files still in progress: {in_progress}")
            raise


@contextmanager
def _sharing_cores(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of `jobs` threads, each with its share of PyTorch's threads."""
    threads = torch.get_num_threads()
    share = max(1, threads // jobs)
    pool = ThreadPoolExecutor(jobs, initializer=torch.set_num_threads, initargs=(share,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        # This thread still has its number, but later threads would start with the share.
        torch.set_num_threads(threads)
