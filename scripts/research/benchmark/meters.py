"""One number of one network."""

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
_SIDE = 2048  # of the matrices whose product tells the rate of a machine
_TRIES = 3


class Subject(NamedTuple):
    """What is measured."""

    run: Run  # once through the network
    parameters: int

    @classmethod
    def of(cls, network: nn.Module, *inputs, parameters: int | None = None) -> "Subject":
        """A network and its inputs, moved to where those are, without gradients.

        All feature maps are stored by pixel (channels_last), which is quicker on CPUs and on GPUs
        with tensor cores.

        Args:
            network: in evaluation mode.
            *inputs: of its call. Those that are images, (B, C, H, W), are stored by pixel too.
            parameters: where not all of the network is used; all by default.
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


class Time(NamedTuple):
    """Seconds of one run."""

    processor: float  # user and system time of all threads of this process
    wall: float


def clock(run: Run) -> Time:
    """Time of one run; on a GPU until it has finished."""
    processor, wall = time.process_time(), time.perf_counter()
    run()
    _wait_for_gpu()
    return Time(time.process_time() - processor, time.perf_counter() - wall)


def multiply_adds(run: Run) -> float:
    """Multiply-adds of convolutions and matrix products of one run, in units of 10^9 (GMACs)."""
    # Fused attention is not counted on every device, the two products that it is made of are.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2 / 1e9


def matrix_rate() -> float:
    """GFLOP/s of the product of two float32 matrices, 2 FLOPs a multiply-add; the best of a few.

    Of a GPU if one is in use. Convolutions may pass it there, where PyTorch lets them use TF32.
    """
    matrix = torch.rand(_SIDE, _SIDE, device="cuda" if torch.cuda.is_initialized() else "cpu")
    seconds = min(clock(lambda: torch.mm(matrix, matrix)).wall for _ in range(_TRIES))
    return 2 * _SIDE**3 / seconds / 1e9


def peak_memory(run: Run) -> float | None:
    """MiB that a process needs for `run` at most, above what it holds when this is called.

    If `run` uses a GPU, and nothing has before it, then that of the GPU. None on systems other than
    Linux.
    """
    before = _resident()
    run()
    _wait_for_gpu()
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / _MIB
    return before and _resident(peak=True) - before


def _resident(peak: bool = False) -> float | None:
    """MiB of memory of this process, now or at most since the last time it was asked for now."""
    # The other source, resource.getrusage, starts with the peak of the process that started this.
    if sys.platform != "linux":
        return None
    process = Path("/proc/self")
    if not peak:
        (process / "clear_refs").write_text("5")  # the peak starts anew
    name = "VmHWM" if peak else "VmRSS"
    return int(re.search(rf"{name}:\s+(\d+) kB", (process / "status").read_text())[1]) / 1024


def _wait_for_gpu() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
