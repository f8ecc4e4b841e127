"""What the source's lightness, which is known, decides in the result.

Back-projection (Irani and Peleg 1991): an enlarged image, reduced again, should be its source. And
where the lightness is the source's own, colors of large images are computed small and enlarged
along it, by joint bilateral upsampling (Kopf et al. 2007): a pixel takes its colors from the four
nearest ones of the small image, those above all that are as light as itself, so that colors end
where things do. All images are normalized Lab, as in modeling_scsnet.py.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import nn

from .pixel_mapping import (
    PixelGrid,
    axis_coordinates,
    conversion_blocks,
    cubic_kernel,
    linear_taps,
)

_ITERATIONS = 2
_TAPS = 2  # pixels that the cubic kernel reaches on either side
_REACH = _ITERATIONS * 2 * _TAPS + 1  # source rows that all reductions and enlargements reach
_PIECE = 96  # source rows
_DETAIL = 2  # sides of the small image, relative to `config.color_size`
_TOLERANCE = 0.2  # normalized L; at this difference the weight of a color is halved


@torch.no_grad()
def back_project(
    strips: Iterable[torch.Tensor],
    source: torch.Tensor,
    output_size: tuple[int, int],
    piece: int = _PIECE,
) -> Iterator[torch.Tensor]:
    """Correct the lightness of an image until it equals the source when reduced to its size.

    Args:
        strips: (1, 3, h, Wo) normalized Lab, from top to bottom; they are not changed.
        source: (1, 1, H, W) normalized L, on the same device.
        output_size: (Ho, Wo) of the whole image.
        piece: source rows to process at once, which limits the memory.

    Yields:
        (1, 3, h, Wo), the same image in strips of other heights.
    """
    height = output_size[0]
    reach, most = (-(-rows * height // source.shape[-2]) for rows in (_REACH, piece))
    held = source.new_empty(1, 3, 0, output_size[1])
    top = done = 0  # first row of `held`, and number of rows already yielded
    for strip in strips:
        for part in strip.split(most, dim=2):
            start = max(0, done - reach)
            held, top = torch.cat((held[..., start - top :, :], part), dim=2), start
            end = top + held.shape[2]
            ready = end if end == height else max(done, end - reach)
            if ready > done:
                lightness = _back_project_rows(held[:, :1], top, source, height)
                now = slice(done - top, ready - top)
                yield torch.cat((lightness[..., now, :], held[:, 1:, now]), dim=1)
                del lightness
                done = ready
        del strip, part  # otherwise they would be in memory while the next strip is computed


@torch.no_grad()
def keep_source_lightness(
    strips: Iterable[torch.Tensor], source: torch.Tensor, output_size: tuple[int, int]
) -> Iterator[torch.Tensor]:
    """Replace the lightness of an image by the source's, enlarged bicubically.

    The arguments are those of `back_project`, and the strips keep their heights.
    """
    top = 0
    for strip in strips:
        bottom = top + strip.shape[2]
        yield torch.cat((resized_rows(source, output_size, top, bottom), strip[:, 1:]), dim=1)
        top = bottom
        del strip


def resized_rows(
    source: torch.Tensor, output_size: tuple[int, int], start: int, stop: int
) -> torch.Tensor:
    """Resize an image (1, 1, H, W) bicubically and antialiased: its rows from `start` to `stop`.

    Returns:
        (1, 1, stop - start, Wo), equal to that part of the whole result (Ho, Wo).
    """
    here = _Rows(output_size[0], start, stop - start)
    present = source.shape[2]
    margin = -(-_TAPS * max(here.total, present) // here.total)  # the kernel, in source rows
    below = here.scaled_to(present, margin)
    resampling = _resampling_matrix(below, here).to(source)
    return _with_width(resampling @ below.cut_from(source), output_size[1])


def _back_project_rows(
    lightness: torch.Tensor, top: int, source: torch.Tensor, height: int
) -> torch.Tensor:
    """Correct rows of an image of `height` rows, from `top` on: (1, 1, h, Wo) -> the same shape.

    Rows within `_REACH` of a cut edge are not correct yet.
    """
    here = _Rows(height, top, lightness.shape[2])
    below = here.scaled_to(source.shape[2])
    reducing, enlarging = (
        _resampling_matrix(*pair).to(source) for pair in ((here, below), (below, here))
    )
    for _ in range(_ITERATIONS):
        reduced = reducing @ _with_width(lightness, source.shape[3])
        missing = enlarging @ (below.cut_from(source) - reduced)
        lightness = lightness + _with_width(missing, lightness.shape[3])
    return lightness


class _Rows(NamedTuple):
    """`count` rows from `first` on, of an image with `total` rows."""

    total: int
    first: int
    count: int

    def scaled_to(self, total: int, margin: int = 0) -> "_Rows":
        """The rows that cover these in the same image with `total` rows, and a margin."""
        first = max(0, self.first * total // self.total - margin)
        last = min(total, -(-(self.first + self.count) * total // self.total) + margin)
        return _Rows(total, first, last - first)

    def cut_from(self, pixels: torch.Tensor) -> torch.Tensor:
        """These rows of (1, 1, total, W)."""
        return pixels[..., self.first : self.first + self.count, :]


def _with_width(pixels: torch.Tensor, width: int) -> torch.Tensor:
    """(1, 1, h, W) -> (1, 1, h, width), bicubic and antialiased."""
    size = (pixels.shape[2], width)
    return nn.functional.interpolate(pixels, size, mode="bicubic", antialias=True)


def _resampling_matrix(present: _Rows, wanted: _Rows) -> torch.Tensor:
    """The matrix (wanted.count, present.count) that resamples rows as `_with_width` does columns.

    As in Pillow and PyTorch, reduction widens the kernel, and its weights beyond the image are
    left out. float64.
    """
    ratio = present.total / wanted.total
    rows, centers = (
        torch.arange(rows.count, dtype=torch.float64) + rows.first + 0.5
        for rows in (present, wanted)
    )
    distances = (rows - ratio * centers[:, None]).abs()
    weights = cubic_kernel(distances / max(1.0, ratio))
    return weights / weights.sum(dim=1, keepdim=True)


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
