"""The colorizer of Zhang et al., Real-Time User-Guided Image Colorization, SIGGRAPH 2017.

In automatic mode: hints and their mask are zero.
"""

from itertools import pairwise

import torch
from torch import nn

_CLASSES = 529  # bins of ab
_SLOPE = 0.2  # of the leaky ReLU


def _block(*channels: int, dilation: int = 1) -> nn.Sequential:
    """Chain convolutions with ReLU from one number of channels to the next, then batch norm."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [
            nn.Conv2d(before, after, 3, padding=dilation, dilation=dilation),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, nn.BatchNorm2d(channels[-1]))


def _doubling(channels: int, out_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, out_channels, 4, stride=2, padding=1)


class Siggraph17(nn.Module):
    """A U-Net of ten blocks; its classification head counts, but only training evaluates it."""

    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList(
            (_block(4, 64, 64), _block(64, 128, 128), _block(128, 256, 256, 256))
        )
        self.middle = nn.Sequential(
            _block(256, 512, 512, 512),
            _block(512, 512, 512, 512, dilation=2),
            _block(512, 512, 512, 512, dilation=2),
            _block(512, 512, 512, 512),
        )
        self.doublings = nn.ModuleList(
            (_doubling(512, 256), _doubling(256, 128), _doubling(128, 128))
        )
        self.shortcuts = nn.ModuleList(
            nn.Conv2d(*channels, 3, padding=1) for channels in ((256, 256), (128, 128), (64, 128))
        )
        self.up = nn.ModuleList(
            (
                _block(256, 256, 256),
                _block(128, 128),
                nn.Sequential(nn.Conv2d(128, 128, 3, padding=1), nn.LeakyReLU(_SLOPE)),
            )
        )
        self.classes = nn.Conv2d(256, _CLASSES, 1)
        self.last = nn.Conv2d(128, 2, 1)

    def forward(self, lightness: torch.Tensor) -> torch.Tensor:
        """Map L in [0, 100], (B, 1, H, W), to ab in [-110, 110], (B, 2, H, W); sides are 8n."""
        features, skips = nn.functional.pad((lightness - 50) / 100, (0, 0, 0, 0, 0, 3)), []
        for block in self.down:
            skips.append(block(features))
            features = skips[-1][:, :, ::2, ::2]
        features = self.middle(features)
        for double, shortcut, block in zip(self.doublings, self.shortcuts, self.up, strict=True):
            features = block((double(features) + shortcut(skips.pop())).relu())
        return 110 * self.last(features).tanh()
