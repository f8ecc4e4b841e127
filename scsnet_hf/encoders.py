"""The encoders of the color branch, phi_E (Eq. 1): the paper's, and EfficientNet-Lite.

EfficientNet-Lite (Tan and Le 2019) can be the source encoder. It can start from ImageNet weights,
which recognize objects and so help to find their colors. Batch normalization is folded into its
convolutions. No layer normalizes, since that would remove how saturated a color is.
"""

import math
from typing import NamedTuple

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_scsnet import SCSNetConfig
from .pixel_mapping import crop, pad_to_multiple

_STRIDE = 32
_STEM_CHANNELS = 32  # not scaled in EfficientNet-Lite
_CHANNEL_MULTIPLE = 8
_TAPPED = (1, 2, 4, 6)  # the last stage at each of the strides 4, 8, 16, 32


def convolution(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """3x3, with the border pixels repeated, so that a constant image stays constant."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, padding_mode="replicate")


class ResidualBlock(GradientCheckpointingLayer):
    """The paper's basic block: two 3x3 convolutions and a skip."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = convolution(channels, channels)
        self.conv2 = convolution(channels, channels)
        # A new block is the identity, so that depth does not slow down the start of training.
        self.conv2.starts_at_zero = True

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> the same shape."""
        return self.conv2(self.conv1(features).relu_()).add_(features)


def residual_blocks(channels: int, depth: int) -> list[ResidualBlock]:
    """Blocks of the same number of channels."""
    return [ResidualBlock(channels) for _ in range(depth)]


class ColorEncoder(nn.Sequential):
    """phi_E: residual blocks and two stride-2 steps, (B, C0, H, W) -> (B, C2, h, w) (Eq. 1)."""

    def __init__(self, config: SCSNetConfig):
        full, half, quarter = config.hidden_sizes
        depths = config.encoder_depths
        super().__init__(
            *residual_blocks(full, depths[0]),
            convolution(full, half, stride=2),
            nn.ReLU(),
            *residual_blocks(half, depths[1]),
            convolution(half, quarter, stride=2),
            nn.ReLU(),
            *residual_blocks(quarter, depths[2]),
        )


class TrunkStage(NamedTuple):
    """Blocks of the same number of channels; the first one has the stride of the stage."""

    repeats: int
    expansion: int
    kernel: int
    stride: int
    channels: int

    def scaled(self, width: float, depth: float) -> "TrunkStage":
        """Multiply channels and blocks; see `trunk_stages`."""
        wanted = width * self.channels
        steps = max(1, int(wanted / _CHANNEL_MULTIPLE + 0.5))
        if steps * _CHANNEL_MULTIPLE < 0.9 * wanted:
            steps += 1
        repeats = math.ceil(depth * self.repeats)
        return self._replace(repeats=repeats, channels=steps * _CHANNEL_MULTIPLE)


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
    """Return the stages of EfficientNet-Lite by its compound scaling.

    Args:
        width: factor on the channels, which become multiples of 8 and lose at most a tenth.
        depth: factor on the blocks of every stage, rounded up. The first and the last stage keep
            theirs, as in all published sizes.
    """
    first, *inner, last = _LITE0
    return [
        first.scaled(width, 1),
        *(stage.scaled(width, depth) for stage in inner),
        last.scaled(width, 1),
    ]


class _SameConvolution(nn.Conv2d):
    """Convolution with TensorFlow's "same" zero padding, which the pretrained weights expect."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride=1, groups=1):
        before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
        even = before == after  # the convolution itself then pads, without a copy
        padding = before if even else 0
        super().__init__(in_channels, out_channels, kernel, stride, padding, groups=groups)
        self.borders = None if even else (before, after, before, after)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, out_channels, H / stride, W / stride)."""
        if self.borders:
            features = nn.functional.pad(features, self.borders)
        return super().forward(features)


class InvertedResidual(GradientCheckpointingLayer):
    """The trunk's block: 1x1 expansion, depthwise convolution, 1x1 projection, and a skip."""

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
    """The trunk of EfficientNet-Lite for gray images: all layers before the classifier head.

    Args:
        width: factor on the channels of Lite0, see `trunk_stages`.
        depth: factor on the number of its blocks.

    Attributes:
        channels: of the features at each of the strides 4, 8, 16 and 32.
    """

    def __init__(self, width: float = 1.0, depth: float = 1.0):
        super().__init__()
        stages = trunk_stages(width, depth)
        self.channels = [stages[index].channels for index in _TAPPED]
        self.stem = _SameConvolution(1, _STEM_CHANNELS, 3, stride=2)
        self.stages = nn.ModuleList()
        channels = _STEM_CHANNELS
        for repeats, expansion, kernel, stride, stage_channels in stages:
            stage = nn.Sequential()
            for index in range(repeats):
                step = stride if index == 0 else 1
                stage.append(InvertedResidual(channels, stage_channels, kernel, step, expansion))
                channels = stage_channels
            self.stages.append(stage)

    def forward(self, pixel_values: torch.Tensor) -> list[torch.Tensor]:
        """Compute the features at strides 4, 8, 16 and 32.

        Args:
            pixel_values: (B, 1, H, W) normalized L, sides multiples of 32. For a gray image this is
                close to the pretrained trunk's input, sRGB values scaled to [-1, 1].

        Returns:
            (B, C, H/s, W/s) for each stride s, with 24, 40, 112 and 320 channels in Lite0.
        """
        features = nn.functional.relu6(self.stem(pixel_values), inplace=True)
        levels = []
        for index, stage in enumerate(self.stages):
            features = stage(features)
            if index in _TAPPED:
                levels.append(features)
        return levels


class EfficientNetEncoder(nn.Module):
    """phi_E^s: the trunk, and a top-down path that merges its levels at stride 4 (Eq. 1).

    The path is that of feature pyramid networks (Lin et al. 2017). Unlike the residual encoder,
    this one has a stem of its own.
    """

    def __init__(self, config: SCSNetConfig):
        super().__init__()
        channels = config.hidden_sizes[-1]
        self.trunk = EfficientNetLite(config.trunk_width, config.trunk_depth)
        self.lateral = nn.ModuleList(
            nn.Conv2d(tapped, channels, 1) for tapped in self.trunk.channels
        )
        self.merge = nn.ModuleList(convolution(channels, channels) for _ in range(len(_TAPPED) - 1))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Normalized L (B, 1, H, W), sides multiples of 4 -> F_s (B, C, h, w)."""
        height, width = pixel_values.shape[-2:]
        levels = self.pyramid(pixel_values)
        features = self.lateral[-1](levels[-1])
        for index in reversed(range(len(self.merge))):
            doubled = nn.functional.interpolate(features, scale_factor=2, mode="bilinear")
            features = self.merge[index]((self.lateral[index](levels[index]) + doubled).relu())
        return crop(features, (height // 4, width // 4))

    def pyramid(self, pixel_values: torch.Tensor) -> list[torch.Tensor]:
        """Compute the trunk's features of normalized L (B, 1, H, W) at strides 4, 8, 16 and 32."""
        return self.trunk(pad_to_multiple(pixel_values, _STRIDE))


SOURCE_ENCODER_CLASSES = {"residual": ColorEncoder, "efficientnet_lite": EfficientNetEncoder}
