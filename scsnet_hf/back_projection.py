"""Lightness that agrees with the source's: shrunk again, the result is the source.

Back-projection (Irani and Peleg 1991), from the top of a picture to its bottom, so that no more
than a strip of it has to be there at a time.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import nn

from .pixel_mapping import PixelGrid, conversion_blocks, cubic_kernel, resize

_ITERATIONS = 2
_REACH = _ITERATIONS * (2 + 2) + 1  # source rows: shrinking and enlarging reach two each
_PIECE = 256  # source rows that are worked on at once


@torch.no_grad()
def agreeing_strips(
    strips: Iterable[torch.Tensor], source: torch.Tensor, output_size: tuple[int, int]
) -> Iterator[torch.Tensor]:
    """Strips of a picture, with lightness that agrees with its source.

    Args:
        strips: (1, 3, h, Wo) normalized Lab, one below the other; left as they are.
        source: (1, 1, H, W) normalized L, on their device.
        output_size: (Ho, Wo) of the whole picture.

    Yields:
        (1, 3, h, Wo), the same picture in strips of other heights.
    """
    height = output_size[0]
    reach, most = (-(-rows * height // source.shape[-2]) for rows in (_REACH, _PIECE))
    held = source.new_empty(1, 3, 0, output_size[1])
    top = done = 0  # first row of `held`, and the first that is still to be given away
    for strip in strips:
        for piece in strip.split(most, dim=2):
            start = max(0, done - reach)
            held, top = torch.cat((held[..., start - top :, :], piece), dim=2), start
            end = top + held.shape[2]
            ready = end if end == height else max(done, end - reach)
            if ready > done:
                agreed = _agreeing(held, top, source, output_size)
                yield agreed[..., done - top : ready - top, :]
                del agreed
                done = ready
        del strip, piece  # or they would still be there while the next strip is made


@torch.no_grad()
def strips_with_source_lightness(
    strips: Iterable[torch.Tensor], source: torch.Tensor, output_size: tuple[int, int]
) -> Iterator[torch.Tensor]:
    """Strips as in `agreeing_strips`, but with the source's lightness, enlarged bicubically."""
    whole, top = PixelGrid.whole(tuple(source.shape[-2:]), output_size), 0
    for strip in strips:
        lightness = torch.zeros_like(strip[:, :1])
        _add_enlarged(lightness, source, _rows_of(whole, top, strip.shape[2]))
        top += strip.shape[2]
        yield torch.cat((lightness, strip[:, 1:]), dim=1)
        del strip, lightness


def _agreeing(
    strip: torch.Tensor, top: int, source: torch.Tensor, output_size: tuple[int, int]
) -> torch.Tensor:
    """Rows of the result from `top` on, (1, 3, h, Wo); those at cut edges are not right yet."""
    (height, width), (output_height, _) = source.shape[-2:], output_size
    first = top * height // output_height
    last = -(-(top + strip.shape[2]) * height // output_height)
    grid = _rows_of(PixelGrid.whole((height, width), output_size), top, strip.shape[2])
    grid = grid._replace(origin=(first, 0))
    shrink_rows = _shrinking(grid, last - first).to(strip)
    strip = strip.clone()
    lightness = strip[:, :1]
    for _ in range(_ITERATIONS):
        narrow = nn.functional.interpolate(
            lightness, (strip.shape[2], width), mode="bicubic", antialias=True
        )
        _add_enlarged(lightness, source[..., first:last, :] - shrink_rows @ narrow, grid)
    return strip


def _shrinking(grid: PixelGrid, count: int) -> torch.Tensor:
    """(count, h) weights that make source rows of the grid's rows: bicubic, antialiased.

    As Pillow and PyTorch do it: the kernel is as wide as `output / source` asks, and what would lie
    outside does not count.
    """
    ratio = grid.output[0] / grid.source[0]
    rows = torch.arange(count, dtype=torch.float64) + grid.origin[0]
    columns = torch.arange(grid.length[0], dtype=torch.float64) + grid.start[0]
    distances = (columns + 0.5 - (rows[:, None] + 0.5) * ratio).abs()
    weights = cubic_kernel(distances / max(1.0, ratio))
    return weights / weights.sum(dim=1, keepdim=True)


def _add_enlarged(lightness: torch.Tensor, source: torch.Tensor, grid: PixelGrid) -> None:
    """Add `source` (1, 1, H, W), enlarged bicubically, to `lightness` (1, 1, h, Wo), in place."""
    for start, stop in conversion_blocks(*lightness.shape[2:]):
        rows = _rows_of(grid, grid.start[0] + start, stop - start)
        lightness[..., start:stop, :] += resize(source, rows, cubic=True)


def _rows_of(grid: PixelGrid, top: int, height: int) -> PixelGrid:
    """The grid's columns of `height` rows of the output."""
    return grid._replace(start=(top, grid.start[1]), length=(height, grid.length[1]))
