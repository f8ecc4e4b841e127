"""An image in the units of the metrics."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image

from scsnet_hf.color import lab_to_fitted_srgb, srgb_to_lab
from scsnet_hf.image_io import load_image


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
        """CIE Lab, (3, H, W), float32: L in [0, 100], a and b in their own units."""
        return srgb_to_lab(self.rgb)


def image_from_lab(lab: torch.Tensor) -> Image.Image:
    """Convert CIE Lab (3, H, W) to an image; colors outside sRGB lose chroma, not hue or L."""
    return load_image(lab_to_fitted_srgb(lab))
