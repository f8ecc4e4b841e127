"""EfficientNet-Lite as source encoder."""

import pytest
import torch

from helpers.tiny_models import build_tiny_model
from scsnet_hf.encoders import EfficientNetEncoder, EfficientNetLite, trunk_stages


@pytest.fixture(scope="module")
def model():
    return build_tiny_model(source_encoder="efficientnet_lite")


def test_trunk_has_features_at_four_strides():
    with torch.no_grad():
        levels = EfficientNetLite()(torch.zeros(2, 1, 64, 96))
    assert [tuple(level.shape) for level in levels] == [
        (2, 24, 16, 24),
        (2, 40, 8, 12),
        (2, 112, 4, 6),
        (2, 320, 2, 3),
    ]


def test_trunk_has_the_parameters_of_efficientnet_lite0():
    """4.652 M of the published network, less its head (409,600 + 2,560) and classifier
    (1,281,000), two of three input channels of the stem (576), and one of batch normalization's two
    numbers per channel (16,560), of which a bias remains."""
    total = sum(parameter.numel() for parameter in EfficientNetLite().parameters())
    assert total == pytest.approx(4.652e6 - 1.293e6 - 0.41e6, rel=0.01)


def test_lite2_is_wider_and_deeper():
    stages = trunk_stages(1.1, 1.2)
    assert [stage.channels for stage in stages] == [16, 24, 48, 88, 120, 208, 352]
    assert [stage.repeats for stage in stages] == [1, 3, 3, 4, 4, 5, 1]
    with torch.no_grad():
        levels = EfficientNetLite(1.1, 1.2)(torch.zeros(1, 1, 32, 32))
    assert [level.shape[1] for level in levels] == [24, 48, 120, 352]


def test_rounding_takes_no_more_than_a_tenth_of_the_channels():
    assert [stage.channels for stage in trunk_stages(0.3)] == [8, 8, 16, 24, 32, 56, 96]


def test_trunk_can_be_tiny():
    tiny = build_tiny_model(source_encoder="efficientnet_lite", trunk_width=0.25, trunk_depth=0.5)
    assert [len(stage) for stage in tiny.source_encoder.trunk.stages] == [1, 1, 1, 2, 2, 2, 1]
    with torch.no_grad():
        features = tiny.source_encoder(torch.zeros(1, 1, 36, 40))
    assert features.shape == (1, tiny.config.hidden_sizes[-1], 9, 10)


@pytest.mark.parametrize("size", [(4, 4), (36, 40), (64, 100)])
def test_features_have_a_quarter_of_the_size(model, size):
    assert isinstance(model.source_encoder, EfficientNetEncoder)
    with torch.no_grad():
        features = model.source_encoder(torch.zeros(1, 1, *size))
    assert features.shape == (1, model.config.hidden_sizes[-1], size[0] // 4, size[1] // 4)


@pytest.mark.parametrize("size", [(33, 50), (8, 8)])
def test_network_accepts_images_of_any_size(model, size):
    with torch.no_grad():
        result = model(torch.zeros(1, 1, *size), torch.zeros(1, 3, 16, 16), scale=1.5)
    assert result.reconstruction.shape[1] == 3
    assert result.reconstruction.isfinite().all()


def test_every_layer_learns(model):
    model.zero_grad()
    generator = torch.Generator().manual_seed(0)
    model.source_encoder(torch.rand(1, 1, 64, 64, generator=generator)).square().mean().backward()
    without = [
        name
        for name, parameter in model.source_encoder.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert not without


def test_saved_and_loaded_weights_are_bit_equal(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())
