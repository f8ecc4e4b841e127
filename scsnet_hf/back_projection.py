"""Lightness that agrees with the source's: shrunk again, the result is the source.

Back-projection (Irani and Peleg 1991), from the top of an image to its bottom, so that no more
than a strip of it has to be there at a time.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import nn

from .pixel_mapping import cubic_kernel

_ITERATIONS = 2
_TAPS = 2  # of the kernel on either side
_REACH = _ITERATIONS * 2 * _TAPS + 1  # source rows, of shrinking and enlarging
_PIECE = 96  # source rows that are worked on at once


@torch.no_grad()
def back_project(
    strips: Iterable[torch.Tensor], source: torch.Tensor, output_size: tuple[int, int]
) -> Iterator[torch.Tensor]:
    """Strips of an image, with lightness that agrees with its source.

    Args:
        strips: (1, 3, h, Wo) normalized Lab, one below the other; left as they are.
        source: (1, 1, H, W) normalized L, on their device.
        output_size: (Ho, Wo) of the whole image.

    Yields:
        (1, 3, h, Wo), the same image in strips of other heights.
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
                lightness = _agreeing(held[:, :1], top, source, output_size[0])
                now = slice(done - top, ready - top)
                yield torch.cat((lightness[..., now, :], held[:, 1:, now]), dim=1)
                del lightness
                done = ready
        del strip, piece  # or they would still be there while the next strip is made


@torch.no_grad()
def keep_source_lightness(
    strips: Iterable[torch.Tensor], source: torch.Tensor, output_size: tuple[int, int]
) -> Iterator[torch.Tensor]:
    """Strips as in `back_project`, but with the source's lightness, enlarged bicubically."""
    (height, _), top = output_size, 0
    for strip in strips:
        here = _Rows(height, top, strip.shape[2])
        wide = -(-_TAPS * max(height, source.shape[2]) // height)  # the kernel, in source rows
        below = here.covered_by(source.shape[2], margin=wide)
        enlarging = _resampling(below, here).to(source)
        lightness = _with_width(enlarging @ below.of(source), strip.shape[3])
        top += here.count
        yield torch.cat((lightness, strip[:, 1:]), dim=1)
        del strip, lightness


def _agreeing(lightness: torch.Tensor, top: int, source: torch.Tensor, height: int) -> torch.Tensor:
    """Rows of the result, `height` rows high, from `top` on; those at cut edges are not right yet.

    Args:
        lightness: (1, 1, h, Wo), the same rows so far.
    """
    here = _Rows(height, top, lightness.shape[2])
    below = here.covered_by(source.shape[2])
    shrinking, enlarging = (
        _resampling(*pair).to(source) for pair in ((here, below), (below, here))
    )
    for _ in range(_ITERATIONS):
        shrunk = shrinking @ _with_width(lightness, source.shape[3])
        missing = enlarging @ (below.of(source) - shrunk)
        lightness = lightness + _with_width(missing, lightness.shape[3])
    return lightness


class _Rows(NamedTuple):
    """`count` rows from `first` on, of an image that has `whole`."""

    whole: int
    first: int
    count: int

    def covered_by(self, whole: int, margin: int = 0) -> "_Rows":
        """The rows of the same image, `whole` rows high, that cover these."""
        first = max(0, self.first * whole // self.whole - margin)
        last = min(whole, -(-(self.first + self.count) * whole // self.whole) + margin)
        return _Rows(whole, first, last - first)

    def of(self, pixels: torch.Tensor) -> torch.Tensor:
        """These rows of (1, 1, whole, W)."""
        return pixels[..., self.first : self.first + self.count, :]


def _with_width(pixels: torch.Tensor, width: int) -> torch.Tensor:
    """(1, 1, h, W) with columns resampled, bicubic and antialiased: (1, 1, h, width)."""
    size = (pixels.shape[2], width)
    return nn.functional.interpolate(pixels, size, mode="bicubic", antialias=True)


def _resampling(present: _Rows, wanted: _Rows) -> torch.Tensor:
    """(wanted.count, present.count) weights that do with rows what `_with_width` does: float64.

    As Pillow and PyTorch have it: the kernel is as wide as shrinking asks, and what would lie
    outside does not count.
    """
    ratio = present.whole / wanted.whole
    rows, centers = (
        torch.arange(rows.count, dtype=torch.float64) + rows.first + 0.5
        for rows in (present, wanted)
    )
    distances = (rows - ratio * centers[:, None]).abs()
    weights = cubic_kernel(distances / max(1.0, ratio))
    return weights / weights.sum(dim=1, keepdim=True)
