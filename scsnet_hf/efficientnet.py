"""EfficientNet-Lite (Tan and Le 2019) as the source encoder phi_E^s, instead of the paper's.

It can start from weights that have learned from ImageNet what things are, and so which colour they
may have. Batch normalization is folded into the convolutions: what is left is a plain function of
the picture, in which no layer normalizes.
"""

import math
from typing import NamedTuple

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_scsnet import SCSNetConfig
from .pixel_mapping import crop, pad_to_multiple

_STRIDE = 32
_STEM_CHANNELS = 32  # of every size of EfficientNet-Lite
_ROUNDING = 8  # channels of scaled stages are multiples of it
_TAPPED = (1, 2, 4, 6)  # the last stage at each of the strides 4, 8, 16, 32


class TrunkStage(NamedTuple):
    """Blocks of one width; the first has the stage's stride."""

    repeats: int
    expansion: int
    kernel: int
    stride: int
    channels: int

    def scaled(self, width: float, depth: float) -> "TrunkStage":
        """With `width` times the channels, rounded, and `depth` times the blocks, rounded up."""
        channels = width * self.channels
        rounded = max(_ROUNDING, int(channels + _ROUNDING / 2) // _ROUNDING * _ROUNDING)
        if rounded < 0.9 * channels:
            rounded += _ROUNDING
        return self._replace(repeats=math.ceil(depth * self.repeats), channels=rounded)


_LITE0 = (
    TrunkStage(1, 1, 3, 1, 16),
    TrunkStage(2, 6, 3, 2, 24),
    TrunkStage(2, 6, 5, 2, 40),
    TrunkStage(3, 6, 3, 2, 80),
    TrunkStage(3, 6, 5, 1, 112),
    TrunkStage(4, 6, 5, 2, 192),
    TrunkStage(1, 6, 3, 1, 320),
)


def trunk_stages(width: float = 1.0, depth: float = 1.0) -> list[TrunkStage]:
    """The stages of EfficientNet-Lite by its compound scaling: Lite0 is 1, 1 and Lite2 1.1, 1.2.

    As in all of its sizes, the first and the last stage keep their number of blocks.
    """
    first, *inner, last = _LITE0
    return [
        first.scaled(width, 1),
        *(stage.scaled(width, depth) for stage in inner),
        last.scaled(width, 1),
    ]


class _SameConvolution(nn.Conv2d):
    """Padded by zeros as in TensorFlow, without which pretrained weights see something else."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride=1, groups=1):
        before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
        even = before == after  # then the convolution pads without a copy
        padding = before if even else 0
        super().__init__(in_channels, out_channels, kernel, stride, padding, groups=groups)
        self.borders = None if even else (before, after, before, after)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, out_channels, H / stride, W / stride)."""
        if self.borders:
            features = nn.functional.pad(features, self.borders)
        return super().forward(features)


class InvertedResidual(GradientCheckpointingLayer):
    """Expand by a 1x1 convolution, filter every channel, project back; the block of the trunk."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        hidden = in_channels * expansion
        self.expand = nn.Conv2d(in_channels, hidden, 1) if expansion > 1 else None
        self.depthwise = _SameConvolution(hidden, hidden, kernel, stride, groups=hidden)
        self.project = nn.Conv2d(hidden, channels, 1)
        self.has_skip = stride == 1 and in_channels == channels
        self.project.starts_at_zero = self.has_skip

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, channels, H / stride, W / stride)."""
        hidden = features
        if self.expand is not None:
            hidden = nn.functional.relu6(self.expand(hidden), inplace=True)
        hidden = nn.functional.relu6(self.depthwise(hidden), inplace=True)
        projected = self.project(hidden)
        return features + projected if self.has_skip else projected


class EfficientNetLite(nn.Module):
    """The trunk of EfficientNet-Lite, for gray images: all layers before its classifier head.

    `widths` are the channels of what it returns.
    """

    def __init__(self, width: float = 1.0, depth: float = 1.0):
        super().__init__()
        stages = trunk_stages(width, depth)
        self.widths = [stages[index].channels for index in _TAPPED]
        self.stem = _SameConvolution(1, _STEM_CHANNELS, 3, stride=2)
        self.stages = nn.ModuleList()
        channels = _STEM_CHANNELS
        for repeats, expansion, kernel, stride, wide in stages:
            stage = nn.Sequential()
            for index in range(repeats):
                step = stride if index == 0 else 1
                stage.append(InvertedResidual(channels, wide, kernel, step, expansion))
                channels = wide
            self.stages.append(stage)

    def forward(self, pixel_values: torch.Tensor) -> list[torch.Tensor]:
        """Features of a gray picture at strides 4, 8, 16 and 32.

        Args:
            pixel_values: (B, 1, H, W) normalized L, sides multiples of 32. It is nearly what the
                pretrained trunk saw of a gray picture: sRGB values scaled to -1 to 1.
        """
        features = nn.functional.relu6(self.stem(pixel_values), inplace=True)
        levels = []
        for index, stage in enumerate(self.stages):
            features = stage(features)
            if index in _TAPPED:
                levels.append(features)
        return levels


class EfficientNetEncoder(nn.Module):
    """phi_E^s: the trunk, and a top-down path that brings all its levels to a quarter (Eq. 1).

    The path is that of feature pyramid networks (Lin et al. 2017).
    """

    def __init__(self, config: SCSNetConfig):
        super().__init__()
        channels = config.hidden_sizes[-1]
        self.trunk = EfficientNetLite(config.trunk_width, config.trunk_depth)
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in self.trunk.widths)
        self.merge = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="replicate")
            for _ in range(len(_TAPPED) - 1)
        )

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Normalized L (B, 1, H, W), sides multiples of 4 -> F_s (B, C, H / 4, W / 4)."""
        height, width = pixel_values.shape[-2:]
        levels = self.pyramid(pixel_values)
        features = self.lateral[-1](levels[-1])
        for index in reversed(range(len(self.merge))):
            doubled = nn.functional.interpolate(features, scale_factor=2, mode="bilinear")
            features = self.merge[index]((self.lateral[index](levels[index]) + doubled).relu())
        return crop(features, (height // 4, width // 4))

    def pyramid(self, pixel_values: torch.Tensor) -> list[torch.Tensor]:
        """Features of the trunk, at strides 4, 8, 16 and 32, of normalized L (B, 1, H, W)."""
        return self.trunk(pad_to_multiple(pixel_values, _STRIDE))
