"""A gray image to a color image of four times its size: this network, and cascades.

A row is named by what it runs:

    medium                        this network, automatic; the name of a checkpoint or a preset
    medium+reference              with a reference image of the source's size
    base+plain                    with continuous pixel mapping as the paper writes it
    ddcolor-tiny@512+rrdbnet      a cascade: a colorizer at its own size, then an upscaler

A colorizer sees the image enlarged to its own size, the upscaler takes the colored image at
the source's size. `research.baselines` has the networks of cascades.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from scsnet_hf.configuration_scsnet import PRESETS, SCSNetConfig
from scsnet_hf.modeling_scsnet import SCSNetForImageToImage
from scsnet_hf.registration import find_checkpoint

from ..baselines import COLORIZERS, UPSCALERS, find_peer
from .heads import PlainPixelMapping
from .meters import Subject
from .rounds import Repeats, Stages, measure

CASCADES = (
    "siggraph17@256+rrdbnet",
    "siggraph17@256+drn-l",
    "ddcolor-tiny@512+rrdbnet",
    "ddcolor-tiny@256+rrdbnet",
    "ddcolor-tiny@256+srvgg-32",
)
_COMPARED_PRESETS = ("base", "small")
_REFERENCE, _PLAIN = _FORMS = ("+reference", "+plain")
_SCALE = 4
_COLORIZER_STEP = 32  # pixels; what sizes of colorizers are multiples of


def measure_cascades(
    model: str, rows: Sequence[str], repeats: int, size: int, device: str
) -> dict[str, Repeats]:
    """What rows cost at batch 1 in float32; see `measure`.

    Args:
        model: name of an embedded checkpoint, folder or Hub id, the network of the rows that have
            its name. Those named after presets have random weights.
        rows: their names; see the module. All of `default_rows` if there are none.
        repeats: rounds.
        size: side of the source in pixels.
        device: of torch.

    Raises:
        ValueError: for a row that is none, or a model that does not load.
    """
    setting = {"model": model, "size": size, "device": device}
    rows = rows or default_rows(model)
    for row in rows:
        stages_of(row, **setting)  # a wrong name is told before the measuring starts
    return measure(stages_of, rows, repeats, **setting)


def default_rows(model: str) -> list[str]:
    """The model, the presets that it is not, the paper's own form, and the cascades."""
    own = dict.fromkeys([name_of_model(model), *_COMPARED_PRESETS])
    forms = [row for name in own for row in (name, name + _REFERENCE)]
    return [*forms, f"base{_PLAIN}", *CASCADES]


def name_of_model(model: str) -> str:
    """What rows of a checkpoint are called: the last part of its name."""
    return Path(model).name


def is_cascade(row: str) -> bool:
    """Whether a row is a cascade, not this network."""
    return "@" in row


def stages_of(row: str, model: str, size: int, device: str) -> Stages:
    """The stages of a row; see `measure_cascades`."""
    form = next((form for form in _FORMS if row.endswith(form)), "")
    name = row.removesuffix(form)
    if not is_cascade(row):
        if name not in (*PRESETS, name_of_model(model)):
            raise ValueError(
                f"no row {row!r}: neither the model nor one of the presets {', '.join(PRESETS)}"
            )
        return {row: partial(_build_own, name, form, model, size, device)}
    parts = re.fullmatch(r"(.+)@(\d+)\+(.+)", row)
    if not parts or parts[1] not in COLORIZERS or parts[3] not in UPSCALERS:
        raise ValueError(
            f"no row {row!r}: a cascade is COLORIZER@SIZE+UPSCALER, of {', '.join(COLORIZERS)} "
            f"and of {', '.join(UPSCALERS)}"
        )
    colorizer, side, upscaler = parts.groups()
    if int(side) % _COLORIZER_STEP or not int(side):
        raise ValueError(f"no row {row!r}: {side} is not a multiple of {_COLORIZER_STEP}")
    return {
        f"{colorizer}@{side}": partial(_build_peer, colorizer, int(side), device),
        upscaler: partial(_build_peer, upscaler, size, device),
    }


def _build_own(name: str, form: str, model: str, size: int, device: str) -> Subject:
    if name == name_of_model(model):
        network = SCSNetForImageToImage.from_pretrained(find_checkpoint(model), dtype=torch.float32)
    else:
        network = SCSNetForImageToImage(SCSNetConfig.from_preset(name))
    if form == _PLAIN:
        network.upsampler = PlainPixelMapping(network.config)
    network = network.eval()
    images = [torch.rand(1, channels, size, size, device=device) for channels in (1, 3)]
    if form == _REFERENCE:
        return Subject.of(network, *images, None, _SCALE)
    return Subject.of(
        network, images[0], None, None, _SCALE, parameters=network.automatic_parameters
    )


def _build_peer(name: str, side: int, device: str) -> Subject:
    peer = find_peer(name)
    return Subject.of(peer.build(), torch.rand(1, peer.channels, side, side, device=device))
