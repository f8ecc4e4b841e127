"""Attention of the colour branch: self-attention and (pyramid valve) cross attention."""

import math
from typing import NamedTuple

import torch
from torch import nn
from transformers import initialization as init

from .configuration_scsnet import SCSNetConfig

_SHARPNESS = 10.0  # of the softmax over cosines
_INITIAL_LOGIT_SCALE = math.log(20.0)  # where sharpness is learned

_COLOR_GAIN = 8.0  # of transferred a and b, whose standard deviation is about an eighth
_QUARTER = 4  # pixels of a reference across one place of F_r

Tokens = tuple[torch.Tensor, ...]  # of a reference, per pyramid level (B, N_l, C)


def _tokens(features: torch.Tensor) -> torch.Tensor:
    """(B, C, h, w) -> (B, N, C)."""
    # Contiguous: linear layers on a transposed view would tie exported code to batches above 1.
    return features.flatten(2).transpose(1, 2).contiguous()


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    return_weights: bool = False,
    sharpness: float | torch.Tensor = _SHARPNESS,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """softmax(Q K^T) V on (B, N, C) tokens, Q and K of one fixed length each.

    So the correlation is a cosine times `sharpness`: how sharp attention is does not hang on the
    scale of the features, which nothing else normalizes. Logits are float32 in either path. The
    weights (B, N_query, N_key) are only formed on request.
    """
    dtype = value.dtype
    query, key = (nn.functional.normalize(tokens.float(), dim=-1) for tokens in (query, key))
    query, value = sharpness * query, value.float()
    if not return_weights:
        # PyTorch's fused kernel needs as many channels in all three; zeros change no correlation.
        missing = max(0, value.shape[-1] - query.shape[-1])
        query, key = (nn.functional.pad(tokens, (0, missing)) for tokens in (query, key))
        attended = nn.functional.scaled_dot_product_attention(
            query[:, None], key[:, None], value[:, None], scale=1.0
        )
        return attended[:, 0].to(dtype), None
    correlation = query @ key.transpose(1, 2)
    weights = correlation.softmax(dim=-1)
    return (weights @ value).to(dtype), weights


class SelfAttention(nn.Module):
    """The self-attention layer of phi_D (Sec. 3; Zhang et al. 2019b), residual."""

    def __init__(self, channels: int):
        super().__init__()
        self.query = nn.Linear(channels, channels // 2)
        self.key = nn.Linear(channels, channels // 2)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)
        self.output.starts_at_zero = True

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> the same shape."""
        tokens = _tokens(features)
        attended, _ = _attend(self.query(tokens), self.key(tokens), self.value(tokens))
        return features + self.output(attended).transpose(1, 2).reshape(features.shape)


class Transferred(NamedTuple):
    """What cross attention brings over from the reference to every place of the source."""

    features: torch.Tensor  # F_r->s (B, C, h, w)
    weights: torch.Tensor | None = None  # (B, N_source, N_reference)
    match: torch.Tensor | None = None  # (B, C, h, w), its mean over C is the match's cosine
    colors: torch.Tensor | None = None  # a and b (B, 2, h, w), where the tokens hold them


class CrossAttention(nn.Module):
    """Q from the source, K and V from the reference: F_r->s, without valves.

    With `learned_sharpness`, `logit_scale` is the logarithm of how sharp attention is, as in CLIP
    (Radford et al. 2021).
    """

    def __init__(self, channels: int, learned_sharpness: bool = False):
        super().__init__()
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.logit_scale = nn.Parameter(torch.empty(())) if learned_sharpness else None
        self.init_logit_scale()

    @torch.no_grad()
    def init_logit_scale(self) -> None:
        """Set the sharpness to what it is before anything is learned."""
        if self.logit_scale is not None:
            init.constant_(self.logit_scale, _INITIAL_LOGIT_SCALE)

    @property
    def sharpness(self) -> float | torch.Tensor:
        """What cosines are multiplied by."""
        return _SHARPNESS if self.logit_scale is None else self.logit_scale.float().exp()

    def forward(
        self,
        source: torch.Tensor,
        reference: torch.Tensor,
        return_weights: bool = False,
        return_match: bool = False,
    ) -> Transferred:
        """Source (B, C, h, w), tokens (B, N, C) -> F_r->s and, on request, how it came about.

        Tokens may hold a and b as two more channels, which are brought over as they are.
        """
        channels, size = source.shape[1], source.shape[-2:]

        def at_places(tokens: torch.Tensor) -> torch.Tensor:
            return tokens.transpose(1, 2).reshape(-1, tokens.shape[-1], *size)

        has_colors = reference.shape[-1] > channels
        reference, colors = reference[..., :channels], reference[..., channels:]
        query, key, value = self.query(_tokens(source)), self.key(reference), self.value(reference)
        if has_colors:
            value = torch.cat((value, colors), dim=-1)
        attended, weights = _attend(query, key, value, return_weights, self.sharpness)
        attended = at_places(attended)
        match = None
        if return_match:
            query, key = (nn.functional.normalize(tokens, dim=-1) for tokens in (query, key))
            found, _ = _attend(query, key, key, sharpness=self.sharpness)
            match = at_places(query * found * query.shape[-1])
        return Transferred(
            attended[:, :channels],
            weights,
            match,
            attended[:, channels:] if has_colors else None,
        )


class FusedLevel(NamedTuple):
    """What valve cross attention makes of one level."""

    features: torch.Tensor  # F_t (B, C, h, w)
    weights: torch.Tensor | None  # (B, N_source, N_reference)
    valves: torch.Tensor  # (B, 2, h, w): source, reference
    colors: torch.Tensor | None  # (B, 3, h, w): transferred a and b, cosine of the match


class ValveCrossAttention(nn.Module):
    """VCAttn: two sigmoid maps decide how much of the source and the reference passes (Fig. 4).

    With `matched`, the valves also see how well each place has found its match, and how sharp
    attention is is learned. With `transferred_colors`, tokens hold a and b too.
    """

    def __init__(self, channels: int, matched: bool = False, transferred_colors: bool = False):
        super().__init__()
        self.transferred_colors = transferred_colors
        self.attention = CrossAttention(channels, learned_sharpness=matched)
        self.valves = nn.Conv2d(2 * channels, 2, 1)
        self.match_valves = None
        if matched:
            self.match_valves = nn.Conv2d(channels, 2, 1, bias=False)
            self.match_valves.starts_at_zero = True
        self.output = nn.Conv2d(channels, channels, 1)

    def forward(
        self, source: torch.Tensor, reference: torch.Tensor, return_weights: bool = False
    ) -> FusedLevel:
        """As CrossAttention, with valves in (0, 1)."""
        matched = self.match_valves is not None
        transferred, weights, match, colors = self.attention(
            source, reference, return_weights, matched or self.transferred_colors
        )
        logits = self.valves(torch.cat((source, transferred), dim=1))
        if matched:
            logits = logits + self.match_valves(match)
        valves = logits.sigmoid()
        source_valve, reference_valve = valves.split(1, dim=1)
        mixed = source_valve * source + reference_valve * transferred
        if self.transferred_colors:
            cosine = match.mean(dim=1, keepdim=True)
            colors = torch.cat((_COLOR_GAIN * colors, cosine.to(colors)), dim=1)
        return FusedLevel(self.output(mixed), weights, valves, colors)


class FusedFeatures(NamedTuple):
    """What a cross attention returns: F_int and, on request, how it came about."""

    features: torch.Tensor  # (B, C, h, w)
    attentions: tuple[torch.Tensor, ...] = ()  # per level (B, N_source, N_reference)
    valves: tuple[torch.Tensor, ...] = ()  # per level (B, 2, h_l, w_l): source, reference
    colors: torch.Tensor | None = None  # (B, 3 levels, h, w): as those of every FusedLevel


class FeaturePyramid(nn.ModuleList):
    """The pre-convolutions of Fig. 5: a level per entry, each half the size of the one before."""

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
        """(B, in_channels, h, w) -> a list of (B, channels, ceil(h / 2^l), ceil(w / 2^l))."""
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
        self.attentions = nn.ModuleList(
            ValveCrossAttention(channels, config.matched_references, config.transferred_colors)
            for _ in range(levels)
        )
        self.output = nn.Conv2d(levels * channels, hidden, 3, padding=1, padding_mode="replicate")
        self.color_output = None
        if config.transferred_colors:
            self.color_output = nn.Conv2d(
                3 * levels, hidden, 3, padding=1, padding_mode="replicate"
            )
            self.color_output.starts_at_zero = True

    def encode(
        self, reference_features: torch.Tensor, colors: torch.Tensor | None = None
    ) -> Tokens:
        """F_r (B, C, h, w) -> reference tokens of every level, each (B, N_l, token_size).

        `colors` are a and b of the reference (B, 2, 4h, 4w), for `transferred_colors`.
        """
        levels = self.reference_pyramid(reference_features)
        if self.color_output is not None:
            colors = nn.functional.avg_pool2d(colors, _QUARTER)
            for index, level in enumerate(levels):
                if index:
                    colors = nn.functional.avg_pool2d(
                        colors, 2, ceil_mode=True, count_include_pad=False
                    )
                levels[index] = torch.cat((level, colors), dim=1)
        return tuple(_tokens(level) for level in levels)

    def forward(
        self, source: torch.Tensor, reference: Tokens, return_weights: bool = False
    ) -> FusedFeatures:
        """F_s (B, C, h, w) and the tokens of every level -> F_int (Eq. 2)."""
        size = source.shape[-2:]

        def joined(maps: list[torch.Tensor]) -> torch.Tensor:
            resized = [nn.functional.interpolate(one, size, mode="bilinear") for one in maps]
            return torch.cat(resized, dim=1)

        levels = [
            attention(level, tokens, return_weights)
            for level, tokens, attention in zip(
                self.source_pyramid(source), reference, self.attentions, strict=True
            )
        ]
        features, colors = source + self.output(joined([level.features for level in levels])), None
        if self.color_output is not None:
            colors = joined([level.colors for level in levels])
            features = features + self.color_output(colors)
        attentions, valves = (), ()
        if return_weights:
            attentions = tuple(level.weights for level in levels)
            valves = tuple(level.valves for level in levels)
        return FusedFeatures(features, attentions, valves, colors)


class BasicCrossAttention(nn.Module):
    """BCAttn: PVCAttn without its pyramid and its valves (ablation of Table 5)."""

    def __init__(self, config: SCSNetConfig):
        super().__init__()
        hidden, channels = config.hidden_sizes[-1], config.attention_size
        self.source_projection = nn.Conv2d(hidden, channels, 1)
        self.reference_projection = nn.Conv2d(hidden, channels, 1)
        self.attention = CrossAttention(channels)
        self.output = nn.Conv2d(channels, hidden, 1)

    def encode(self, reference_features: torch.Tensor) -> Tokens:
        """F_r (B, C, h, w) -> the reference tokens of the one level."""
        return (_tokens(self.reference_projection(reference_features)),)

    def forward(
        self, source: torch.Tensor, reference: Tokens, return_weights: bool = False
    ) -> FusedFeatures:
        """F_s (B, C, h, w) and the tokens -> F_int."""
        transferred = self.attention(self.source_projection(source), reference[0], return_weights)
        features = source + self.output(transferred.features)
        return FusedFeatures(features, (transferred.weights,) if return_weights else ())


CROSS_ATTENTION_CLASSES = {
    "pyramid_valve": PyramidValveCrossAttention,
    "basic": BasicCrossAttention,
}
