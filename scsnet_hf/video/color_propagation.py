"""`propagate_colors`: what has not changed between two images of a video keeps its colors.

A recursive temporal filter that adapts to motion, as for noise in television (Dennis, "Nonlinear
temporal filter for television image noise reduction", 1980), here for a and b alone.
"""

import torch
from torch import nn

from ..color import lab_to_fitted_srgb, srgb_to_lab

_WEIGHT = 0.8  # of the previous colors; they fade within about five images
_TOLERANCE = 1.5  # CIE L; smaller differences are taken for noise
_GRAIN, _NEIGHBORHOOD = (
    3,
    7,
)  # pixels a side, over which differences, then their sizes, are averaged


def propagate_colors(previous: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
    """Mix the colors of the previous result into the current one, wherever both show the same.

    The image as a whole may have moved by whole pixels (a pan, an unsteady camera), and its
    exposure may have changed. The lightness is that of `current`.

    Args:
        previous: sRGB in [0, 1], (3, H, W).
        current: the next image in the same form. If its size differs, it is returned unchanged.

    Returns:
        sRGB in [0, 1], (3, H, W), float32.
    """
    if previous.shape != current.shape:
        return current
    previous, current = srgb_to_lab(previous), srgb_to_lab(current)
    shifted = _shift(previous, _find_shift(previous[0], current[0]))
    colors, difference = min(
        ((lab[1:], _difference(lab[0], current[0])) for lab in (previous, shifted)),
        key=lambda candidate: candidate[1].abs().nanmean().item(),
    )
    is_same = _average(_average(difference, _GRAIN).abs(), _NEIGHBORHOOD) < _TOLERANCE
    chroma = torch.where(is_same, torch.lerp(current[1:], colors, _WEIGHT), current[1:])
    return lab_to_fitted_srgb(torch.cat((current[:1], chroma)))


def _difference(previous: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
    """Differences of L (H, W) without that of exposure; NaN where there is no previous L."""
    difference = previous - current
    return difference - difference.nanmedian()


def _average(plane: torch.Tensor, side: int) -> torch.Tensor:
    """Means over the square around every pixel of (H, W)."""
    padded = nn.functional.pad(plane[None, None], (side // 2,) * 4, mode="replicate")
    return nn.functional.avg_pool2d(padded, side, stride=1)[0, 0]


def _find_shift(previous: torch.Tensor, current: torch.Tensor) -> tuple[int, int]:
    """(y, x) with current(p) = previous(p - (y, x)): phase correlation (Kuglin and Hines 1975)."""
    # The window keeps the borders of the image from being a feature of it.
    sides = current.shape
    window = torch.outer(*(torch.hann_window(side + 2, periodic=False)[1:-1] for side in sides))
    spectra = [torch.fft.rfft2((plane - plane.mean()) * window) for plane in (current, previous)]
    cross = spectra[0] * spectra[1].conj()
    peaks = torch.fft.irfft2(cross / cross.abs().clamp(min=1e-6), s=sides)
    position = divmod(int(peaks.argmax()), sides[1])
    y, x = (
        index - side if index > side // 2 else index
        for index, side in zip(position, sides, strict=True)
    )
    return y, x


def _shift(lab: torch.Tensor, shift: tuple[int, int]) -> torch.Tensor:
    """Move `lab` (3, H, W) by (y, x), with NaN where nothing was moved to."""
    moved = lab.roll(shift, dims=(1, 2))
    for side, offset, rows in zip(lab.shape[1:], shift, (moved, moved.mT), strict=True):
        rows[:, slice(0, offset) if offset >= 0 else slice(side + offset, side)] = torch.nan
    return moved
