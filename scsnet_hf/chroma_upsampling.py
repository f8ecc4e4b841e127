"""Colors of large images whose lightness is known: computed small, enlarged along the lightness.

Joint bilateral upsampling (Kopf et al. 2007): a pixel takes its colors from the four nearest ones
of the small image, those above all that are as light as itself, so that colors end where things do.
"""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from .back_projection import resized_rows
from .pixel_mapping import PixelGrid, axis_coordinates, conversion_blocks, linear_taps

_DETAIL = 2  # sides of the small image, relative to `config.color_size`
_TOLERANCE = 0.2  # normalized L; at this difference the weight of a color is halved


def small_size(size: tuple[int, int], color_size: int) -> tuple[int, int]:
    """Return the size at which the network computes colors, for an image of `size`, (H, W).

    It has as many pixels as a square of twice the color branch's own size: more would only be
    more work, since colors end where the lightness does. Smaller images have their own size.

    Args:
        size: of the image.
        color_size: of the config.
    """
    factor = min(1.0, _DETAIL * color_size / math.sqrt(size[0] * size[1]))
    return max(1, round(factor * size[0])), max(1, round(factor * size[1]))


def resampled(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize (B, C, H, W) to (B, C, *size), bicubic and antialiased."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return nn.functional.interpolate(image, size, mode="bicubic", antialias=True)


@torch.no_grad()
def enlarge_colors(
    strips: Iterable[torch.Tensor], source: torch.Tensor, output_size: tuple[int, int]
) -> Iterator[torch.Tensor]:
    """Enlarge the colors of a small image; the lightness is the source's, enlarged bicubically.

    Args:
        strips: (1, 3, h, w) normalized Lab of the small image, from top to bottom.
        source: (1, 1, H, W) normalized L, on the same device.
        output_size: (Ho, Wo).

    Yields:
        (1, 3, h, Wo) normalized Lab, from top to bottom.
    """
    chroma = torch.cat([strip[:, 1:] for strip in strips], dim=2)
    size = tuple(chroma.shape[-2:])
    small = torch.cat((resampled(source, size), chroma), dim=1)
    for start, stop in conversion_blocks(*output_size):
        lightness = resized_rows(source, output_size, start, stop)
        grid = PixelGrid(size, output_size, (start, 0), (stop - start, output_size[1]))
        yield torch.cat((lightness, joint_bilateral(small, lightness, grid)), dim=1)


def joint_bilateral(small: torch.Tensor, lightness: torch.Tensor, grid: PixelGrid) -> torch.Tensor:
    """Interpolate the chroma of `small` along the lightness of a larger image.

    A window of the larger image has the same colors as in the whole.

    Args:
        small: (B, 3, h, w) normalized Lab of the whole image.
        lightness: (B, 1, *grid.length), normalized L of the larger image.
        grid: the pixels to compute.

    Returns:
        (B, 2, *grid.length) normalized a and b, each within the range of its four neighbors.
    """
    axes = [axis_coordinates(grid, axis, small.device) for axis in (0, 1)]
    neighbors = [
        [
            ((axis.lower[0] + offset).clamp(0, side - 1), weight[0])
            for offset, weight in linear_taps(axis.fraction).items()
        ]
        for axis, side in zip(axes, grid.source, strict=True)
    ]
    chroma, total = 0, 0
    for row, along_y in neighbors[0]:
        rows = small.index_select(2, row)
        for column, along_x in neighbors[1]:
            colors = rows.index_select(3, column)
            difference = (colors[:, :1] - lightness) / _TOLERANCE
            weight = along_y[:, None] * along_x / (1 + difference.square())
            chroma, total = chroma + weight * colors[:, 1:], total + weight
    return chroma / total
