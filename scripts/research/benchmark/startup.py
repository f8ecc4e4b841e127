"""The whole command `scsnet colorize` for one small photograph: process, imports, model, result."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from .interleaved import Measurements, interleave

REPOSITORY = Path(__file__).parents[3]
# How threads wait and how many there are should be up to the command.
_THREAD_VARIABLES = ("OMP_", "GOMP_", "KMP_", "MKL_")


def measure_startup(
    rows: Sequence[str], runs: int, image: Path, scale: float
) -> dict[str, Measurements]:
    """Measure what the command takes, each time as a new process.

    Args:
        rows: folders with the package, for example another version of this repository, which is
            measured if there are none.
        runs: of every row.
        image: the photograph.
        scale: magnification.

    Returns:
        By row `cpu` and `wall`, seconds of every run.

    Raises:
        ValueError: if the command fails.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(_THREAD_VARIABLES)
    }
    with TemporaryDirectory() as results:
        words = ["colorize", str(image.resolve()), "--scale", str(scale)]
        words += ["-o", str(Path(results) / "result.png")]

        def run(folder: Path) -> dict[str, float]:
            start, before = time.perf_counter(), _cpu_seconds_of_children()
            finished = subprocess.run(
                [sys.executable, "-m", "scsnet_hf", *words],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
            )
            if finished.returncode:
                raise ValueError(f"{folder}: {finished.stderr.strip()}")
            return {
                "cpu": _cpu_seconds_of_children() - before,
                "wall": time.perf_counter() - start,
            }

        folders = [Path(row).resolve() for row in rows] or [REPOSITORY]
        by_folder = interleave(
            {str(folder): [lambda folder=folder: run(folder)] for folder in folders}, runs
        )
    return {
        quantity: {folder: values[quantity] for folder, values in by_folder.items()}
        for quantity in ("cpu", "wall")
    }


def _cpu_seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
