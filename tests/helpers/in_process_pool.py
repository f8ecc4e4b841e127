"""A pool that works in this process, in place of `RayPool`."""

from collections.abc import Iterator

import torch

from scsnet_hf.bulk.output import Counts


class InProcessPool:
    """Works on the parts of a job, one after the other.

    Args:
        order: function that returns the parts in another order.
        max_parts: number of parts after which the pool breaks; None for all.
    """

    threads, device = 1, "cpu"

    def __init__(self, order=list, max_parts: int | None = None):
        self.order, self.max_parts = order, max_parts
        self.started: list[int] = []

    def run(self, worker, parts) -> Iterator[Counts]:
        threads = torch.get_num_threads()
        for number, part in self.order(parts)[: self.max_parts]:
            self.started.append(number)
            counts = worker(number, part)
            torch.set_num_threads(threads)
            yield counts
        if self.max_parts is not None:
            raise RuntimeError("broken")
