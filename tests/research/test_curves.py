"""The image of what training runs have logged."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from research.curves import draw_curves, read_log
from scsnet_hf.training.checkpoints import checkpoint_folder, mark_complete

TERMS = {"loss": 6.0, "content": 0.1, "d_real": 0.2, "d_fake": -0.1, "grad_norm": 20.0}


def make_run(folder, steps: int, terms=TERMS):
    """A run that has logged at every tenth step, and at its end what a Trainer does."""
    checkpoint = checkpoint_folder(folder, steps)
    checkpoint.mkdir(parents=True)
    history = [
        {**{name: value + 1 / step for name, value in terms.items()}, "step": step, "epoch": 0.1}
        for step in range(10, steps + 1, 10)
    ]
    history.append({"train_runtime": 5.0, "step": steps, "epoch": 0.1})
    state = {"global_step": steps, "log_history": history}
    (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    mark_complete(checkpoint)
    return folder


def read_image(path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
    return image


class TestLog:
    def test_every_term_has_its_steps_and_values(self, tmp_path):
        log = read_log(make_run(tmp_path, 30))
        assert log["content"] == [(step, 0.1 + 1 / step) for step in (10, 20, 30)]
        assert log.keys() == {*TERMS, "train_runtime"}

    def test_the_newest_complete_checkpoint_counts(self, tmp_path):
        for steps in (30, 50, 70):
            make_run(tmp_path, steps)
        (checkpoint_folder(tmp_path, 70) / "trainer_state.json").write_text("{")
        assert read_log(tmp_path)["loss"][-1][0] == 50

    def test_without_a_checkpoint_it_says_so(self, tmp_path):
        with pytest.raises(ValueError, match="no complete checkpoint"):
            read_log(tmp_path / "none")


class TestImage:
    def test_it_is_1000_pixels_wide_and_shows_something(self, tmp_path):
        draw_curves({"a": read_log(make_run(tmp_path, 200))}, tmp_path / "curves.png")
        image = read_image(tmp_path / "curves.png")
        assert image.width == 1000
        assert len(image.getcolors(maxcolors=image.width * image.height)) > 10

    def test_runs_have_different_colors(self, tmp_path):
        log = read_log(make_run(tmp_path, 200))
        other = {term: [(step, 2 * value) for step, value in log[term]] for term in log}
        colors = []
        for name, runs in (("one", {"a": log}), ("two", {"a": log, "b": other})):
            draw_curves(runs, tmp_path / f"{name}.png")
            pixels = np.asarray(read_image(tmp_path / f"{name}.png").convert("HSV"))
            hues, saturations = pixels[..., 0], pixels[..., 1]
            colors.append(set(hues[saturations > 150] // 16))
        assert len(colors[0]) == 1
        assert len(colors[1]) == 2

    def test_a_panel_for_every_term_that_a_run_has(self, tmp_path):
        few = read_log(make_run(tmp_path / "few", 50, {"loss": 1.0}))
        many = read_log(make_run(tmp_path / "many", 50))
        heights = []
        for runs in ({"few": few}, {"few": few, "many": many}):
            draw_curves(runs, tmp_path / "curves.png")
            heights.append(read_image(tmp_path / "curves.png").height)
        assert heights[0] < heights[1]

    def test_a_single_point_is_seen(self, tmp_path):
        images = []
        for value in (1.0, 3.0):
            draw_curves(
                {"a": {"d_real": [(0, 0.0), (9, 4.0)], "d_fake": [(5, value)]}},
                tmp_path / "curves.png",
            )
            images.append(read_image(tmp_path / "curves.png").tobytes())
        assert images[0] != images[1]

    def test_values_that_are_not_finite_leave_a_gap(self, tmp_path):
        log = {"grad_norm": [(1, 2.0), (2, float("inf")), (3, float("nan")), (4, 2.0)]}
        draw_curves({"a": log}, tmp_path / "curves.png")
        read_image(tmp_path / "curves.png")

    def test_nothing_but_the_image_is_left(self, tmp_path):
        draw_curves({"a": {"loss": [(1, 2.0)]}}, tmp_path / "out" / "curves.png")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["curves.png"]

    def test_pyplot_is_not_touched(self, tmp_path, monkeypatch):
        monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
        draw_curves({"a": {"loss": [(1, 2.0)]}}, tmp_path / "curves.png")
        assert "matplotlib.pyplot" not in sys.modules

    def test_logs_without_a_term_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="nothing to draw"):
            draw_curves({"a": {"train_runtime": [(1, 2.0)]}}, tmp_path / "curves.png")

    def test_an_unknown_suffix_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"cannot write \.doc"):
            draw_curves({"a": {"loss": [(1, 2.0)]}}, tmp_path / "curves.doc")
