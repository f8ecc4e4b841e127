"""The linear layer that reads colors from F_color."""

import pytest
import torch
from accelerate import Accelerator

from scsnet_hf.training.color_readout import ColorReadout
from scsnet_hf.training.losses import LossWeights

CHANNELS = 8


@pytest.fixture
def readout():
    torch.manual_seed(0)
    readout = ColorReadout(CHANNELS, LossWeights(color_readout=10.0), Accelerator(cpu=True))
    readout.prepare()
    return readout


@pytest.fixture
def colors():
    return torch.rand(2, 2, 16, 16) - 0.5


def features_of(colors: torch.Tensor) -> torch.Tensor:
    """Features that hold the colors linearly."""
    return torch.einsum("cd,bdhw->bchw", torch.randn(CHANNELS, 2), colors) + 3.0


def test_it_starts_where_the_features_hold_colors(readout, colors):
    assert readout.loss(features_of(colors), colors) < 0.01 * colors.abs().mean()


def test_larger_colors_are_reduced_to_the_features(readout, colors):
    features = features_of(torch.nn.functional.avg_pool2d(colors, 2))
    assert readout.loss(features, colors).isfinite()


def test_features_and_layer_get_gradients_which_a_step_clears(readout, colors):
    features = features_of(colors).requires_grad_()
    readout.loss(features, colors).backward()
    assert features.grad.any()
    assert readout.layer.weight.grad.any()
    readout.on_step_end(None, None, None)
    assert readout.layer.weight.grad is None


def test_a_loaded_layer_is_the_saved_one(readout, colors, tmp_path):
    features = features_of(colors)
    expected = readout.loss(features, colors)
    assert not ColorReadout.is_saved(tmp_path)
    readout.save(tmp_path)
    assert ColorReadout.is_saved(tmp_path)
    other = ColorReadout(CHANNELS, readout.weights, readout.accelerator)
    other.load(tmp_path)
    assert torch.equal(other.loss(features, colors), expected)
