"""Transparency: what is invisible is filled before the network sees it; alpha is resized beside."""

import numpy as np
import torch
from PIL import Image
from torch import nn

from .decoding import split_alpha


def drop_alpha(image: Image.Image) -> Image.Image:
    """Return a decoded image as L, I;16 or RGB, fully transparent pixels filled from around."""
    colors, alpha = split_alpha(image)
    if alpha is None:
        return colors
    levels = torch.from_numpy(np.array(colors, dtype=np.float32))
    levels = levels.reshape(1, *np.shape(alpha), -1).permute(0, 3, 1, 2)
    filled = fill_transparent(levels, torch.from_numpy(np.array(alpha) > 0)[None, None])
    return Image.fromarray(filled[0].permute(1, 2, 0).squeeze(2).round().byte().numpy())


def fill_transparent(values: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Replace the values of fully transparent pixels by those of their visible surroundings.

    The network would otherwise mix them into the edges (dark fringes). Pull-push (Gortler et al.,
    "The Lumigraph", SIGGRAPH 1996): visible pixels are averaged to half the size until none is
    missing, and missing ones are filled from there by bilinear enlargement.

    Args:
        values: (1, C, H, W).
        visible: (1, 1, H, W) bool.

    Returns:
        (1, C, H, W), unchanged where `visible`; unchanged everywhere if nothing is visible.
    """
    if visible.all() or not visible.any():
        return values
    window = [min(2, side) for side in values.shape[-2:]]
    weight = _average(visible.to(values.dtype), window)
    halved = _average(values * visible, window) / weight.clamp_min(torch.finfo(values.dtype).tiny)
    around = nn.functional.interpolate(
        fill_transparent(halved, weight > 0), values.shape[-2:], mode="bilinear"
    )
    return torch.where(visible, values, around)


def _average(values: torch.Tensor, window: list[int]) -> torch.Tensor:
    return nn.functional.avg_pool2d(values, window, ceil_mode=True, count_include_pad=False)


def resize_alpha(alpha: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize an alpha channel (mode L) to (width, height); a constant one stays exact."""
    lowest, highest = alpha.getextrema()
    if lowest == highest:
        return Image.new("L", size, lowest)
    return alpha.resize(size, Image.Resampling.BICUBIC)
