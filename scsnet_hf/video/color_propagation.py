"""`hold_colors`: what has not changed between two images of a video keeps its colors.

A recursive temporal filter that adapts to motion, as for noise in television (Dennis, "Nonlinear
temporal filter for television image noise reduction", 1980), here of a and b alone.
"""

import torch
from torch import nn

from ..color import lab_to_fitted_srgb, srgb_to_lab

_SHARE = 0.8  # of the colors before; the memory fades within about five images
_TOLERANCE = 1.5  # CIE L; what differs by less is taken for the same thing
_GRAIN, _AROUND = 3, 7  # pixels a side, over which differences and then their sizes are averaged


def hold_colors(before: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
    """Mix the colors of the result before into a result, wherever they show the same.

    The image as a whole may have moved by whole pixels (a pan, an unsteady video), and its
    exposure may have changed. Lightness stays that of `now`.

    Args:
        before: sRGB in [0, 1], (3, H, W).
        now: the same of the next image. One of another size is returned as it is.

    Returns:
        As `now`, float32.
    """
    if before.shape != now.shape:
        return now
    before, now = srgb_to_lab(before), srgb_to_lab(now)
    moved = _shifted(before, _shift_between(before[0], now[0]))
    colors, difference = min(
        ((lab[1:], _difference(lab[0], now[0])) for lab in (before, moved)),
        key=lambda candidate: candidate[1].abs().nanmean().item(),
    )
    same = _averaged(_averaged(difference, _GRAIN).abs(), _AROUND) < _TOLERANCE
    chroma = torch.where(same, torch.lerp(now[1:], colors, _SHARE), now[1:])
    return lab_to_fitted_srgb(torch.cat((now[:1], chroma)))


def _difference(before: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
    """L - L' (H, W) but for a change of exposure; NaN where there is no L before."""
    difference = before - now
    return difference - difference.nanmedian()


def _averaged(plane: torch.Tensor, side: int) -> torch.Tensor:
    """Means of the squares around every pixel of (H, W)."""
    padded = nn.functional.pad(plane[None, None], (side // 2,) * 4, mode="replicate")
    return nn.functional.avg_pool2d(padded, side, stride=1)[0, 0]


def _shift_between(before: torch.Tensor, now: torch.Tensor) -> tuple[int, int]:
    """(y, x) with now(p) = before(p - (y, x)): phase correlation (Kuglin and Hines 1975)."""
    # A window, so that the borders of the image are no feature of it.
    window = torch.outer(*(torch.hann_window(side + 2, periodic=False)[1:-1] for side in now.shape))
    spectra = [torch.fft.rfft2((plane - plane.mean()) * window) for plane in (now, before)]
    cross = spectra[0] * spectra[1].conj()
    peaks = torch.fft.irfft2(cross / cross.abs().clamp(min=1e-6), s=now.shape)
    place = divmod(int(peaks.argmax()), now.shape[1])
    y, x = (
        index - side if index > side // 2 else index
        for index, side in zip(place, now.shape, strict=True)
    )
    return y, x


def _shifted(lab: torch.Tensor, shift: tuple[int, int]) -> torch.Tensor:
    """`lab` (3, H, W) moved by (y, x), NaN where nothing moved to."""
    moved = lab.roll(shift, dims=(1, 2))
    for side, offset, rows in zip(lab.shape[1:], shift, (moved, moved.mT), strict=True):
        rows[:, slice(0, offset) if offset >= 0 else slice(side + offset, side)] = torch.nan
    return moved
