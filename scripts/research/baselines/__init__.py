"""Networks of other papers with random weights, for measurements of their cost.

srvgg.py       SRVGGNetCompact, the light upscalers of Real-ESRGAN
rrdbnet.py     RRDBNet, the upscaler of ESRGAN and of Real-ESRGAN x4plus
drn.py         DRN, the upscaler of the paper's cascades
siggraph17.py  the colorizer of Zhang et al. 2017
ddcolor.py     DDColor-tiny, a colorizer
liif.py        the upsampler of LIIF, an alternative to continuous pixel mapping

They are for inference only, and follow the papers and the published configurations: layers and
operations have the original sizes, but parameters have other names, so published weights do not
load. Weight normalizations count as folded into the weights, which costs nothing at inference.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import nn

from .ddcolor import DDColor
from .drn import DRN
from .liif import LIIFHead
from .rrdbnet import RRDBNet
from .siggraph17 import Siggraph17
from .srvgg import SRVGGNetCompact

__all__ = [
    "COLORIZERS",
    "DRN",
    "UPSCALERS",
    "Baseline",
    "DDColor",
    "LIIFHead",
    "RRDBNet",
    "SRVGGNetCompact",
    "Siggraph17",
    "find_baseline",
]


class Baseline(NamedTuple):
    """A network and its input."""

    build: Callable[[], nn.Module]  # with random weights, for inference
    channels: int  # of its input: 1 is lightness, 3 is RGB


def _baseline(build: Callable[[], nn.Module], channels: int) -> Baseline:
    return Baseline(lambda: build().eval().requires_grad_(False), channels)


COLORIZERS = {  # an image to a and b of the same size
    "siggraph17": _baseline(Siggraph17, channels=1),
    "ddcolor-tiny": _baseline(DDColor, channels=3),
}
UPSCALERS = {  # RGB to RGB of four times the size
    "rrdbnet": _baseline(RRDBNet, channels=3),
    "drn-l": _baseline(DRN, channels=3),
    "drn-s": _baseline(partial(DRN, width=16, blocks=30), channels=3),
    "srvgg-32": _baseline(SRVGGNetCompact, channels=3),
    "srvgg-16": _baseline(partial(SRVGGNetCompact, convolutions=16), channels=3),
}


def find_baseline(name: str) -> Baseline:
    """Look up a colorizer or upscaler by name.

    Raises:
        ValueError: for an unknown name.
    """
    baselines = {**COLORIZERS, **UPSCALERS}
    if name not in baselines:
        raise ValueError(f"no network {name!r}: choose one of {', '.join(baselines)}")
    return baselines[name]
