"""The software and hardware that results depend on."""

import os
import platform
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import torch


def software_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python and of installed packages by name."""
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def describe_hardware() -> dict[str, object]:
    """Describe the processor, the cores and threads in use, and the accelerator."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _cpu_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
