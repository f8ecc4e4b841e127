"""Costs of one function: time, multiply-adds and memory."""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

Run = Callable[[], object]

_MIB = 2**20
_MATRIX_SIDE = 2048
_MATRIX_PRODUCTS = 3


class Workload(NamedTuple):
    """Something to measure."""

    run: Run  # one forward pass or call
    parameters: int

    @classmethod
    def from_network(
        cls, network: nn.Module, *inputs: object, parameters: int | None = None
    ) -> "Workload":
        """Prepare a forward pass without gradients, on the device of the inputs.

        Weights and feature maps are in channels_last format, which is faster on CPUs and on GPUs
        with tensor cores.

        Args:
            network: in evaluation mode.
            *inputs: of its call; images are (B, C, H, W).
            parameters: how many, where only a part of the network is used; all by default.
        """
        if parameters is None:
            parameters = sum(values.numel() for values in network.parameters())
        device = next(value.device for value in inputs if torch.is_tensor(value))
        network = network.requires_grad_(False).to(device, memory_format=torch.channels_last)
        inputs = [
            value.contiguous(memory_format=torch.channels_last) if torch.is_tensor(value) else value
            for value in inputs
        ]
        return cls(torch.inference_mode()(lambda: network(*inputs)), parameters)


class Seconds(NamedTuple):
    """Time of one run."""

    cpu: float  # user and system time of all threads of this process
    wall: float


def clock(run: Run) -> Seconds:
    """Measure the time of one run, on a GPU until it has finished."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    _wait_for_gpu()
    return Seconds(time.process_time() - cpu, time.perf_counter() - wall)


def multiply_adds(run: Run) -> float:
    """Count the multiply-adds of convolutions and matrix products in one run, in 10^9 (GMACs)."""
    # Fused attention is not counted on every device; the two matrix products in it are.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2 / 1e9


def matrix_rate() -> float:
    """Measure GFLOP/s (2 FLOPs per multiply-add) of a product of large float32 matrices.

    The best of a few products, on the GPU if one is in use. Convolutions may be faster there, where
    PyTorch lets them use TF32.
    """
    device = "cuda" if torch.cuda.is_initialized() else "cpu"
    matrix = torch.rand(_MATRIX_SIDE, _MATRIX_SIDE, device=device)
    seconds = min(clock(lambda: torch.mm(matrix, matrix)).wall for _ in range(_MATRIX_PRODUCTS))
    return 2 * _MATRIX_SIDE**3 / seconds / 1e9


def peak_memory(run: Run) -> float | None:
    """Measure the peak memory of a run in MiB, above what the process holds before it.

    If `run` is the first to use a GPU, the memory of the GPU. None on systems other than Linux.
    """
    before = _resident_memory()
    run()
    _wait_for_gpu()
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / _MIB
    return before and _resident_memory(peak=True) - before


def _resident_memory(peak: bool = False) -> float | None:
    """MiB that this process holds, or the peak since the last call without `peak`."""
    # resource.getrusage would start with the peak of the parent process.
    if sys.platform != "linux":
        return None
    process = Path("/proc/self")
    if not peak:
        (process / "clear_refs").write_text("5")  # resets the peak
    name = "VmHWM" if peak else "VmRSS"
    return int(re.search(rf"{name}:\s+(\d+) kB", (process / "status").read_text())[1]) / 1024


def _wait_for_gpu() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
