"""Several files at once: threads of this process, each with its share of the cores.

While one thread computes, others decode and encode: PyTorch and Pillow let go of Python's lock. And
small images are computed faster by one core each than by all cores one after the other.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import torch

from ..image_io import ImageError, opened
from ..pipeline_scsnet import OutputSize
from .frames import MOST_FRAMES, describe_file
from .jobs import Work

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Limits(NamedTuple):
    jobs: int  # at once, each of which takes the memory of an image
    pixels: int  # that take a few seconds, for which Ctrl-C may have to wait


_OF_CPU = _Limits(4, 2**22)
_OF_ACCELERATOR = _Limits(3, 2**24)  # while one computes, one reads and one writes


def _limits_of(device: torch.device) -> _Limits:
    return _OF_CPU if device.type == "cpu" else _OF_ACCELERATOR


def automatic_jobs(device: torch.device) -> int:
    """How many files to work on at once where the network runs on `device`."""
    return min(_cores(), _limits_of(device).jobs)


def _cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_large(
    work: Work, output_size: OutputSize, device: torch.device, most_frames: int = MOST_FRAMES
) -> bool:
    """Whether a file is better off alone, with all cores and all memory: videos and large images.

    Args:
        work: its source; one that cannot be read is not large.
        output_size: how large its result will be.
        device: where the network runs.
        most_frames: files with more frames will be refused.
    """
    if work.is_video:
        return True
    try:
        frames = describe_file(work.source, most_frames).frames
        with opened(work.source) as (image, _):
            height, width = output_size.of(image)
            pixels = max(image.width * image.height, width * height)
    except ImageError:
        return False
    return frames * pixels > _limits_of(device).pixels


def done_side_by_side(
    items: Sequence[Item],
    do: Callable[[Item], Result],
    jobs: int,
    alone: Callable[[Item], bool] = lambda item: False,
    errors: tuple[type[Exception], ...] = (Exception,),
    remark: Callable[[str], None] = print,
) -> Iterator[tuple[Item, Result | Exception]]:
    """Do something with every item, with several at once.

    An item is taken up when another is done, so no more than `jobs` are held at a time. Those that
    are to be alone come last, one after the other, in the thread of the caller; and so do those for
    which memory did not suffice beside others. Where the generator is closed or interrupted, it
    takes up no more and ends when what it has begun is done.

    Args:
        items: what to work on.
        do: called in other threads, unless `jobs` is 1.
        jobs: items at once; PyTorch has as many threads less in each.
        alone: which items to do alone.
        errors: of `do` that concern one item; others are raised here and end it all.
        remark: takes a line about what an interruption waits for.

    Yields:
        Every item once with what `do` returned, or with its error, as they are done.
    """

    def attempt(item: Item) -> Result | Exception:
        try:
            return do(item)
        except errors as error:
            return error

    jobs = min(jobs, len(items))
    last = [] if jobs > 1 else list(items)

    def together() -> Iterator[Item]:
        for item in items:
            if alone(item):
                last.append(item)
            else:
                yield item

    if jobs > 1:
        for item, outcome in _done_in_threads(together(), attempt, jobs, remark):
            if isinstance(outcome, MemoryError):
                last.append(item)
            else:
                yield item, outcome
    for item in last:
        yield item, attempt(item)


def _done_in_threads(
    items: Iterable[Item], do: Callable[[Item], Result], jobs: int, remark: Callable[[str], None]
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
                running[pool.submit(do, item)] = item
            while running:
                yield from first_done()
        except BaseException:
            under_way = sum(not future.done() for future in running)
            if under_way:
                remark(f"stopping; files still under way: {under_way}")
            raise


@contextmanager
def _sharing_cores(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """`jobs` threads, each of which computes with its share of PyTorch's threads."""
    threads = torch.get_num_threads()
    share = max(1, threads // jobs)
    pool = ThreadPoolExecutor(jobs, initializer=torch.set_num_threads, initargs=(share,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        # This thread still has its number, but threads that are yet to come would have the share.
        torch.set_num_threads(threads)
