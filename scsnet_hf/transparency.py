"""Transparent pictures: colours that nobody sees, and alpha at another size."""

import numpy as np
import torch
from PIL import Image
from torch import nn

from .decoding import split_alpha


def visible_colors(picture: Image.Image) -> Image.Image:
    """A plain picture without alpha (L, I;16 or RGB), what is hidden filled by `fill_hidden`."""
    colors, alpha = split_alpha(picture)
    if alpha is None:
        return colors
    levels = torch.from_numpy(np.array(colors, dtype=np.float32))
    levels = levels.reshape(1, *np.shape(alpha), -1).permute(0, 3, 1, 2)
    filled = fill_hidden(levels, torch.from_numpy(np.array(alpha) > 0)[None, None])
    return Image.fromarray(filled[0].permute(1, 2, 0).squeeze(2).round().byte().numpy())


def fill_hidden(values: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Replace what lies under fully transparent pixels by its visible surroundings.

    The network would otherwise mix it into the edges (dark fringes). Pull-push (Gortler et al.,
    "The Lumigraph", SIGGRAPH 1996): means of visible pixels at half the size, again and again, and
    back.

    Args:
        values: (1, C, H, W).
        visible: (1, 1, H, W) bool.

    Returns:
        (1, C, H, W), where `visible` exactly `values`; all of it if nothing is visible.
    """
    if visible.all() or not visible.any():
        return values
    window = [min(2, side) for side in values.shape[-2:]]
    weight = _mean(visible.to(values.dtype), window)
    halved = _mean(values * visible, window) / weight.clamp_min(torch.finfo(values.dtype).tiny)
    around = nn.functional.interpolate(
        fill_hidden(halved, weight > 0), values.shape[-2:], mode="bilinear"
    )
    return torch.where(visible, values, around)


def _mean(values: torch.Tensor, window: list[int]) -> torch.Tensor:
    return nn.functional.avg_pool2d(values, window, ceil_mode=True, count_include_pad=False)


def resized_alpha(alpha: Image.Image, size: tuple[int, int]) -> Image.Image:
    """An alpha channel (mode L) at another size (width, height); one even level stays exact."""
    lowest, highest = alpha.getextrema()
    if lowest == highest:
        return Image.new("L", size, lowest)
    return alpha.resize(size, Image.Resampling.BICUBIC)
