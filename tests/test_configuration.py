"""`SCSNetConfig`: sizes, errors and saving."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from scsnet_hf import SCSNetConfig, SCSNetForImageToImage
from scsnet_hf.modeling_scsnet import REFERENCE_PARTS


def count_parameters(preset: str, **config) -> dict[str, int]:
    """Parameters of each part of the network, counted without allocating them."""
    with torch.device("meta"):
        model = SCSNetForImageToImage(SCSNetConfig.from_preset(preset, **config))
    return {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in model.named_children()
    }


def automatic(parts: dict[str, int]) -> int:
    return sum(count for name, count in parts.items() if name not in REFERENCE_PARTS)


@pytest.mark.parametrize("preset", ["paper", "base"])
def test_paper_and_base_have_the_number_of_parameters_of_table_1(preset):
    parts = count_parameters(preset)
    assert automatic(parts) == pytest.approx(9.954e6, rel=0.01)
    assert sum(parts.values()) == pytest.approx(15.358e6, rel=0.01)


@pytest.mark.parametrize(
    ("upsampler", "expected", "tolerance"), [("cpm", 0.346e6, 0.002), ("meta", 0.45e6, 0.03)]
)
def test_heads_have_the_number_of_parameters_of_section_4_3(upsampler, expected, tolerance):
    parts = count_parameters("paper", upsampler=upsampler)
    assert parts["upsampler"] == pytest.approx(expected, rel=tolerance)


def test_default_is_the_paper_to_the_letter():
    """What Sec. 3 and 4.1 state; numbers of blocks and levels are ours."""
    config = SCSNetConfig()
    assert config.to_dict() == SCSNetConfig.from_preset("paper").to_dict()
    assert tuple(config.hidden_sizes) == (64, 128, 256)
    assert (config.mapping_size, *config.mapping_hidden_sizes) == (256, 256, 256, 256)
    assert (config.source_encoder, config.source_enlargement) == ("residual", 1)
    assert (config.cross_attention, config.upsampler) == ("pyramid_valve", "cpm")
    assert config.similarity == "dot"
    assert not config.cross_attention_skip
    assert not config.valve_convolution
    assert not config.matched_references
    assert not config.transferred_colors
    assert config.align_corners
    assert not config.luminance_skip
    assert config.color_size == 128


def test_base_and_paper_differ_in_documented_fields():
    paper, base = SCSNetConfig().to_dict(), SCSNetConfig.from_preset("base").to_dict()
    assert {name for name in paper if paper[name] != base[name]} == {
        "similarity",
        "cross_attention_skip",
        "valve_convolution",
        "mapping_hidden_sizes",
        "align_corners",
        "color_size",
    }


@pytest.mark.parametrize(
    ("preset", "automatic_parameters", "parameters"),
    [("medium", 3_881_411, 4_589_692), ("small", 1_508_547, 2_474_921), ("tiny", 17_715, 34_593)],
)
def test_published_presets_keep_their_parameters(preset, automatic_parameters, parameters):
    parts = count_parameters(preset)
    assert (automatic(parts), sum(parts.values())) == (automatic_parameters, parameters)


@pytest.mark.parametrize("preset", ["base", "medium", "small", "tiny"])
def test_config_that_was_saved_without_the_newest_fields_means_what_it_meant(preset):
    expected = SCSNetConfig.from_preset(preset)
    if preset == "base":
        expected.similarity = "cosine"  # it was not learned
    saved = expected.to_dict()
    for name in ("similarity", "cross_attention_skip", "valve_convolution"):
        del saved[name]
    assert SCSNetConfig.from_dict(saved).to_dict() == expected.to_dict()


def test_base_distributes_its_parameters_for_few_operations():
    """Multiply-adds from 128 to 512 pixels; with equal widths everywhere they would be 90e9."""
    with torch.device("meta"), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model = SCSNetForImageToImage(SCSNetConfig.from_preset("base"))
        model(torch.rand(1, 1, 128, 128), scale=4)
    assert counter.get_total_flops() / 2 < 60e9


def test_small_has_about_one_and_a_half_million_parameters_in_automatic_mode():
    assert automatic(count_parameters("small")) == pytest.approx(1.5e6, rel=0.05)


def test_model_without_cross_attention_holds_only_the_automatic_parameters():
    without = count_parameters("tiny", cross_attention="none")
    assert without.keys().isdisjoint(REFERENCE_PARTS)
    assert sum(without.values()) == automatic(count_parameters("tiny"))


def test_override_replaces_one_field_of_the_preset():
    config = SCSNetConfig.from_preset("tiny", upsampler="meta")
    assert config.upsampler == "meta"
    assert config.texture_depth == SCSNetConfig.from_preset("tiny").texture_depth


@pytest.mark.parametrize("preset", ["paper", "base", "medium", "small", "tiny"])
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
        ({"similarity": "euclidean"}, "similarity='euclidean'"),
        ({"similarity": "dot", "matched_references": True}, "matched_references"),
        ({"transferred_colors": True}, "transferred_colors"),
    ],
)
def test_bad_value_is_refused_by_name(bad, named):
    # huggingface_hub wraps the ValueError of a strict configuration in a class of its own.
    with pytest.raises(Exception, match=named):
        SCSNetConfig.from_preset("tiny", **bad)


def test_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'huge': choose one of paper, base, medium, small, tiny"):
        SCSNetConfig.from_preset("huge")
