"""How much memory is free, and what to say when it does not suffice."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

REMEDY = "free memory, or ask for a smaller result (scale, size or long_side)"
_SYSTEM = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")  # of a container, version 2
_KEPT = 31 * 2**20  # bytes; glibc takes nothing from the size of a freed block of 32 MiB or more


def free_memory(device: torch.device) -> float:
    """Bytes that can be had on a device without taking them from others; infinity if unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return math.inf
    return min(_of_system(), _of_group())


def _of_system() -> float:
    try:
        return int(re.search(r"MemAvailable:\s+(\d+) kB", _SYSTEM.read_text())[1]) * 1024
    except (OSError, TypeError):
        return math.inf


def _of_group() -> float:
    try:
        limit, used, statistics = (
            (_GROUP / f"memory.{name}").read_text() for name in ("max", "current", "stat")
        )
        cached = re.search(r"^inactive_file (\d+)$", statistics, re.MULTILINE)[1]
        return max(0, int(limit) - int(used) + int(cached))
    except (OSError, ValueError, TypeError):  # the limit of a group without one is "max"
        return math.inf


def keep_freed_memory() -> None:
    """Have this process keep up to 62 MiB that it frees, for what it allocates next.

    glibc gives freed memory back to the system where there is more than twice the largest block
    that was ever freed, and to get it again costs a fault a page: a sixth of a small call. So one
    block is freed here, of which no page was ever there. Nothing happens with other allocators.
    """
    torch.empty(_KEPT, dtype=torch.uint8)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory did not suffice, of Python, an accelerator or the CPU."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    # What the allocator of the CPU raises is a RuntimeError like any other.
    return known or bool(re.search("can't allocate memory|not enough memory", str(error)))


@contextmanager
def clear_memory_errors(purpose: str) -> Iterator[None]:
    """Raise MemoryError that says what to do where memory does not suffice for `purpose`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error) or REMEDY in str(error):
            raise
        raise MemoryError(f"not enough memory {purpose}: {REMEDY}") from error
