"""A gray image to a color image of four times its size: this network, and cascades of others.

A row is named after what it runs:

    medium                        this network, automatic; the name of a checkpoint or a preset
    medium+reference              with a reference image of the source's size
    base+plain                    with continuous pixel mapping as the paper writes it
    ddcolor-tiny@512+rrdbnet      a cascade: a colorizer at its own size, then an upscaler

A colorizer gets the image enlarged to its own size, the upscaler gets the colored image at the
source's size. The networks of cascades are in `research.baselines`.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from scsnet_hf.configuration_scsnet import PRESETS, SCSNetConfig
from scsnet_hf.modeling_scsnet import SCSNetForImageToImage
from scsnet_hf.registration import find_checkpoint

from ..baselines import COLORIZERS, UPSCALERS, find_baseline
from .interleaved import Measurements, Plan, measure_rows
from .profiling import Workload
from .upsamplers import PlainPixelMapping

CASCADES = (
    "siggraph17@256+rrdbnet",
    "siggraph17@256+drn-l",
    "ddcolor-tiny@512+rrdbnet",
    "ddcolor-tiny@256+rrdbnet",
    "ddcolor-tiny@256+srvgg-32",
)
_COMPARED_PRESETS = ("base", "small")
_REFERENCE, _PLAIN = _SUFFIXES = ("+reference", "+plain")
_SCALE = 4
_COLORIZER_STEP = 32  # pixels; sizes of colorizers are multiples of it


def measure_networks(
    model: str, rows: Sequence[str], runs: int, size: int, device: str
) -> dict[str, Measurements]:
    """Measure what networks cost at batch 1 in float32; see `measure_rows`.

    Args:
        model: name of an embedded checkpoint, folder or Hub id, for the rows that have its name.
            Rows named after presets have random weights.
        rows: see the module; `default_rows` if empty.
        runs: of each.
        size: side of the source in pixels.
        device: of torch.

    Raises:
        ValueError: for a row that is none of these.
        OSError: if the model does not load.
    """
    settings = {"model": model, "size": size, "device": device}
    rows = rows or default_rows(model)
    for row in rows:
        plan_network(row, **settings)  # so that a wrong one is reported before the measurements
    return measure_rows(plan_network, rows, runs, **settings)


def default_rows(model: str) -> list[str]:
    """List the model, the other presets, the paper's own form, and the cascades."""
    own = dict.fromkeys([model_row(model), *_COMPARED_PRESETS])
    modes = [row for name in own for row in (name, name + _REFERENCE)]
    return [*modes, f"base{_PLAIN}", *CASCADES]


def model_row(model: str) -> str:
    """Name the row of a checkpoint: the last part of its name."""
    return Path(model).name


def is_cascade(row: str) -> bool:
    """Whether a row is a cascade, not this network."""
    return "@" in row


def plan_network(row: str, model: str, size: int, device: str) -> Plan:
    """Plan the network of a row, or the two of a cascade; see `measure_networks`."""
    suffix = next((suffix for suffix in _SUFFIXES if row.endswith(suffix)), "")
    name = row.removesuffix(suffix)
    if not is_cascade(row):
        if name not in (*PRESETS, model_row(model)):
            raise ValueError(
                f"no row {row!r}: neither the model nor one of the presets {', '.join(PRESETS)}"
            )
        return {row: partial(_build_own, name, suffix, model, size, device)}
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
        f"{colorizer}@{side}": partial(_build_baseline, colorizer, int(side), device),
        upscaler: partial(_build_baseline, upscaler, size, device),
    }


def _build_own(name: str, suffix: str, model: str, size: int, device: str) -> Workload:
    if name == model_row(model):
        network = SCSNetForImageToImage.from_pretrained(find_checkpoint(model), dtype=torch.float32)
    else:
        network = SCSNetForImageToImage(SCSNetConfig.from_preset(name))
    if suffix == _PLAIN:
        network.upsampler = PlainPixelMapping(network.config)
    network = network.eval()
    images = [torch.rand(1, channels, size, size, device=device) for channels in (1, 3)]
    if suffix == _REFERENCE:
        return Workload.from_network(network, *images, None, _SCALE)
    count = network.automatic_parameters
    return Workload.from_network(network, images[0], None, None, _SCALE, parameters=count)


def _build_baseline(name: str, side: int, device: str) -> Workload:
    baseline = find_baseline(name)
    image = torch.rand(1, baseline.channels, side, side, device=device)
    return Workload.from_network(baseline.build(), image)
