"""Stands in for a pool of workers on Ray."""

from collections.abc import Iterator

import torch

from scsnet_hf.bulk.output import Report


class WorkHere:
    """Works through the parts of a job in this process.

    Args:
        order: a function that puts them into order.
        most: parts until it breaks off; None for all.
    """

    threads, device = 1, "cpu"

    def __init__(self, order=list, most: int | None = None):
        self.order, self.most = order, most
        self.begun: list[int] = []

    def run(self, worker, parts) -> Iterator[Report]:
        threads = torch.get_num_threads()
        for number, part in self.order(parts)[: self.most]:
            self.begun.append(number)
            report = worker(number, part)
            torch.set_num_threads(threads)
            yield report
        if self.most is not None:
            raise RuntimeError("broken off")
