"""Residual blocks, and the encoder phi_E and decoder phi_D that consist of them (Fig. 3)."""

from functools import partial

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention import SelfAttention
from .configuration_scsnet import SCSNetConfig


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
    """Return `depth` blocks."""
    return [ResidualBlock(channels) for _ in range(depth)]


class ColorEncoder(nn.Sequential):
    """phi_E: residual blocks and two stride-2 steps, (B, C0, H, W) -> (B, C2, h, w) (Eq. 1).

    No layer normalizes, since that would remove how saturated a color is.
    """

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


class ColorDecoder(nn.Sequential):
    """phi_D: self-attention, convolutions and two x2 steps, F_int -> F_color (B, C0, H, W)."""

    def __init__(self, config: SCSNetConfig):
        full, half, quarter = config.hidden_sizes
        depths = config.decoder_depths
        double = partial(nn.Upsample, scale_factor=2, mode="bilinear")
        super().__init__(
            SelfAttention(config),
            *residual_blocks(quarter, depths[0]),
            convolution(quarter, half),
            nn.ReLU(),
            double(),
            *residual_blocks(half, depths[1]),
            convolution(half, full),
            double(),
            *residual_blocks(full, depths[2]),
        )
