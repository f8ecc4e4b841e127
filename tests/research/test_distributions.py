"""Distances between the set of results and the set of truths."""

import numpy as np
import pytest
from PIL import Image

from research.evaluation.distributions import DistributionDistance
from research.evaluation.methods import Method
from research.evaluation.pixels import Pixels
from research.evaluation.run import evaluate
from research.evaluation.samples import make_samples
from scsnet_hf.metrics import FeatureNetwork

NETWORK = FeatureNetwork("mean", lambda levels: levels.float().mean(dim=(2, 3)))
COLORS = [(200, 30, 40), (20, 90, 160), (70, 180, 30), (240, 220, 10)]


def rows_of(run) -> dict[str, dict[str, float]]:
    truths = [Image.new("RGB", (16, 16), color) for color in COLORS]
    samples = make_samples(truths, scale=2)
    return evaluate(samples, {"it": Method(run)}, [DistributionDistance(NETWORK)]).rows


def test_of_the_truths_themselves_there_is_none():
    rows = rows_of(lambda sample: sample.truth)
    assert rows["it"]["fid"] == pytest.approx(0, abs=1e-6)
    assert "truth" not in rows


def test_the_order_of_images_does_not_matter():
    remaining = iter(reversed(COLORS))
    rows = rows_of(lambda sample: Image.new("RGB", (16, 16), next(remaining)))
    assert rows["it"]["fid"] == pytest.approx(0, abs=1e-6)


def test_a_shift_of_all_means_is_its_square():
    # The Frechet distance of two distributions that differ by their means only.
    rows = rows_of(lambda sample: Image.eval(sample.truth, lambda level: level + 3))
    assert rows["it"]["fid"] == pytest.approx(3 * 3**2)


def test_definitions_name_the_network():
    definitions = DistributionDistance(NETWORK).definitions
    assert set(definitions) == {"fid", "kid"}
    assert "mean features" in definitions["fid"]


def test_features_of_one_image_are_kept_as_plain_numbers():
    image = Pixels(Image.new("RGB", (8, 8), COLORS[0]))
    numbers = DistributionDistance(NETWORK).compute(None, {"truth": image})
    assert np.allclose(numbers["truth"]["features"], COLORS[0])
