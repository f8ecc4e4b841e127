"""DDColor-tiny (Kang et al., Towards Photo-Realistic Image Colorization via Dual Decoders, 2023).

A ConvNeXt, a decoder that upsamples its features to the full size, and a transformer whose queries
are colors. The published weights are for 512x512 (`ddcolor_paper_tiny`).
"""

import math

import torch
from torch import nn
from transformers import ConvNextBackbone, ConvNextConfig

_STAGES = (96, 192, 384, 768)  # channels of ConvNeXt-tiny, at 1/4 to 1/32
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


class PixelShuffleBlur(nn.Module):
    """1x1 convolution, pixel shuffle, and a 2x2 mean against checkerboard artifacts."""

    def __init__(self, channels: int, out_channels: int, scale: int, normalized: bool):
        super().__init__()
        expanded = out_channels * scale**2
        self.convolution = nn.Conv2d(channels, expanded, 1, bias=not normalized)
        self.norm = nn.BatchNorm2d(expanded) if normalized else nn.Identity()
        self.scale = scale

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C', scale H, scale W)."""
        features = self.norm(self.convolution(features)).relu()
        enlarged = nn.functional.pixel_shuffle(features, self.scale)
        padded = nn.functional.pad(enlarged, (1, 0, 1, 0), mode="replicate")
        return nn.functional.avg_pool2d(padded, 2, stride=1)


class DecoderBlock(nn.Module):
    """Doubles the size and merges the encoder's features of that size."""

    def __init__(self, channels: int, skip_channels: int, out_channels: int):
        super().__init__()
        self.enlarge = PixelShuffleBlur(channels, out_channels, 2, normalized=True)
        self.norm = nn.BatchNorm2d(skip_channels)
        self.merge = nn.Sequential(
            nn.Conv2d(out_channels + skip_channels, out_channels, 3, padding=1, bias=False),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, features: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) and (B, S, 2 H, 2 W) -> (B, C', 2 H, 2 W)."""
        return self.merge(torch.cat((self.enlarge(features), self.norm(skip)), dim=1).relu())


class Attention(nn.Module):
    """Multi-head attention with a skip connection, followed by layer norm."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.merge = (nn.Linear(width, width) for _ in range(4))
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        queries: torch.Tensor,
        query_positions: torch.Tensor,
        tokens: torch.Tensor,
        positions: torch.Tensor,
    ) -> torch.Tensor:
        """Let queries (B, Q, C) attend to tokens (B, N, C) -> (B, Q, C)."""
        query, key, value = (
            layer(tensor).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, tensor in (
                (self.query, queries + query_positions),
                (self.key, tokens + positions),
                (self.value, tokens),
            )
        )
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.norm(queries + self.merge(attended.transpose(1, 2).flatten(2)))


class FeedForward(nn.Module):
    """Two linear layers with a skip connection, followed by layer norm."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, width)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, queries: torch.Tensor) -> torch.Tensor:
        """(B, Q, C) -> the same shape."""
        return self.norm(queries + self.layers(queries))


class ColorDecoder(nn.Module):
    """Color queries attend to the features of three sizes in turn; each becomes a 1x1 filter."""

    def __init__(
        self,
        channels: tuple[int, ...],
        queries: int = 100,
        width: int = 256,
        layers: int = 9,
        heads: int = 8,
        hidden: int = 2048,
    ):
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(number, width, 1) for number in channels)
        self.levels = nn.Parameter(torch.randn(len(channels), width))
        self.queries = nn.Parameter(torch.randn(queries, width))
        self.query_positions = nn.Parameter(torch.randn(queries, width))
        self.cross = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.own = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.forward_layers = nn.ModuleList(FeedForward(width, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.filters = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        ).append(nn.Linear(width, width))

    def forward(self, pyramid: list[torch.Tensor], image: torch.Tensor) -> torch.Tensor:
        """Map features of three sizes and an image (B, C, H, W) to (B, Q, H, W)."""
        tokens, positions = [], []
        for project, level, features in zip(self.project, self.levels, pyramid, strict=True):
            tokens.append(project(features).flatten(2).transpose(1, 2) + level)
            positions.append(sine_positions(features, level.shape[-1]))
        queries = self.queries.expand(len(image), -1, -1)
        query_positions = self.query_positions
        for number, layers in enumerate(
            zip(self.cross, self.own, self.forward_layers, strict=True)
        ):
            cross, own, forward = layers
            level = number % len(pyramid)
            queries = cross(queries, query_positions, tokens[level], positions[level])
            queries = forward(own(queries, query_positions, queries, query_positions))
        return torch.einsum("bqc,bchw->bqhw", self.filters(self.norm(queries)), image)


def sine_positions(features: torch.Tensor, width: int) -> torch.Tensor:
    """Compute sines and cosines of all positions of (B, C, H, W), y before x: (H W, width)."""
    axes = []
    for size in features.shape[-2:]:
        place = torch.arange(1, size + 1, device=features.device) / size * 2 * math.pi
        exponent = torch.arange(0, width // 2, 2, device=features.device) / (width // 2)
        angle = place[:, None] / 10000**exponent
        axes.append(torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1))
    y, x = axes
    height, breadth = len(y), len(x)
    return torch.cat(
        (y[:, None].expand(-1, breadth, -1), x[None].expand(height, -1, -1)), dim=-1
    ).flatten(0, 1)


class DDColor(nn.Module):
    """The network of DDColor-tiny.

    Spectral normalization is omitted, which is a constant factor of the weights at inference, and
    so is the last norm of the encoder, whose result is unused.

    Args:
        width: channels of the decoder, half as many at the full size.
        queries: number of color queries.
    """

    def __init__(self, width: int = 512, queries: int = 100):
        super().__init__()
        for name, values in (("mean", _MEAN), ("deviation", _DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))
        self.encoder = ConvNextBackbone(
            ConvNextConfig(
                hidden_sizes=list(_STAGES),
                depths=[3, 3, 9, 3],
                out_features=["stage1", "stage2", "stage3", "stage4"],
            )
        )
        quarter, eighth, sixteenth, coarsest = _STAGES
        widths = (width, width, width // 2)
        self.blocks = nn.ModuleList(
            DecoderBlock(*channels)
            for channels in zip(
                (coarsest, width, width), (sixteenth, eighth, quarter), widths, strict=True
            )
        )
        self.enlarge = PixelShuffleBlur(width // 2, width // 2, 4, normalized=False)
        self.colors = ColorDecoder(widths, queries)
        self.refine = nn.Conv2d(queries + 3, 2, 1)

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        """Map gray RGB in [0, 1], (B, 3, H, W), to ab, (B, 2, H, W); sides multiples of 32."""
        rgb = (rgb - self.mean) / self.deviation
        *skips, features = self.encoder(rgb).feature_maps
        pyramid = []
        for block in self.blocks:
            features = block(features, skips.pop())
            pyramid.append(features)
        colors = self.colors(pyramid, self.enlarge(features))
        return self.refine(torch.cat((colors, rgb), dim=1))
