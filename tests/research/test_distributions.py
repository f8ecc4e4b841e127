"""Distances between the set of results and the set of truths."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from helpers.images import make_image
from research.evaluation.distributions import DistributionDistance
from research.evaluation.external_results import external_results
from research.evaluation.methods import Method
from research.evaluation.pixels import Pixels
from research.evaluation.protocol import EVERY_MODE, PAPER
from research.evaluation.run import evaluate
from research.evaluation.run_folder import RunFolder
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


@pytest.mark.parametrize("protocol", [EVERY_MODE, PAPER])
def test_methods_with_equal_images_have_equal_distances(protocol, tmp_path):
    """Also methods of other programs, which are read from files."""
    truths = [make_image(16, 16, seed=seed) for seed in range(20)]

    def paint(sample):
        return ImageOps.posterize(sample.truth, 3)

    for index, truth in enumerate(truths):
        ImageOps.posterize(truth, 3).save(tmp_path / f"{index:05}.png")
    methods = {"ours": Method(paint), "theirs": external_results(tmp_path, "automatic")}
    metrics = [DistributionDistance(NETWORK)]
    rows = evaluate(make_samples(truths, scale=2), methods, metrics, protocol).rows
    assert rows["ours"] == rows["theirs"]
    assert rows["ours"]["fid"] > 0


def test_features_of_one_image_are_kept_as_an_array():
    image = Pixels(Image.new("RGB", (8, 8), COLORS[0]))
    numbers = DistributionDistance(NETWORK).compute(None, {"truth": image})
    assert np.allclose(numbers["truth"]["features"], COLORS[0])


def test_a_resumed_run_has_the_same_distances(tmp_path):
    """Features are kept as arrays beside the JSON files."""

    def run():
        truths = [make_image(16, 16, seed=seed) for seed in range(3)]
        methods = {"it": Method(lambda sample: ImageOps.posterize(sample.truth, 3))}
        run_folder = RunFolder(tmp_path, {})
        metrics = [DistributionDistance(NETWORK)]
        return evaluate(make_samples(truths, 2), methods, metrics, run_folder=run_folder).rows

    assert run() == run()
    assert len(list(tmp_path.rglob("*.npz"))) == 3
    assert not any("features" in file.read_text() for file in tmp_path.rglob("*.json"))
