"""`SCSNetConfig`: its sizes, its errors, and saving."""

import pytest
import torch

from scsnet_hf import SCSNetConfig, SCSNetForImageToImage
from scsnet_hf.benchmarking.meters import multiply_adds

REFERENCE_ONLY = ("reference_stem", "reference_encoder", "cross_attention")


def count_parameters(preset: str, **config) -> dict[str, int]:
    """Parameters of each part of the network, counted without allocating them."""
    with torch.device("meta"):
        model = SCSNetForImageToImage(SCSNetConfig.from_preset(preset, **config))
    return {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in model.named_children()
    }


def automatic(parts: dict[str, int]) -> int:
    return sum(count for name, count in parts.items() if name not in REFERENCE_ONLY)


def test_base_has_the_papers_number_of_parameters():
    parts = count_parameters("base")
    assert automatic(parts) == pytest.approx(9.954e6, rel=0.01)
    assert sum(parts.values()) == pytest.approx(15.358e6, rel=0.01)


@pytest.mark.parametrize(
    ("upsampler", "expected", "tolerance"), [("cpm", 0.35e6, 0.02), ("meta", 0.45e6, 0.03)]
)
def test_head_of_base_has_the_papers_number_of_parameters(upsampler, expected, tolerance):
    parts = count_parameters("base", upsampler=upsampler)
    assert parts["upsampler"] == pytest.approx(expected, rel=tolerance)


def test_parameters_of_base_are_where_they_cost_few_operations():
    """From 128 to 512, in 10^9: with equal widths everywhere they would cost over 90."""
    with torch.device("meta"), torch.inference_mode():
        model, pixels = SCSNetForImageToImage(SCSNetConfig()), torch.rand(1, 1, 128, 128)
        assert multiply_adds(lambda: model(pixels, scale=4)) < 60


def test_small_has_about_one_and_a_half_million_parameters_in_automatic_mode():
    assert automatic(count_parameters("small")) == pytest.approx(1.5e6, rel=0.05)


def test_model_without_cross_attention_holds_only_the_automatic_parameters():
    without = count_parameters("tiny", cross_attention="none")
    assert without.keys().isdisjoint(REFERENCE_ONLY)
    assert sum(without.values()) == automatic(count_parameters("tiny"))


def test_default_is_the_base_preset():
    assert SCSNetConfig().to_dict() == SCSNetConfig.from_preset("base").to_dict()


def test_override_replaces_a_field_of_the_preset_and_keeps_the_others():
    config = SCSNetConfig.from_preset("tiny", upsampler="meta")
    assert config.upsampler == "meta"
    assert config.texture_depth == SCSNetConfig.from_preset("tiny").texture_depth


@pytest.mark.parametrize("preset", ["base", "medium", "small", "tiny"])
def test_save_and_load_keep_every_field(tmp_path, preset):
    config = SCSNetConfig.from_preset(preset, color_size=99, align_corners=True)
    config.save_pretrained(tmp_path)
    assert SCSNetConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"upsampler": "bicubic"}, "upsampler='bicubic'"),
        ({"cross_attention": "double"}, "cross_attention='double'"),
        ({"hidden_sizes": (8, 8)}, "hidden_sizes needs 3"),
        ({"encoder_depths": (1,)}, "encoder_depths needs 3"),
        ({"decoder_depths": (1, 1, 1, 1)}, "decoder_depths needs 3"),
        ({"mapping_hidden_sizes": (8, 8)}, "mapping_hidden_sizes needs 3"),
        ({"color_size": 1}, "color_size"),
        ({"pyramid_levels": 0}, "pyramid_levels"),
        ({"source_enlargement": 0}, "source_enlargement"),
        ({"texture_depth": "deep"}, "texture_depth"),
        ({"trunk_width": 0.0}, "trunk_width"),
        ({"trunk_depth": -1.0}, "trunk_depth"),
        ({"transferred_colors": True, "cross_attention": "basic"}, "transferred_colors"),
    ],
)
def test_bad_value_is_refused_by_name(bad, named):
    # huggingface_hub wraps the ValueError of a strict configuration in a class of its own.
    with pytest.raises(Exception, match=named):
        SCSNetConfig.from_preset("tiny", **bad)


def test_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'huge': choose one of base, medium, small, tiny"):
        SCSNetConfig.from_preset("huge")
