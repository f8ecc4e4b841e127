"""The embedded checkpoint: small, complete, and what the task and the command use by default."""

from pathlib import Path

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image
from transformers import pipeline

import scsnet_hf
from scsnet_hf import cli

CHECKPOINT = Path(scsnet_hf.__file__).parent / "checkpoints" / "small"


def colourfulness(picture) -> float:
    """Mean difference of a pixel's largest and smallest channel, in levels."""
    return np.ptp(np.asarray(picture).astype(int), axis=2).mean()


@pytest.fixture(scope="module")
def pipe():
    return pipeline("scs-colorize-sr", device="cpu")


def test_it_is_a_model_and_its_processor_without_code():
    names = {path.name for path in CHECKPOINT.iterdir()}
    assert names == {"config.json", "model.safetensors", "preprocessor_config.json"}


def test_it_is_below_40_megabytes():
    sizes = [path.stat().st_size for path in CHECKPOINT.iterdir()]
    assert 0 < sum(sizes) < 40_000_000


def test_its_config_holds_no_path_and_no_code():
    text = (CHECKPOINT / "config.json").read_text()
    assert not any(word in text for word in ("auto_map", "custom_pipelines", "_name_or_path"))


def test_the_task_without_a_model_uses_it(pipe):
    assert Path(pipe.model.config._name_or_path) == CHECKPOINT


def test_its_pictures_are_not_gray(pipe):
    result = pipe(make_picture(96, 64, "L"), scale=2)
    assert result.size == (192, 128)
    assert colourfulness(result) > 2


def test_a_reference_decides_on_the_colours(pipe):
    picture = make_picture(96, 64, "L")
    references = [Image.new("RGB", (64, 64), colour) for colour in ("#c05030", "#3060c0")]
    warm, cold = (pipe(picture, reference=r, scale=1) for r in references)
    redness = [np.asarray(p).astype(int)[..., 0] - np.asarray(p)[..., 2] for p in (warm, cold)]
    assert redness[0].mean() > redness[1].mean()


def test_lightness_stays_near_the_source(pipe):
    picture = make_picture(64, 64, "L")
    result = pipe(picture, scale=1).convert("L")
    difference = np.asarray(result).astype(int) - np.asarray(picture)
    assert np.abs(difference).mean() < 20


def test_the_command_uses_it(tmp_path):
    make_picture(32, 24, "L").save(tmp_path / "old.png")
    assert cli.main(["colorize", str(tmp_path / "old.png"), "--device", "cpu"]) == 0
    with Image.open(tmp_path / "old.scs.png") as result:
        assert result.size == (128, 96)
        assert colourfulness(result) > 0
