"""The embedded checkpoints: small, complete, and used by the task and the command."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers import pipeline

import scsnet_hf
from helpers.images import make_image
from scsnet_hf import cli

NAMES = ["medium", "small"]


def colorfulness(image) -> float:
    """Mean difference of a pixel's largest and smallest channel, in levels."""
    return np.ptp(np.asarray(image).astype(int), axis=2).mean()


@pytest.fixture(scope="module", params=NAMES)
def folder(request):
    return Path(scsnet_hf.embedded_checkpoint(request.param))


@pytest.fixture(scope="module")
def pipe(folder):
    return pipeline("scs-colorize-sr", model=str(folder), device="cpu")


def test_no_others_are_embedded(folder):
    assert sorted(path.name for path in folder.parent.iterdir()) == NAMES


def test_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'huge'.* choose one of medium, small"):
        scsnet_hf.embedded_checkpoint("huge")


def test_checkpoint_is_a_model_and_its_processor_without_code(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "model.safetensors", "preprocessor_config.json"}


def test_all_checkpoints_together_are_below_40_megabytes(folder):
    sizes = [path.stat().st_size for path in folder.parent.glob("*/*")]
    assert 0 < sum(sizes) < 40_000_000


def test_config_contains_no_path_and_no_code(folder):
    text = (folder / "config.json").read_text()
    assert not any(word in text for word in ("auto_map", "custom_pipelines", "_name_or_path"))


def test_the_task_without_a_model_uses_medium():
    model = pipeline("scs-colorize-sr", device="cpu").model
    assert model.config._name_or_path == scsnet_hf.embedded_checkpoint("medium")


def test_results_are_not_gray(pipe):
    result = pipe(make_image(96, 64, "L"), scale=2)
    assert result.size == (192, 128)
    assert colorfulness(result) > 2


def test_reference_determines_the_colors(pipe):
    image = make_image(96, 64, "L")
    references = [Image.new("RGB", (64, 64), color) for color in ("#c05030", "#3060c0")]
    warm, cold = (pipe(image, reference=r, scale=1) for r in references)
    redness = [np.asarray(p).astype(int)[..., 0] - np.asarray(p)[..., 2] for p in (warm, cold)]
    assert redness[0].mean() > redness[1].mean()


def test_lightness_stays_close_to_the_source(pipe):
    image = make_image(64, 64, "L")
    result = pipe(image, scale=1).convert("L")
    difference = np.asarray(result).astype(int) - np.asarray(image)
    assert np.abs(difference).mean() < 20


@pytest.mark.parametrize("model", [[], ["--model", "small"]])
def test_command_uses_it(tmp_path, model):
    make_image(32, 24, "L").save(tmp_path / "old.png")
    assert cli.main(["colorize", str(tmp_path / "old.png"), "--device", "cpu", *model]) == 0
    with Image.open(tmp_path / "old.scs.png") as result:
        assert result.size == (128, 96)
        assert colorfulness(result) > 0
