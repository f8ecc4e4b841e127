"""An image in the units of the measures."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image

from scsnet_hf.color import lab_to_fitted_srgb, srgb_to_lab


@dataclass(frozen=True)
class Pixels:
    """An image with its colors, which are computed once."""

    image: Image.Image  # RGB

    @cached_property
    def rgb(self) -> torch.Tensor:
        """sRGB in [0, 1], (3, H, W), float32."""
        return torch.from_numpy(np.array(self.image)).permute(2, 0, 1).float() / 255

    @cached_property
    def lab(self) -> torch.Tensor:
        """CIE Lab, (3, H, W), float32: L in [0, 100], a and b in own units."""
        return srgb_to_lab(self.rgb)


def image_of_rgb(rgb: torch.Tensor) -> Image.Image:
    """Image of sRGB in [0, 1], (3, H, W), rounded to 8 bits."""
    levels = (rgb * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return Image.fromarray(np.ascontiguousarray(levels))


def image_of_lab(lab: torch.Tensor) -> Image.Image:
    """Image of CIE Lab (3, H, W); colors outside sRGB lose chroma, never hue or lightness."""
    return image_of_rgb(lab_to_fitted_srgb(lab))
