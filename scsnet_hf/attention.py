"""Attention of the color branch: self-attention and (pyramid valve) cross attention (Fig. 4, 5).

Letters as in modeling_scsnet.py; h w also stand for the smaller sizes of the pyramid's levels, and
N and Nr are the numbers of source and reference tokens.
"""

import math
from typing import NamedTuple

import torch
from torch import nn
from transformers import initialization as init

from .configuration_scsnet import SCSNetConfig
from .encoders import convolution
from .pixel_mapping import CELL, hint_cells

_SHARPNESS = 10.0  # factor on the cosines, where it is not learned
_INITIAL_LOGIT_SCALE = math.log(20.0)  # where it is learned

_RADIUS = 2  # pixels around a pixel that its color model is fitted to
_NOISE = 1e-3  # variance of normalized L below which the slopes tend to 0
_COLOR_GAIN = 8.0  # brings a and b, whose standard deviation is about 1/8, to that of features
_EVIDENCE_SIZE = 2  # channels: the cosine of the match, and the reference valve
_TRANSFERRED_SIZE = 4 + _EVIDENCE_SIZE  # channels of a color model and its evidence

# Of a reference, (B, Nr, C) for every level of the pyramid, with `transferred_colors` (B, Nr, C+4).
Tokens = tuple[torch.Tensor, ...]


def _to_tokens(features: torch.Tensor) -> torch.Tensor:
    """(B, C, h, w) -> (B, N, C)."""
    # Contiguous: linear layers on a transposed view would tie exported code to batches above 1.
    return features.flatten(2).transpose(1, 2).contiguous()


def _tokens_at(
    features: torch.Tensor, cells: torch.Tensor, colors: torch.Tensor | None
) -> torch.Tensor:
    """(B, C, h, w) at x and y (B, K, 2) -> (B, K, C), and color models that are constant."""
    column, row = cells.unbind(-1)
    index = (row * features.shape[-1] + column).unsqueeze(-1).expand(-1, -1, features.shape[1])
    tokens = _to_tokens(features).gather(1, index)
    if colors is None:
        return tokens
    return torch.cat((tokens, torch.zeros_like(colors), colors), dim=-1)


def _to_map(tokens: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(B, N, C) -> (B, C, h, w), with the size of `like`."""
    return tokens.transpose(1, 2).unflatten(2, like.shape[-2:])


def _attend(
    config: SCSNetConfig,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sharpness: float | torch.Tensor = _SHARPNESS,
    output_attentions: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Compute softmax(Q K^T) V of tokens.

    In the paper the logits are dot products, not scaled, as in Zhang et al. (2019b). With cosines,
    the sharpness of the attention does not depend on the scale of the features, which nothing else
    normalizes. Logits are float32 whatever the dtype of the tokens.

    Args:
        config: its `similarity` is that of queries and keys. Its attention implementation "eager"
            forms the weights; any other uses the fused kernel.
        query: (B, N, C).
        key: (B, Nr, C).
        value: (B, Nr, C'), C' of at least C.
        sharpness: factor on the cosines.
        output_attentions: form the weights and return them.

    Returns:
        (B, N, C') in the dtype of `value`, and the weights of the only head (B, 1, N, Nr) or None.
    """
    dtype = value.dtype
    query, key = query.float(), key.float()
    if config.similarity != "dot":
        query = sharpness * nn.functional.normalize(query, dim=-1)
        key = nn.functional.normalize(key, dim=-1)
    query, key, value = (tokens[:, None] for tokens in (query, key, value.float()))  # (B, 1, N, C)
    if output_attentions or config._attn_implementation == "eager":
        weights = (query @ key.transpose(2, 3)).softmax(dim=-1)
        attended = weights @ value
        return attended[:, 0].to(dtype), weights if output_attentions else None
    # The fused kernel needs the same number of channels in all three; zeros change no product.
    missing = max(0, value.shape[-1] - query.shape[-1])
    query, key = (nn.functional.pad(tokens, (0, missing)) for tokens in (query, key))
    attended = nn.functional.scaled_dot_product_attention(query, key, value, scale=1.0)
    return attended[:, 0].to(dtype), None


class SelfAttention(nn.Module):
    """The self-attention layer of phi_D, with a skip (Sec. 3; Zhang et al. 2019b)."""

    def __init__(self, config: SCSNetConfig):
        super().__init__()
        channels = config.hidden_sizes[-1]
        self.config = config
        self.query = nn.Linear(channels, channels // 2)
        self.key = nn.Linear(channels, channels // 2)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)
        self.output.starts_at_zero = True

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> the same shape."""
        tokens = _to_tokens(features)
        projected = self.query(tokens), self.key(tokens), self.value(tokens)
        attended, _ = _attend(self.config, *projected)
        return features + _to_map(self.output(attended), features)


class Transfer(NamedTuple):
    """Result of one cross attention: what the reference contributes at every source position."""

    features: torch.Tensor  # (B, C, h, w): F_r->s, or F_t after the valves
    weights: torch.Tensor | None = None  # (B, 1, N, Nr), on request
    match: torch.Tensor | None = None  # (B, C, h, w), see CrossAttention._match
    valves: torch.Tensor | None = None  # (B, 2, h, w) in (0, 1): source valve, reference valve
    # (B, 4, h, w) color models of the tokens; after the valves (B, 6, h, w), with their evidence
    colors: torch.Tensor | None = None


class CrossAttention(nn.Module):
    """Attention from the source (Q) to the reference (K, V), without valves: F_r->s (Fig. 4).

    If the sharpness of the attention is learned, it is as the logarithm `logit_scale` (Radford et
    al. 2021). With `matched` (not in the paper) the result says how well each position is matched.
    Color models that tokens carry are transferred as they are.
    """

    def __init__(self, config: SCSNetConfig, matched: bool = False):
        super().__init__()
        channels = config.attention_size
        self.config = config
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.matched = matched
        learned = config.similarity == "learned_cosine"
        self.logit_scale = nn.Parameter(torch.empty(())) if learned else None
        self.init_logit_scale()

    @torch.no_grad()
    def init_logit_scale(self) -> None:
        """Set the learned sharpness to its initial value."""
        if self.logit_scale is not None:
            init.constant_(self.logit_scale, _INITIAL_LOGIT_SCALE)

    @property
    def sharpness(self) -> float | torch.Tensor:
        """The factor on the cosines."""
        return _SHARPNESS if self.logit_scale is None else self.logit_scale.float().exp()

    def forward(
        self, source: torch.Tensor, reference: torch.Tensor, output_attentions: bool = False
    ) -> Transfer:
        """Source features (B, C, h, w) and reference tokens (B, Nr, C) -> F_r->s."""
        channels = source.shape[1]
        reference, colors = reference[..., :channels], reference[..., channels:]
        query, key = self.query(_to_tokens(source)), self.key(reference)
        value = torch.cat((self.value(reference), colors), dim=-1)
        attended, weights = _attend(
            self.config, query, key, value, self.sharpness, output_attentions
        )
        match = _to_map(self._match(query, key), source) if self.matched else None
        attended = _to_map(attended, source)
        return Transfer(
            attended[:, :channels],
            weights,
            match,
            colors=attended[:, channels:] if self.config.transferred_colors else None,
        )

    def _match(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """Compare each query with the mean key that it attends to: (B, N, C).

        The mean over C is their dot product: 1 for a perfect match, -1 for the opposite.
        """
        query, key = (nn.functional.normalize(tokens, dim=-1) for tokens in (query, key))
        found, _ = _attend(self.config, query, key, key, self.sharpness)
        return query * found * query.shape[-1]


class ValveCrossAttention(nn.Module):
    """VCAttn: two sigmoid maps decide how much of source and reference passes (Fig. 4).

    Not in the paper: with `matched_references` the valves also depend on how well each position is
    matched, and with `valve_convolution` a 1x1 convolution follows.
    """

    def __init__(self, config: SCSNetConfig):
        super().__init__()
        channels, matched = config.attention_size, config.matched_references
        self.attention = CrossAttention(config, matched)
        self.valves = nn.Conv2d(2 * channels, 2, 1)
        self.match_valves = None
        if matched:
            self.match_valves = nn.Conv2d(channels, 2, 1, bias=False)
            self.match_valves.starts_at_zero = True
        self.output = nn.Conv2d(channels, channels, 1) if config.valve_convolution else None

    def forward(
        self, source: torch.Tensor, reference: torch.Tensor, output_attentions: bool = False
    ) -> Transfer:
        """Source features (B, C, h, w) and reference tokens (B, Nr, C) -> F_t and the valves."""
        transfer = self.attention(source, reference, output_attentions)
        logits = self.valves(torch.cat((source, transfer.features), dim=1))
        if self.match_valves is not None:
            logits = logits + self.match_valves(transfer.match)
        valves = logits.sigmoid()
        source_valve, reference_valve = valves.split(1, dim=1)
        mixed = source_valve * source + reference_valve * transfer.features
        if self.output is not None:
            mixed = self.output(mixed)
        colors = transfer.colors
        if colors is not None:
            cosine = transfer.match.mean(dim=1, keepdim=True)
            colors = torch.cat((colors, cosine, reference_valve), dim=1)
        return transfer._replace(features=mixed, valves=valves, colors=colors)


class FusedFeatures(NamedTuple):
    """Features of the color branch and, on request, the maps that show where they come from."""

    features: torch.Tensor  # (B, C, h, w)
    attentions: tuple[torch.Tensor, ...] = ()  # per level (B, 1, N, Nr), rows sum to 1
    valves: tuple[torch.Tensor, ...] = ()  # per level (B, 2, h, w): source valve, reference valve
    hidden_states: tuple[torch.Tensor, ...] = ()  # F_s and F_int, each (B, C, h, w)
    colors: torch.Tensor | None = None  # (B, 6 per level, h, w), those of every `Transfer`

    @classmethod
    def from_levels(
        cls,
        features: torch.Tensor,
        levels: list[Transfer],
        colors: torch.Tensor | None = None,
    ) -> "FusedFeatures":
        """F_int, with the maps of those levels whose weights were requested."""
        shown = [level for level in levels if level.weights is not None]
        return cls(
            features,
            tuple(level.weights for level in shown),
            tuple(level.valves for level in shown if level.valves is not None),
            colors=colors,
        )


class FeaturePyramid(nn.ModuleList):
    """The pre-convolutions of Fig. 5: a feature map per level, each half the size of the last."""

    def __init__(self, in_channels: int, channels: int, levels: int):
        super().__init__(
            convolution(channels if level else in_channels, channels, stride=2 if level else 1)
            for level in range(levels)
        )

    def forward(self, features: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, h, w) -> for level l (B, channels, ceil(h / 2^l), ceil(w / 2^l))."""
        levels = []
        for step in self:
            features = step(features.relu() if levels else features)
            levels.append(features)
        return levels


class PyramidValveCrossAttention(nn.Module):
    """PVCAttn: valve cross attention at several scales, concatenated and convolved (Fig. 5)."""

    def __init__(self, config: SCSNetConfig):
        super().__init__()
        hidden, channels, levels = (
            config.hidden_sizes[-1],
            config.attention_size,
            config.pyramid_levels,
        )
        self.has_skip = config.cross_attention_skip
        self.source_pyramid = FeaturePyramid(hidden, channels, levels)
        self.reference_pyramid = FeaturePyramid(hidden, channels, levels)
        self.attentions = nn.ModuleList(ValveCrossAttention(config) for _ in range(levels))
        self.output = convolution(levels * channels, hidden)
        self.color_output = None
        if config.transferred_colors:
            self.color_output = convolution(levels * _TRANSFERRED_SIZE, hidden)
            self.color_output.starts_at_zero = True

    def encode(self, reference_features: torch.Tensor, reference: torch.Tensor) -> Tokens:
        """F_r (B, C, h, w) of a reference (B, 3, 4h, 4w) -> its tokens of every level."""
        levels = self.reference_pyramid(reference_features)
        if self.color_output is not None:
            color_models = local_color_models(reference)
            for index, level in enumerate(levels):
                if index:
                    color_models = nn.functional.avg_pool2d(
                        color_models, 2, ceil_mode=True, count_include_pad=False
                    )
                levels[index] = torch.cat((level, color_models), dim=1)
        return tuple(map(_to_tokens, levels))

    def encode_positions(
        self, reference_features: torch.Tensor, cells: torch.Tensor, colors: torch.Tensor
    ) -> Tokens:
        """F_r (B, C, h, w) -> the tokens at cells (B, K, 2), x and y, of colors (B, K, 2)."""
        return tuple(
            _tokens_at(level, cells >> index, self.color_output and colors.to(level))
            for index, level in enumerate(self.reference_pyramid(reference_features))
        )

    def forward(
        self, source: torch.Tensor, reference: Tokens, output_attentions: bool = False
    ) -> FusedFeatures:
        """F_s (B, C, h, w) and the reference tokens of every level -> F_int (Eq. 2)."""
        inputs = zip(self.attentions, self.source_pyramid(source), reference, strict=True)
        levels = [
            attention(features, tokens, output_attentions) for attention, features, tokens in inputs
        ]
        size = source.shape[-2:]
        features = self.output(_joined([level.features for level in levels], size))
        if self.has_skip:
            features = source + features
        if self.color_output is None:
            return FusedFeatures.from_levels(features, levels)
        colors = _joined([level.colors for level in levels], size)
        return FusedFeatures.from_levels(features + self.color_output(colors), levels, colors)


def _joined(levels: list[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
    """Enlarge maps (B, C, h_l, w_l) to one size and concatenate them."""
    enlarged = [nn.functional.interpolate(level, size, mode="bilinear") for level in levels]
    return torch.cat(enlarged, dim=1)


class BasicCrossAttention(nn.Module):
    """BCAttn: PVCAttn without its pyramid and its valves (ablation of Table 5).

    Where no valves weigh F_s and F_r->s, their sum is what is left of Fig. 4.
    """

    def __init__(self, config: SCSNetConfig):
        super().__init__()
        hidden, channels = config.hidden_sizes[-1], config.attention_size
        self.source_projection = nn.Conv2d(hidden, channels, 1)
        self.reference_projection = nn.Conv2d(hidden, channels, 1)
        self.attention = CrossAttention(config)
        self.output = nn.Conv2d(channels, hidden, 1)

    def encode(self, reference_features: torch.Tensor, reference: torch.Tensor) -> Tokens:
        """F_r (B, C, h, w) -> the reference tokens (B, Nr, attention_size) of the only level."""
        return (_to_tokens(self.reference_projection(reference_features)),)

    def encode_positions(
        self, reference_features: torch.Tensor, cells: torch.Tensor, colors: torch.Tensor
    ) -> Tokens:
        """F_r (B, C, h, w) -> the tokens at cells (B, K, 2), x and y."""
        return (_tokens_at(self.reference_projection(reference_features), cells, None),)

    def forward(
        self, source: torch.Tensor, reference: Tokens, output_attentions: bool = False
    ) -> FusedFeatures:
        """F_s (B, C, h, w) and the reference tokens of the only level -> F_int."""
        (tokens,) = reference
        transfer = self.attention(self.source_projection(source), tokens, output_attentions)
        return FusedFeatures.from_levels(source + self.output(transfer.features), [transfer])


def local_color_models(reference: torch.Tensor) -> torch.Tensor:
    """Fit a and b as linear functions of L around every position of a reference.

    As in the guided filter of He et al. (2013). The source's own L turns transferred models into
    colors again, which keeps edges that are finer than the grid of the attention, however the
    reference is distorted or mirrored. Not in the paper.

    Args:
        reference: (B, 3, Hr, Wr) normalized Lab, the sides multiples of 4.

    Returns:
        (B, 4, Hr/4, Wr/4): the slopes of a and b, and their values where L is 0, averaged over
        4x4 pixels.
    """
    lightness, colors = reference[:, :1].float(), reference[:, 1:].float()
    mean, color_mean = _box(lightness), _box(colors)
    variance = _box(lightness.square()) - mean.square()
    slopes = (_box(lightness * colors) - mean * color_mean) / (variance.clamp(min=0) + _NOISE)
    models = torch.cat((slopes, color_mean - slopes * mean), dim=1)
    return nn.functional.avg_pool2d(models, CELL).to(reference.dtype)


def _box(values: torch.Tensor) -> torch.Tensor:
    """Mean over the square of `_RADIUS` around every pixel, borders repeated."""
    padded = nn.functional.pad(values, (_RADIUS,) * 4, mode="replicate")
    return nn.functional.avg_pool2d(padded, 2 * _RADIUS + 1, stride=1)


def hinted_reference(
    lightness: torch.Tensor, positions: torch.Tensor, colors: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Color a source where hints are.

    Args:
        lightness: (B, 1, H, W) normalized L, the sides multiples of 4.
        positions: (B, K, 2) of the hints, x and y in pixels.
        colors: (B, K, 2) normalized a and b of the hints.

    Returns:
        A reference (B, 3, H, W) that is gray but for a cell of 4x4 pixels around each hint, and the
        cells (B, K, 2), x and y. Of several hints in one cell, the reference shows one.
    """
    height, width = (side // CELL for side in lightness.shape[-2:])
    cells = hint_cells(positions, lightness.shape[-2:])
    index = (cells[..., 1] * width + cells[..., 0]).unsqueeze(1).expand(-1, 2, -1)
    hinted = lightness.new_zeros(len(lightness), 2, height * width)
    hinted = hinted.scatter(2, index, colors.to(lightness).transpose(1, 2))
    hinted = nn.functional.interpolate(
        hinted.unflatten(2, (height, width)), scale_factor=float(CELL)
    )
    return torch.cat((lightness, hinted), dim=1), cells


def blend_modes(
    automatic: torch.Tensor,
    referential: torch.Tensor,
    mask: torch.Tensor | None,
    strength: float | torch.Tensor,
) -> torch.Tensor:
    """Blend features (B, C, h, w) of both modes; mask and strength as in `model.encode_color`."""
    strength = torch.as_tensor(strength).to(automatic).expand(automatic.shape[0])
    if mask is not None:
        strength = strength * mask.to(strength)
    strength = strength.view(-1, 1, 1, 1)
    blended = torch.lerp(automatic, referential, strength)
    # Selected rather than blended at strength 0: bit-exact, and safe from NaN in the reference.
    return torch.where(strength == 0, automatic, blended)


class ColorTransfer(nn.Module):
    """Corrects F_color by transferred colors, as far as the evidence for them is good."""

    def __init__(self, config: SCSNetConfig):
        super().__init__()
        width, colors = config.hidden_sizes[0], (2 + _EVIDENCE_SIZE) * config.pyramid_levels
        self.mix = convolution(width + 1 + colors, width)
        self.hidden = convolution(width, width)
        self.output = convolution(width, width)
        self.output.starts_at_zero = True

    def forward(
        self, color_features: torch.Tensor, lightness: torch.Tensor, transferred: torch.Tensor
    ) -> torch.Tensor:
        """Correct F_color.

        Args:
            color_features: F_color (B, C, Hc, Wc).
            lightness: (B, 1, Hc, Wc) normalized L of the source.
            transferred: (B, 6 per level, h, w), see `FusedFeatures.colors`.

        Returns:
            F_color (B, C, Hc, Wc).
        """
        enlarged = nn.functional.interpolate(transferred, scale_factor=CELL, mode="bilinear")
        seen = [color_features, lightness]
        for level in enlarged.split(_TRANSFERRED_SIZE, dim=1):
            slopes, offsets, evidence = level.split((2, 2, _EVIDENCE_SIZE), dim=1)
            seen += [_COLOR_GAIN * (slopes * lightness + offsets), evidence]
        hidden = self.mix(torch.cat(seen, dim=1)).relu()
        return color_features + self.output(self.hidden(hidden).relu())


CROSS_ATTENTION_CLASSES = {
    "pyramid_valve": PyramidValveCrossAttention,
    "basic": BasicCrossAttention,
}
