"""A pool of workers on Ray Data. No other file of this package knows of Ray."""

import logging
import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..io.error_lines import one_line
from ..io.extras import needs_extra
from .output import Counts
from .parts import Part
from .worker import Worker

_OBJECT_STORE_BYTES = 100 * 2**20  # only descriptions of parts and counts go through it
_TASKS_PER_WORKER = 2  # one that runs and one that waits, so that no worker waits for the driver


@dataclass(frozen=True)
class RayPool:
    """Workers, and what each of them has.

    Args:
        workers: number of workers for each GPU, or without GPUs on each machine. None for one for
            each GPU, or as many as the processors of the machine allow.
        threads: threads of each worker, and processors that are reserved for it.
        device: None for GPUs where there are any, else the best device there is.
        address: address of a Ray cluster, or "auto"; None to start Ray on this machine.
    """

    workers: int | None = None
    threads: int = 1
    device: str | None = None
    address: str | None = None

    def __post_init__(self):
        for name in ("workers", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: must be 1 or more")
        if self.device and self.device.startswith("cuda:"):
            raise ValueError(f"device={self.device}: Ray assigns the GPUs, give just cuda")

    def run(self, worker: Worker, parts: list[tuple[int, Part]]) -> Iterator[Counts]:
        """Work on numbered parts, and yield the counts of each as it finishes, in any order.

        A worker that dies is replaced, and its part is started again.

        Raises:
            ImportError: if Ray is missing.
            ConnectionError: if there is no cluster at the address.
            ValueError: if no machine has enough processors or GPUs.
            RuntimeError: if a worker cannot continue; its message is one line.
        """
        ray = _import_ray()
        local = {
            "num_cpus": max((self.workers or 0) * self.threads, os.cpu_count() or 1),
            "object_store_memory": _OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
        options = {} if self.address else local
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        ray.init(address=self.address or "local", **options, **quiet)
        try:
            machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            workers, gpus = self.size(machines)
            # Pickled here, or Ray would first try to make a column of every part.
            rows = [{"part": pickle.dumps(part)} for part in parts]
            compute = ray.data.ActorPoolStrategy(
                size=min(workers, len(rows)), max_tasks_in_flight_per_actor=_TASKS_PER_WORKER
            )
            results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
                _Actor,
                fn_constructor_args=(worker,),
                compute=compute,
                num_cpus=self.threads,
                num_gpus=gpus,
            )
            for result in results.iter_rows():
                if result["error"]:
                    raise RuntimeError(result["error"])
                yield Counts(result["done"], result["failed"])
        finally:
            ray.shutdown()

    def size(self, machines: list[dict[str, float]]) -> tuple[int, float]:
        """Return the number of workers in all, and the share of a GPU that each of them gets.

        Args:
            machines: "CPU" and "GPU" of each machine.

        Raises:
            ValueError: if there is no place for a worker.
        """
        gpus = [int(machine.get("GPU", 0)) for machine in machines]
        on_gpus = any(gpus) and self.device in (None, "cuda")
        if self.device == "cuda" and not on_gpus:
            raise ValueError("device=cuda: Ray finds no GPU")
        workers = 0
        for machine, devices in zip(machines, gpus, strict=True):
            room = int(machine.get("CPU", 0)) // self.threads
            wanted = devices * (self.workers or 1) if on_gpus else self.workers or room
            workers += min(room, wanted)
        if workers == 0:
            raise ValueError(f"threads={self.threads}: no machine has so many processors")
        # Ray rounds to four places: if the share were rounded up, the last worker would not fit.
        share = 10_000 // (self.workers or 1) / 10_000
        return workers, share if on_gpus else 0


class _Actor:
    """A worker as Ray Data calls it."""

    def __init__(self, worker: Worker):
        self._worker = worker

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number, part = pickle.loads(row["part"])
        try:
            counts = self._worker(number, part)
        except (OSError, RuntimeError, ValueError) as error:
            # Raised here, Ray would turn it into a page of traceback.
            return {"done": 0, "failed": 0, "error": one_line(error)}
        return {**counts._asdict(), "error": ""}


def _import_ray():
    # Both are read when Ray is imported, and by the processes that it starts.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is reported to anyone
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with needs_extra("ray", "whole data sets"):
        import ray.data
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray
