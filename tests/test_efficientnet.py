"""EfficientNet-Lite0 as source encoder."""

import pytest
import torch

from helpers.tiny_models import build_tiny_model
from scsnet_hf.efficientnet import EfficientNetEncoder, EfficientNetLite


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
