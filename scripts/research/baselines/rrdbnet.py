"""RRDBNet: residual-in-residual dense blocks (Wang et al., ESRGAN, ECCVW 2018).

The size is that of ESRGAN and of Real-ESRGAN x4plus.
"""

import torch
from torch import nn

_RESIDUAL_SCALE = 0.2
_SLOPE = 0.2  # of the leaky ReLU


def _activated(features: torch.Tensor) -> torch.Tensor:
    return nn.functional.leaky_relu(features, _SLOPE, inplace=True)


class DenseBlock(nn.Module):
    """Five convolutions, each of which gets the results of all before it."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        self.growing = nn.ModuleList(
            nn.Conv2d(width + number * growth, growth, 3, padding=1) for number in range(4)
        )
        self.last = nn.Conv2d(width + 4 * growth, width, 3, padding=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> the same shape."""
        outputs = features
        for convolution in self.growing:
            outputs = torch.cat((outputs, _activated(convolution(outputs))), dim=1)
        return features + _RESIDUAL_SCALE * self.last(outputs)


class ResidualDenseBlocks(nn.Sequential):
    """RRDB: three dense blocks and a skip connection."""

    def __init__(self, width: int, growth: int):
        super().__init__(*(DenseBlock(width, growth) for _ in range(3)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> the same shape."""
        return features + _RESIDUAL_SCALE * super().forward(features)


class RRDBNet(nn.Module):
    """The generator of ESRGAN, magnification 4.

    Args:
        blocks: RRDBs.
        width: channels.
        growth: channels that each convolution of a dense block adds.
    """

    def __init__(self, blocks: int = 23, width: int = 64, growth: int = 32):
        super().__init__()

        def convolution(channels: int = width) -> nn.Conv2d:
            return nn.Conv2d(width, channels, 3, padding=1)

        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.trunk = nn.Sequential(
            *(ResidualDenseBlocks(width, growth) for _ in range(blocks)), convolution()
        )
        self.doublings = nn.ModuleList(convolution() for _ in range(2))
        self.fine = convolution()
        self.last = convolution(3)

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        """Enlarge RGB in [0, 1], (B, 3, H, W), to (B, 3, 4 H, 4 W)."""
        features = self.first(rgb)
        features = features + self.trunk(features)
        for convolution in self.doublings:
            enlarged = nn.functional.interpolate(features, scale_factor=2, mode="nearest")
            features = _activated(convolution(enlarged))
        return self.last(_activated(self.fine(features)))
