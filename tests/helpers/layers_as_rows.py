"""Rows of a benchmark that cost next to nothing, where a fresh process can import them."""

import time

import torch
from torch import nn

from research.benchmark.interleaved import Plan
from research.benchmark.profiling import Workload


def plan_layers(row: str, side: int) -> Plan:
    """Layer "a", layer "b" that also sleeps for 0.1 s, or, as "ab", one after the other."""
    return {name: {"a": _quick, "b": _sleepy}[name](side) for name in row}


def _quick(side: int):
    layer = nn.Conv2d(1, 3, 1, bias=False)
    return lambda: Workload.from_network(layer, torch.rand(1, 1, side, side))


def _sleepy(side: int):
    layer = nn.Conv2d(1, 5, 1, bias=False)
    layer.register_forward_hook(lambda *_: time.sleep(0.1))
    return lambda: Workload.from_network(layer, torch.rand(1, 1, side, side))
