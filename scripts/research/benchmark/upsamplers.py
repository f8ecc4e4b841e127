"""Upsamplers of any magnification, on the same features of 64 channels.

    cpm          continuous pixel mapping of the paper's widths, as this package evaluates it
    cpm-base     the same with the widths of the preset `base`
    cpm-plain    cpm as the paper writes it: all layers at every output pixel, all at once
    meta         Meta-SR (Hu et al. 2019), a kernel for every output pixel
    liif         LIIF (Chen et al. 2021)

At an integer magnification the kernels of Meta-SR repeat and could be computed once for all source
pixels, at next to no cost; at other magnifications they cannot.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from scsnet_hf.call_arguments import output_size_of
from scsnet_hf.configuration_scsnet import SCSNetConfig
from scsnet_hf.pixel_mapping import PixelGrid, axis_coordinates
from scsnet_hf.upsamplers import ContinuousPixelMapping, MetaUpscale

from ..baselines import LIIFHead
from .interleaved import Measurements, Plan, measure_rows
from .profiling import Workload

_CONFIG = SCSNetConfig()
_CHANNELS = _CONFIG.hidden_sizes[0]


class PlainPixelMapping(ContinuousPixelMapping):
    """CPM in the paper's order: features and Z_rel of every output pixel, then four layers."""

    def forward(self, features: torch.Tensor, grid: PixelGrid) -> torch.Tensor:
        """Map features (B, C, H, W) of a whole image to pixels (B, 3, Ho, Wo)."""
        enlarged = nn.functional.interpolate(
            self.aggregate(features), grid.output, mode="bilinear", align_corners=self.aligned
        )
        y, x = (
            axis_coordinates(grid, axis, features.device, self.aligned).relative[0]
            for axis in (0, 1)
        )
        position = torch.stack(torch.broadcast_tensors(x, y[:, None])).to(features.dtype)
        position = position.expand(len(features), -1, -1, -1)
        pixels = self.first(torch.cat((enlarged, position), dim=1).permute(0, 2, 3, 1))
        for layer in self.layers:
            pixels = layer(pixels.relu())
        return pixels.permute(0, 3, 1, 2)


UPSAMPLERS: dict[str, Callable[[], nn.Module]] = {
    "cpm": partial(ContinuousPixelMapping, _CONFIG),
    "cpm-base": partial(ContinuousPixelMapping, SCSNetConfig.from_preset("base")),
    "cpm-plain": partial(PlainPixelMapping, _CONFIG),
    "meta": partial(MetaUpscale, _CONFIG),
    "liif": partial(LIIFHead, _CHANNELS),
}


def measure_upsamplers(
    scale: float, rows: Sequence[str], runs: int, size: int, device: str
) -> dict[str, Measurements]:
    """Measure what upsamplers cost at batch 1 in float32; see `measure_rows`.

    Args:
        scale: magnification.
        rows: names of upsamplers, see the module; all if empty.
        runs: of each.
        size: side of the features in pixels.
        device: of torch.

    Raises:
        ValueError: for a row that is not one of them.
    """
    rows = rows or list(UPSAMPLERS)
    for row in rows:
        if row not in UPSAMPLERS:
            raise ValueError(f"no upsampler {row!r}: choose one of {', '.join(UPSAMPLERS)}")
    return measure_rows(plan_upsampler, rows, runs, scale=scale, size=size, device=device)


def plan_upsampler(row: str, scale: float, size: int, device: str) -> Plan:
    """Plan the one forward pass of a row; see `measure_upsamplers`."""
    return {row: partial(_build, row, scale, size, device)}


def _build(row: str, scale: float, size: int, device: str) -> Workload:
    features = torch.rand(1, _CHANNELS, size, size, device=device)
    output_size = output_size_of((size, size), scale)
    grid = output_size if row == "liif" else PixelGrid.whole((size, size), output_size)
    return Workload.from_network(UPSAMPLERS[row]().eval(), features, grid)
