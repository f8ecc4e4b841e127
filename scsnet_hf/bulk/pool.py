"""A pool of workers on Ray Data. Nothing else in this package knows of Ray."""

import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..io.error_lines import one_line
from .output import Report
from .parts import Part
from .worker import Worker

_OBJECT_STORE = 100 * 2**20  # bytes; only descriptions of parts and reports go through it
_TASKS_PER_ACTOR = 2  # one that runs and one that waits, so that nobody waits for the driver


@dataclass(frozen=True)
class Pool:
    """How many workers there are, and what each of them has.

    Args:
        workers: for each GPU; without GPUs on each machine. None for one for each GPU, or as many
            as the processors of the machine take.
        threads: of each worker, which as many processors are set aside for.
        device: None for GPUs where there are any, else the best there is.
        address: of a Ray cluster, or "auto"; None for a Ray of this job's own on this machine.
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
            raise ValueError(f"device={self.device}: Ray hands out the GPUs, give just cuda")

    def run(self, worker: Worker, parts: Iterable[tuple[int, Part]]) -> Iterator[Report]:
        """Work through numbered parts; yields the report of each, in whatever order they finish.

        A worker that dies is replaced, and its part begun again.

        Raises:
            ImportError: if Ray is missing.
            ConnectionError: if there is no cluster at the address.
            ValueError: if no machine has enough processors or GPUs.
            RuntimeError: if a worker cannot go on; what it says stands in one line.
        """
        ray = _import_ray()
        self._connect(ray)
        try:
            yield from self._reports(ray, worker, list(parts))
        finally:
            ray.shutdown()

    def _connect(self, ray) -> None:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address:
            ray.init(address=self.address, **quiet)
            return
        wanted = (self.workers or 0) * self.threads
        available = os.cpu_count() or 1
        ray.init(
            address="local",
            num_cpus=max(wanted, available),
            object_store_memory=_OBJECT_STORE,
            include_dashboard=False,
            **quiet,
        )

    def _reports(self, ray, worker: Worker, parts: list[tuple[int, Part]]) -> Iterator[Report]:
        resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        actors, gpus = self.size(resources)
        # Pickled here, or Ray would try every part as a column of its own first.
        rows = [{"part": pickle.dumps(part)} for part in parts]
        reports = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Actor,
            fn_constructor_args=(worker,),
            compute=ray.data.ActorPoolStrategy(
                size=min(actors, len(rows)), max_tasks_in_flight_per_actor=_TASKS_PER_ACTOR
            ),
            num_cpus=self.threads,
            num_gpus=gpus,
        )
        for report in reports.iter_rows():
            if report["problem"]:
                raise RuntimeError(report["problem"])
            yield Report(report["done"], report["failed"])

    def size(self, machines: list[dict[str, float]]) -> tuple[int, float]:
        """How many workers there are in all, and which share of a GPU each has.

        Args:
            machines: "CPU" and "GPU" of each machine.

        Raises:
            ValueError: if there are none.
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
        # Ray rounds to four places: rounded up, the last worker would not fit.
        share = 10_000 // (self.workers or 1) / 10_000
        return workers, share if on_gpus else 0


class _Actor:
    """A worker as Ray Data calls it."""

    def __init__(self, worker: Worker):
        self._worker = worker

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number, part = pickle.loads(row["part"])
        try:
            report = self._worker(number, part)
        except (OSError, RuntimeError, ValueError) as error:
            # In Ray's hands, it would become a page of traceback.
            return {"done": 0, "failed": 0, "problem": one_line(error)}
        return {**report._asdict(), "problem": ""}


def _import_ray():
    # Both are read when Ray is imported, and by the processes that it starts.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is reported to anyone
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray.data
    except ImportError as error:
        raise ImportError("bulk colorization needs Ray Data: pip install '.[ray]'") from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray
