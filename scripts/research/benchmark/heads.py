"""Heads that make pixels at any magnification, on the same features.

    cpm          continuous pixel mapping as this package evaluates it
    cpm-plain    the same as the paper writes it: all layers at every output pixel, all at once
    meta         Meta-SR's, a kernel for every output pixel
    liif         LIIF's

All have the paper's size, 64 channels in. At a whole magnification Meta-SR's kernels repeat and
could be made once for all source pixels, at next to no cost; at others they cannot.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from scsnet_hf.configuration_scsnet import SCSNetConfig
from scsnet_hf.modeling_scsnet import output_size_of
from scsnet_hf.pixel_mapping import (
    ContinuousPixelMapping,
    MetaUpscale,
    PixelGrid,
    axis_coordinates,
)

from ..baselines import LIIFHead
from .meters import Subject
from .rounds import Repeats, Stages, measure

_CONFIG = SCSNetConfig()
_CHANNELS = _CONFIG.hidden_sizes[0]


class PlainPixelMapping(ContinuousPixelMapping):
    """CPM without a change of order: features and Z_rel of every output pixel, then four layers."""

    def forward(self, features: torch.Tensor, grid: PixelGrid) -> torch.Tensor:
        """Features (B, C, H, W) -> (B, 3, Ho, Wo), of a whole image, pixels cell-centered."""
        enlarged = nn.functional.interpolate(
            self.aggregate(features), grid.output, mode="bilinear", align_corners=False
        )
        y, x = (axis_coordinates(grid, axis, features.device).relative[0] for axis in (0, 1))
        position = torch.stack(torch.broadcast_tensors(x, y[:, None])).to(features.dtype)
        position = position.expand(len(features), -1, -1, -1)
        pixels = self.first(torch.cat((enlarged, position), dim=1).permute(0, 2, 3, 1))
        for layer in self.layers:
            pixels = layer(pixels.relu())
        return pixels.permute(0, 3, 1, 2)


HEADS: dict[str, Callable[[], nn.Module]] = {
    "cpm": partial(ContinuousPixelMapping, _CONFIG),
    "cpm-plain": partial(PlainPixelMapping, _CONFIG),
    "meta": partial(MetaUpscale, _CONFIG),
    "liif": partial(LIIFHead, _CHANNELS),
}


def measure_heads(
    scale: float, rows: Sequence[str], repeats: int, size: int, device: str
) -> dict[str, Repeats]:
    """What heads cost at batch 1 in float32; see `measure`.

    Args:
        scale: magnification.
        rows: names of heads; see the module. All if there are none.
        repeats: rounds.
        size: side of the features in pixels.
        device: of torch.

    Raises:
        ValueError: for a row that is none.
    """
    rows = rows or list(HEADS)
    for row in rows:
        if row not in HEADS:
            raise ValueError(f"no head {row!r}: choose one of {', '.join(HEADS)}")
    return measure(stages_of, rows, repeats, scale=scale, size=size, device=device)


def stages_of(row: str, scale: float, size: int, device: str) -> Stages:
    """The only stage of a row; see `measure_heads`."""
    return {row: partial(_build, row, scale, size, device)}


def _build(row: str, scale: float, size: int, device: str) -> Subject:
    features = torch.rand(1, _CHANNELS, size, size, device=device)
    output_size = output_size_of((size, size), scale)
    grid = PixelGrid.whole((size, size), output_size)
    return Subject.of(HEADS[row]().eval(), features, output_size if row == "liif" else grid)
