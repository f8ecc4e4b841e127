"""The upsampler of LIIF (Chen et al., Learning Continuous Image Representation, CVPR 2021).

It has all three parts of the paper: feature unfolding, local ensemble and cell decoding.
"""

from itertools import pairwise, product
from typing import NamedTuple

import torch
from torch import nn

from scsnet_hf.pixel_mapping import in_row_blocks
from scsnet_hf.upsamplers import PixelwiseLinear


class Corner(NamedTuple):
    """One of the two source pixels next to every output position of an axis, each (n,)."""

    index: torch.Tensor  # int64
    offset: torch.Tensor  # from it to the position, in half source pixels
    weight: torch.Tensor  # the distance of the other one, in source pixels


class LIIFHead(nn.Module):
    """An MLP on the features of each of the four nearest source pixels of an output pixel.

    Rows are computed in blocks that fit into the cache, and linear layers in the faster of two
    ways, as in this package's own upsamplers. The published evaluation computes 30,000 pixels at a
    time, which is no faster and needs more memory.

    Args:
        channels: of the features.
        hidden: widths of the MLP.
    """

    def __init__(self, channels: int = 64, hidden: tuple[int, ...] = (256, 256, 256, 256)):
        super().__init__()
        sizes = (9 * channels + 4, *hidden)  # features, offsets, and the size of a pixel
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [PixelwiseLinear(before, after), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, PixelwiseLinear(sizes[-1], 3))

    def forward(self, features: torch.Tensor, output_size: tuple[int, int]) -> torch.Tensor:
        """Map features (B, C, H, W) to RGB (B, 3, Ho, Wo)."""
        size = features.shape[-2:]
        unfolded = nn.functional.unfold(features, 3, padding=1).unflatten(-1, size)
        unfolded = unfolded.permute(0, 2, 3, 1).contiguous()  # (B, H, W, 9 C)
        vertical, horizontal = (
            corners(source, output, features.device)
            for source, output in zip(size, output_size, strict=True)
        )
        cell = [2 * source / output for source, output in zip(size, output_size, strict=True)]
        cell = torch.tensor(cell, device=features.device, dtype=features.dtype)

        def compute_rows(start: int, stop: int) -> torch.Tensor:
            rows = [Corner(*(values[start:stop] for values in corner)) for corner in vertical]
            return self._ensemble(unfolded, rows, horizontal, cell)

        height, width = output_size
        return in_row_blocks(compute_rows, height, width * unfolded.shape[-1]).permute(0, 3, 1, 2)

    def _ensemble(self, unfolded, rows, columns, cell) -> torch.Tensor:
        """(B, n, Wo, 3): predictions from four corners, weighted by the area opposite to each."""
        result = 0
        for vertical, horizontal in product(rows, columns):
            area = vertical.weight[:, None] * horizontal.weight
            result += self._predict(unfolded, vertical, horizontal, cell) * area[..., None]
        return result

    def _predict(self, unfolded, vertical: Corner, horizontal: Corner, cell) -> torch.Tensor:
        near = unfolded.index_select(1, vertical.index).index_select(2, horizontal.index)
        y, x = torch.broadcast_tensors(vertical.offset[:, None], horizontal.offset)
        extra = torch.cat((torch.stack((y, x), dim=-1), cell.expand(*y.shape, 2)), dim=-1)
        return self.layers(torch.cat((near, extra.expand(len(near), -1, -1, -1)), dim=-1))


def corners(source: int, output: int, device: torch.device) -> list[Corner]:
    """Find the source pixels before and after every output pixel's center, clamped at borders."""
    position = (torch.arange(output, device=device) + 0.5) * (source / output) - 0.5
    before = position.floor()
    result = []
    for index in (before, before + 1):
        weight = 1 - (position - index).abs()
        index = index.clamp(0, source - 1)
        result.append(Corner(index.long(), 2 * (position - index), weight))
    return result
