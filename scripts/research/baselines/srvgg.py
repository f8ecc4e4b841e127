"""SRVGGNetCompact: plain convolutions at the size of the source (Wang et al., Real-ESRGAN, 2021).

realesr-general-x4v3 has 32 convolutions in the middle, realesr-animevideov3 has 16.
"""

import torch
from torch import nn


class SRVGGNetCompact(nn.Module):
    """A chain of convolutions and PReLU, then pixel shuffle, added to the enlarged source.

    Args:
        convolutions: between the first and the last.
        width: their channels.
        scale: magnification.
    """

    def __init__(self, convolutions: int = 32, width: int = 64, scale: int = 4):
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(convolutions):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        self.body = nn.Sequential(*layers, nn.Conv2d(width, 3 * scale**2, 3, padding=1))

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        """Enlarge RGB in [0, 1], (B, 3, H, W), to (B, 3, scale H, scale W)."""
        details = nn.functional.pixel_shuffle(self.body(rgb), self.scale)
        return details + nn.functional.interpolate(rgb, scale_factor=self.scale, mode="nearest")
