"""Cross attention and its valves."""

import math

import pytest
import torch

from scsnet_hf import SCSNetConfig
from scsnet_hf.attention import (
    CROSS_ATTENTION_CLASSES,
    CrossAttention,
    ValveCrossAttention,
    local_color_models,
)

TINY = SCSNetConfig.from_preset("tiny")
LETTER = {"similarity": "dot", "cross_attention_skip": False, "valve_convolution": False}
MATCHED = {"matched_references": True, "similarity": "learned_cosine"}
HIDDEN, CHANNELS, LEVELS = TINY.hidden_sizes[-1], TINY.attention_size, TINY.pyramid_levels


def build(kind: str, **config) -> torch.nn.Module:
    torch.manual_seed(0)
    config = SCSNetConfig.from_preset("tiny", cross_attention=kind, **config)
    return CROSS_ATTENTION_CLASSES[kind](config)


def build_valve_attention(**config) -> ValveCrossAttention:
    return ValveCrossAttention(SCSNetConfig.from_preset("tiny", **config))


def random_features(*size: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(2, HIDDEN, *size, generator=torch.Generator().manual_seed(seed))


def encode(attention: torch.nn.Module, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The tokens of a gray reference with these features."""
    height, width = features.shape[-2:]
    return attention.encode(features, torch.zeros(len(features), 3, 4 * height, 4 * width))


def test_color_models_reproduce_colors_that_are_linear_in_lightness():
    lightness = torch.rand(1, 1, 16, 24) * 2 - 1
    reference = torch.cat((lightness, 0.3 * lightness + 0.1, -0.2 * lightness), dim=1)
    models = local_color_models(reference)
    assert models.shape == (1, 4, 4, 6)
    expected = torch.tensor([0.3, -0.2, 0.1, 0.0]).view(1, 4, 1, 1).expand_as(models)
    torch.testing.assert_close(models, expected, atol=5e-3, rtol=0)


def test_color_models_of_flat_lightness_are_the_mean_colors():
    reference = torch.rand(1, 3, 16, 16)
    reference[:, 0] = 0.25
    models = local_color_models(reference)
    assert models[:, :2].abs().max() < 1e-4
    assert models[:, 2:].mean() == pytest.approx(0.5, abs=0.05)


def test_color_models_are_transferred_from_where_the_match_is():
    """Each position of the source finds itself in the reference, at every level."""
    attention = build("pyramid_valve", transferred_colors=True, **MATCHED)
    attention.reference_pyramid.load_state_dict(attention.source_pyramid.state_dict())
    for level in attention.attentions:
        level.attention.key.load_state_dict(level.attention.query.state_dict())
        torch.nn.init.constant_(level.attention.logit_scale, 8.0)
    features, reference = random_features(8, 12), torch.rand(2, 3, 32, 48) - 0.5
    models = local_color_models(reference)
    colors = attention(features, attention.encode(features, reference)).colors.unflatten(1, (3, 6))
    torch.testing.assert_close(colors[:, 0, :4], models, atol=1e-2, rtol=0)
    assert colors[:, :, 4].min() > 0.99  # the cosine
    halved = torch.nn.functional.avg_pool2d(models, 2)
    enlarged = torch.nn.functional.interpolate(halved, (8, 12), mode="bilinear")
    torch.testing.assert_close(colors[:, 1, :4], enlarged, atol=1e-2, rtol=0)


@pytest.fixture(params=[*CROSS_ATTENTION_CLASSES, "letter", "matched"])
def attention(request) -> torch.nn.Module:
    if request.param == "letter":
        return build("pyramid_valve", **LETTER)
    if request.param != "matched":
        return build(request.param)
    attention = build("pyramid_valve", **MATCHED)
    for index, level in enumerate(attention.attentions):
        torch.nn.init.normal_(level.match_valves.weight)
        torch.nn.init.constant_(level.attention.logit_scale, float(index))
    return attention


def test_result_is_the_same_with_and_without_weights(attention):
    source, tokens = random_features(5, 7), encode(attention, random_features(6, 4, seed=2))
    fused, explicit = attention(source, tokens), attention(source, tokens, output_attentions=True)
    torch.testing.assert_close(fused.features, explicit.features, atol=1e-5, rtol=1e-5)


def test_result_has_the_shape_of_the_source(attention):
    tokens = encode(attention, random_features(6, 4, seed=2))
    assert attention(random_features(5, 7), tokens).features.shape == (2, HIDDEN, 5, 7)


def test_order_of_the_reference_tokens_does_not_matter(attention):
    source, tokens = random_features(5, 7), encode(attention, random_features(6, 4, seed=2))
    shuffled = tuple(level[:, torch.randperm(level.shape[1])] for level in tokens)
    actual, expected = attention(source, shuffled), attention(source, tokens)
    torch.testing.assert_close(actual.features, expected.features, atol=1e-5, rtol=1e-5)


def test_rows_of_the_weights_sum_to_one(attention):
    tokens = encode(attention, random_features(6, 4, seed=2))
    for weights in attention(random_features(5, 7), tokens, output_attentions=True).attentions:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:3]))
        assert weights.min() >= 0


def test_every_level_of_the_pyramid_is_half_the_one_before():
    attention = build("pyramid_valve")
    tokens = encode(attention, random_features(8, 4, seed=2))
    fused = attention(random_features(12, 16), tokens, output_attentions=True)
    assert [tuple(level.shape) for level in tokens] == [
        (2, 32, CHANNELS),
        (2, 8, CHANNELS),
        (2, 2, CHANNELS),
    ]
    assert [tuple(weights.shape) for weights in fused.attentions] == [
        (2, 1, 192, 32),
        (2, 1, 48, 8),
        (2, 1, 12, 2),
    ]
    assert [tuple(valves.shape) for valves in fused.valves] == [
        (2, 2, 12, 16),
        (2, 2, 6, 8),
        (2, 2, 3, 4),
    ]


def test_valves_lie_between_zero_and_one():
    attention = build("pyramid_valve")
    tokens = encode(attention, random_features(6, 4, seed=2))
    valves = attention(random_features(5, 7), tokens, output_attentions=True).valves
    assert len(valves) == LEVELS
    for maps in valves:
        assert maps.min() > 0
        assert maps.max() < 1


def test_basic_attention_has_one_level_and_no_valves():
    attention = build("basic")
    tokens = encode(attention, random_features(6, 4, seed=2))
    fused = attention(random_features(5, 7), tokens, output_attentions=True)
    assert [tuple(weights.shape) for weights in fused.attentions] == [(2, 1, 35, 24)]
    assert fused.valves == ()


@pytest.mark.parametrize(("closed", "without_influence"), [(0, "source"), (1, "reference")])
def test_closed_valve_blocks_its_input(closed, without_influence):
    torch.manual_seed(0)
    attention = build_valve_attention()
    with torch.no_grad():
        attention.valves.weight.zero_()
        attention.valves.bias.zero_()[closed] = -200
        # The attention must not depend on the source either.
        attention.attention.query.weight.zero_()
    source, tokens = torch.randn(1, CHANNELS, 3, 4), torch.randn(1, 5, CHANNELS)
    other_source, other_tokens = torch.randn_like(source), torch.randn_like(tokens)
    first = attention(source, tokens).features
    by_source = attention(other_source, tokens).features
    by_reference = attention(source, other_tokens).features
    assert torch.allclose(first, by_source, atol=1e-6) == (without_influence == "source")
    assert torch.allclose(first, by_reference, atol=1e-6) == (without_influence == "reference")


@pytest.mark.parametrize("skip", [False, True])
def test_only_a_skip_lets_the_source_pass_closed_valves(skip):
    attention = build("pyramid_valve", **{**LETTER, "cross_attention_skip": skip})
    with torch.no_grad():
        for level in attention.attentions:
            level.valves.weight.zero_()
            level.valves.bias.fill_(-200)
    source = random_features(5, 7)
    result = attention(source, encode(attention, random_features(6, 4, seed=2))).features
    passed = source if skip else torch.zeros_like(source)
    torch.testing.assert_close(result - attention.output.bias[:, None, None], passed)


def test_valves_of_the_paper_are_all_between_attention_and_result():
    """F_t = V_1 F_s + V_2 F_r->s (Fig. 4), here with both valves open."""
    attention = build_valve_attention(**LETTER)
    with torch.no_grad():
        attention.valves.bias.fill_(200)
    source, tokens = torch.randn(1, CHANNELS, 3, 4), torch.randn(1, 5, CHANNELS)
    transferred = attention.attention(source, tokens).features
    torch.testing.assert_close(attention(source, tokens).features, source + transferred)


def pass_through(attention: CrossAttention) -> None:
    """Make queries, keys and values equal to the inputs."""
    with torch.no_grad():
        for layer in (attention.query, attention.key, attention.value):
            layer.weight.copy_(torch.eye(CHANNELS))
            layer.bias.zero_()


@pytest.mark.parametrize("sign", [1, -1])
def test_valves_depend_on_how_well_a_position_is_matched(sign):
    attention = build_valve_attention(matched_references=True)
    pass_through(attention.attention)
    with torch.no_grad():
        attention.valves.weight.zero_()
        attention.valves.bias.zero_()
        attention.match_valves.weight.fill_(1.0)  # open for a match, closed for the opposite
    source = torch.ones(1, CHANNELS, 1, 1)
    valves = attention(source, sign * torch.ones(1, 1, CHANNELS)).valves
    expected = torch.tensor(float(sign * CHANNELS)).sigmoid()  # the cosine is 1 or -1
    torch.testing.assert_close(valves, expected.expand_as(valves))


def test_untrained_matches_do_not_change_the_valves():
    plain, matched = build_valve_attention(), build_valve_attention(**MATCHED)
    torch.nn.init.zeros_(matched.match_valves.weight)
    matched.load_state_dict({**matched.state_dict(), **plain.state_dict()})
    torch.nn.init.constant_(matched.attention.logit_scale, math.log(plain.attention.sharpness))
    source, tokens = torch.randn(1, CHANNELS, 3, 4), torch.randn(1, 5, CHANNELS)
    torch.testing.assert_close(matched(source, tokens).valves, plain(source, tokens).valves)


def test_attention_copies_the_value_of_the_matching_token():
    attention = CrossAttention(TINY)
    pass_through(attention)
    tokens = 100 * torch.eye(CHANNELS)[None]
    source = tokens.transpose(1, 2).reshape(1, CHANNELS, 2, 4).flip(-1)
    # The softmax leaves the seven others a few hundred-thousandths each.
    torch.testing.assert_close(attention(source, tokens).features, source, rtol=0, atol=0.1)


@pytest.mark.parametrize(("similarity", "depends"), [("dot", True), ("cosine", False)])
def test_sharpness_depends_on_the_scale_of_the_features_with_dot_products(similarity, depends):
    attention = CrossAttention(SCSNetConfig.from_preset("tiny", similarity=similarity))
    pass_through(attention)
    tokens, source = torch.randn(1, 5, CHANNELS), torch.randn(1, CHANNELS, 3, 4)
    weights, scaled = (
        attention(factor * source, tokens, output_attentions=True).weights for factor in (1, 3)
    )
    products = source.flatten(2).transpose(1, 2) @ tokens.transpose(1, 2)
    assert torch.allclose(weights[:, 0], products.softmax(-1), atol=1e-6) == depends
    assert torch.allclose(weights, scaled, atol=1e-6) != depends


def test_learned_sharpness_decides_how_evenly_attention_spreads():
    attention = CrossAttention(SCSNetConfig.from_preset("tiny", similarity="learned_cosine"))
    tokens, source = torch.randn(1, 5, CHANNELS), torch.randn(1, CHANNELS, 3, 4)

    def largest_weights(logit_scale: float) -> torch.Tensor:
        with torch.no_grad():
            attention.logit_scale.fill_(logit_scale)
        return attention(source, tokens, output_attentions=True).weights.amax(dim=-1)

    even, sharp = largest_weights(-100.0), largest_weights(10.0)  # times 0, and times 22,026
    torch.testing.assert_close(even, torch.full_like(even, 1 / 5))
    torch.testing.assert_close(sharp, torch.ones_like(sharp), atol=0.01, rtol=0)


@pytest.mark.parametrize("output_attentions", [False, True])
def test_half_precision_survives_large_logits(output_attentions):
    attention = CrossAttention(TINY).half()
    with torch.no_grad():
        for layer in (attention.query, attention.key):
            layer.weight.copy_(torch.eye(CHANNELS))
    # The product is 80,000 per channel, and the largest number in half precision is 65,504.
    source = torch.full((1, CHANNELS, 2, 2), 283.0).half()
    tokens = 283 * torch.randn(1, 5, CHANNELS).sign().half()
    assert attention(source, tokens, output_attentions).features.isfinite().all()
