"""How much memory is free."""

import math
import re
from pathlib import Path

import torch

_SYSTEM = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")  # of a container, version 2


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
