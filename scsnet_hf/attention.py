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

_SHARPNESS = 10.0  # factor on the cosines, where it is not learned
_INITIAL_LOGIT_SCALE = math.log(20.0)  # where it is learned

Tokens = tuple[torch.Tensor, ...]  # of a reference, (B, Nr, C) for every level of the pyramid


def _to_tokens(features: torch.Tensor) -> torch.Tensor:
    """(B, C, h, w) -> (B, N, C)."""
    # Contiguous: linear layers on a transposed view would tie exported code to batches above 1.
    return features.flatten(2).transpose(1, 2).contiguous()


def _to_map(tokens: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(B, N, C) -> (B, C, h, w), the shape of `like`."""
    return tokens.transpose(1, 2).reshape(like.shape)


def _attend(
    config: SCSNetConfig,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sharpness: float | torch.Tensor = _SHARPNESS,
    output_attentions: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Compute softmax(s Q K^T) V of tokens, with Q and K normalized to length 1, s the sharpness.

    The logits are cosines, so the sharpness of the attention does not depend on the scale of the
    features, which nothing else normalizes. They are float32 whatever the dtype of the tokens.

    Args:
        config: its attention implementation "eager" forms the weights; any other uses the fused
            kernel.
        query: (B, N, C).
        key: (B, Nr, C).
        value: (B, Nr, C'), C' of at least C.
        sharpness: factor on the cosines.
        output_attentions: form the weights and return them.

    Returns:
        (B, N, C') in the dtype of `value`, and the weights of the only head (B, 1, N, Nr) or None.
    """
    dtype = value.dtype
    query, key = (nn.functional.normalize(tokens.float(), dim=-1) for tokens in (query, key))
    query, key, value = (
        tokens[:, None] for tokens in (sharpness * query, key, value.float())
    )  # (B, 1, N, C)
    if output_attentions or config._attn_implementation == "eager":
        weights = (query @ key.transpose(2, 3)).softmax(dim=-1)
        attended = weights @ value
        return attended[:, 0].to(dtype), weights if output_attentions else None
    # The fused kernel needs the same number of channels in all three; zeros change no cosine.
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


class CrossAttention(nn.Module):
    """Attention from the source (Q) to the reference (K, V), without valves: F_r->s (Fig. 4).

    With `matched` (not in the paper) the sharpness of the attention is learned, as the logarithm
    `logit_scale` (Radford et al. 2021), and the result says how well each position is matched.
    """

    def __init__(self, config: SCSNetConfig, matched: bool = False):
        super().__init__()
        channels = config.attention_size
        self.config = config
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.logit_scale = nn.Parameter(torch.empty(())) if matched else None
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
        query, key, value = (
            self.query(_to_tokens(source)),
            self.key(reference),
            self.value(reference),
        )
        attended, weights = _attend(
            self.config, query, key, value, self.sharpness, output_attentions
        )
        match = None if self.logit_scale is None else _to_map(self._match(query, key), source)
        return Transfer(_to_map(attended, source), weights, match)

    def _match(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """Compare each query with the mean key that it attends to: (B, N, C).

        The mean over C is their dot product: 1 for a perfect match, -1 for the opposite.
        """
        query, key = (nn.functional.normalize(tokens, dim=-1) for tokens in (query, key))
        found, _ = _attend(self.config, query, key, key, self.sharpness)
        return query * found * query.shape[-1]


class ValveCrossAttention(nn.Module):
    """VCAttn: two sigmoid maps decide how much of source and reference passes (Fig. 4).

    With `matched_references` (not in the paper) the valves also depend on how well each position is
    matched.
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
        self.output = nn.Conv2d(channels, channels, 1)

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
        return transfer._replace(features=self.output(mixed), valves=valves)


class FusedFeatures(NamedTuple):
    """Features of the color branch and, on request, the maps that show where they come from."""

    features: torch.Tensor  # (B, C, h, w)
    attentions: tuple[torch.Tensor, ...] = ()  # per level (B, 1, N, Nr), rows sum to 1
    valves: tuple[torch.Tensor, ...] = ()  # per level (B, 2, h, w): source valve, reference valve
    hidden_states: tuple[torch.Tensor, ...] = ()  # F_s and F_int, each (B, C, h, w)

    @classmethod
    def from_levels(cls, features: torch.Tensor, levels: list[Transfer]) -> "FusedFeatures":
        """F_int, with the maps of those levels whose weights were requested."""
        shown = [level for level in levels if level.weights is not None]
        return cls(
            features,
            tuple(level.weights for level in shown),
            tuple(level.valves for level in shown if level.valves is not None),
        )


class FeaturePyramid(nn.ModuleList):
    """The pre-convolutions of Fig. 5: a feature map per level, each half the size of the last."""

    def __init__(self, in_channels: int, channels: int, levels: int):
        super().__init__(
            nn.Conv2d(
                channels if level else in_channels,
                channels,
                3,
                stride=2 if level else 1,
                padding=1,
                padding_mode="replicate",
            )
            for level in range(levels)
        )

    def forward(self, features: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, h, w) -> for level l (B, channels, ceil(h / 2^l), ceil(w / 2^l))."""
        levels = []
        for convolution in self:
            features = convolution(features.relu() if levels else features)
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
        self.source_pyramid = FeaturePyramid(hidden, channels, levels)
        self.reference_pyramid = FeaturePyramid(hidden, channels, levels)
        self.attentions = nn.ModuleList(ValveCrossAttention(config) for _ in range(levels))
        self.output = nn.Conv2d(levels * channels, hidden, 3, padding=1, padding_mode="replicate")

    def encode(self, reference_features: torch.Tensor) -> Tokens:
        """F_r (B, C, h, w) -> the reference tokens of every level, each (B, Nr, attention_size)."""
        return tuple(_to_tokens(level) for level in self.reference_pyramid(reference_features))

    def forward(
        self, source: torch.Tensor, reference: Tokens, output_attentions: bool = False
    ) -> FusedFeatures:
        """F_s (B, C, h, w) and the reference tokens of every level -> F_int (Eq. 2)."""
        inputs = zip(self.attentions, self.source_pyramid(source), reference, strict=True)
        levels = [
            attention(features, tokens, output_attentions) for attention, features, tokens in inputs
        ]
        enlarged = [
            nn.functional.interpolate(level.features, source.shape[-2:], mode="bilinear")
            for level in levels
        ]
        features = source + self.output(torch.cat(enlarged, dim=1))
        return FusedFeatures.from_levels(features, levels)


class BasicCrossAttention(nn.Module):
    """BCAttn: PVCAttn without its pyramid and its valves (ablation of Table 5)."""

    def __init__(self, config: SCSNetConfig):
        super().__init__()
        hidden, channels = config.hidden_sizes[-1], config.attention_size
        self.source_projection = nn.Conv2d(hidden, channels, 1)
        self.reference_projection = nn.Conv2d(hidden, channels, 1)
        self.attention = CrossAttention(config)
        self.output = nn.Conv2d(channels, hidden, 1)

    def encode(self, reference_features: torch.Tensor) -> Tokens:
        """F_r (B, C, h, w) -> the reference tokens (B, Nr, attention_size) of the only level."""
        return (_to_tokens(self.reference_projection(reference_features)),)

    def forward(
        self, source: torch.Tensor, reference: Tokens, output_attentions: bool = False
    ) -> FusedFeatures:
        """F_s (B, C, h, w) and the reference tokens of the only level -> F_int."""
        (tokens,) = reference
        transfer = self.attention(self.source_projection(source), tokens, output_attentions)
        return FusedFeatures.from_levels(source + self.output(transfer.features), [transfer])


CROSS_ATTENTION_CLASSES = {
    "pyramid_valve": PyramidValveCrossAttention,
    "basic": BasicCrossAttention,
}
