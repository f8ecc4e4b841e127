"""DRN: dual regression network (Guo et al., Closed-loop Matters, CVPR 2020), magnification 4.

Only the primal network runs at inference. That of DRN-L has 9.826 M parameters; its two dual models
add 0.002 M to the published 9.83 M. DRN-S is `DRN(width=16, blocks=30)`.
"""

import torch
from torch import nn

_MEAN = (0.4488, 0.4371, 0.4040)  # RGB of DIV2K
_REDUCTION = 16  # of the channel attention
_SLOPE = 0.2  # of the leaky ReLU


class ChannelAttentionBlock(nn.Module):
    """RCAB: two convolutions, a weight for every channel, a skip connection (Zhang et al. 2018)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // _REDUCTION, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // _REDUCTION, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> the same shape."""
        residual = self.body(features)
        return features + residual * self.weigh(residual)


def _halving(channels: int) -> nn.Sequential:
    """Halve the size and double the channels."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False),
        nn.LeakyReLU(_SLOPE, inplace=True),
        nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False),
    )


def _doubling(channels: int, out_channels: int, blocks: int) -> nn.Sequential:
    """Apply blocks, then double the size."""
    return nn.Sequential(
        *(ChannelAttentionBlock(channels) for _ in range(blocks)),
        nn.Conv2d(channels, 4 * channels, 3, padding=1),
        nn.PixelShuffle(2),
        nn.Conv2d(channels, out_channels, 1),
    )


class DRN(nn.Module):
    """The primal network: a U-Net on the bicubically enlarged source.

    Args:
        width: channels at the full size; twice and four times as many below it.
        blocks: channel attention blocks before each of the two doublings.
    """

    def __init__(self, width: int = 20, blocks: int = 40):
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.ModuleList((_halving(width), _halving(2 * width)))
        self.up = nn.ModuleList(
            (_doubling(4 * width, 2 * width, blocks), _doubling(4 * width, width, blocks))
        )
        # One for every size. Only training uses the smaller images, but their parameters count.
        self.tails = nn.ModuleList(
            nn.Conv2d(channels, 3, 3, padding=1) for channels in (4 * width, 4 * width, 2 * width)
        )

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        """Enlarge RGB in [0, 1], (B, 3, H, W), to (B, 3, 4 H, 4 W)."""
        enlarged = nn.functional.interpolate(rgb, scale_factor=4, mode="bicubic")
        features, skips = self.head(enlarged - self.mean), []
        for halve in self.down:
            skips.append(features)
            features = halve(features)
        for double in self.up:
            features = torch.cat((double(features), skips.pop()), dim=1)
        return self.tails[-1](features) + self.mean
