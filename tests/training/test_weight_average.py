"""The moving average of the weights."""

from copy import deepcopy

import pytest
import torch

from helpers.tiny_models import build_tiny_model
from scsnet_hf import SCSNetForImageToImage, SCSNetImageProcessor
from scsnet_hf.training.weight_average import WeightAverage


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def step(model, average: WeightAverage) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    average.on_step_end(None, None, None)


@pytest.fixture
def model():
    return build_tiny_model()


@pytest.fixture
def average(model):
    """After three steps."""
    torch.manual_seed(0)
    average = WeightAverage(model, 0.999, SCSNetImageProcessor())
    for _ in range(3):
        step(model, average)
    return average


def test_it_is_applied_within_the_block_only(model, average):
    before = weights(model)
    with average.applied():
        assert not equal(weights(model), before)
    assert equal(weights(model), before)


def test_it_is_saved_as_a_model_with_its_image_processor(model, average, tmp_path):
    before = weights(model)
    average.save_model(tmp_path)
    assert equal(weights(model), before)
    SCSNetImageProcessor.from_pretrained(tmp_path)
    with average.applied():
        assert equal(weights(SCSNetForImageToImage.from_pretrained(tmp_path)), weights(model))


def test_without_decay_the_last_weights_are_saved(model, tmp_path):
    average = WeightAverage(model, decay=0.0)
    for _ in range(3):
        step(model, average)
    average.save(tmp_path)
    average.load(tmp_path, step=3)
    saved = SCSNetForImageToImage.from_pretrained(tmp_path / "average")
    assert equal(weights(saved), weights(model))


def test_a_loaded_average_continues_like_the_saved_one(model, average, tmp_path):
    average.save(tmp_path)
    other_model = deepcopy(model)
    other = WeightAverage(other_model, 0.999)
    other.load(tmp_path, step=3)
    for one, its_average in ((model, average), (other_model, other)):
        torch.manual_seed(1)
        step(one, its_average)
    with average.applied(), other.applied():
        assert equal(weights(model), weights(other_model))
