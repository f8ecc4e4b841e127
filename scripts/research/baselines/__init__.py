"""Networks of other papers with random weights, to measure what they cost.

srvgg.py       SRVGGNetCompact, the light upscalers of Real-ESRGAN
rrdbnet.py     RRDBNet, the upscaler of ESRGAN and of Real-ESRGAN x4plus
drn.py         DRN, the upscaler of the paper's cascades
siggraph17.py  the colorizer of Zhang et al. 2017
ddcolor.py     DDColor-tiny, a colorizer
liif.py        the head of LIIF, a rival of continuous pixel mapping

They are for inference only, and written from the papers and the published configurations, so that
sizes of layers and operations are the originals'; names of parameters are not, so published weights
do not load. Normalizations of weights are taken as folded in, which costs nothing at inference.
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
    "DDColor",
    "LIIFHead",
    "Peer",
    "RRDBNet",
    "SRVGGNetCompact",
    "Siggraph17",
    "find_peer",
]


class Peer(NamedTuple):
    """How to make a network, and what it takes."""

    build: Callable[[], nn.Module]  # with random weights, for inference
    channels: int  # of the images that it takes: 1 is lightness, 3 is RGB


def _peer(build: Callable[[], nn.Module], channels: int) -> Peer:
    return Peer(lambda: build().eval().requires_grad_(False), channels)


COLORIZERS = {  # an image to its ab, of the same size
    "siggraph17": _peer(Siggraph17, channels=1),
    "ddcolor-tiny": _peer(DDColor, channels=3),
}
UPSCALERS = {  # RGB to RGB of four times the size
    "rrdbnet": _peer(RRDBNet, channels=3),
    "drn-l": _peer(DRN, channels=3),
    "drn-s": _peer(partial(DRN, width=16, blocks=30), channels=3),
    "srvgg-32": _peer(SRVGGNetCompact, channels=3),
    "srvgg-16": _peer(partial(SRVGGNetCompact, convolutions=16), channels=3),
}


def find_peer(name: str) -> Peer:
    """The colorizer or upscaler of a name.

    Raises:
        ValueError: for a name that is none.
    """
    peers = {**COLORIZERS, **UPSCALERS}
    if name not in peers:
        raise ValueError(f"no network {name!r}: choose one of {', '.join(peers)}")
    return peers[name]
