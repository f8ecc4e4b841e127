"""Flicker of synthetic clips, whose motion and truth are known."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.images import make_image
from research.evaluation.flicker import (
    DEFINITIONS,
    TRUE_FIRST,
    WAYS,
    colorize_clip,
    flicker,
    flicker_by_way,
    flicker_table,
    panning_clip,
)
from research.evaluation.pixels import image_from_lab
from scsnet_hf.registration import load_pipeline

ROOT = Path(__file__).parent.parent.parent
PHOTOGRAPH = make_image(96, 80)


def flat(a: float, size: int = 40) -> Image.Image:
    """A gray field with some red."""
    lab = torch.zeros(3, size, size)
    lab[0], lab[1] = 60, a
    return image_from_lab(lab)


class TestClips:
    def test_frames_are_windows_of_the_photograph(self):
        clip = panning_clip(PHOTOGRAPH, 40, (5, 2), 8)
        assert {frame.size for frame in (*clip.truth, *clip.gray)} == {(40, 40)}
        assert {frame.mode for frame in clip.gray} == {"L"}
        for before, after in zip(clip.truth, clip.truth[1:], strict=False):
            assert before.crop((5, 2, 40, 40)) == after.crop((0, 0, 35, 38))

    def test_noise_is_fresh_in_every_frame_and_the_same_every_time(self):
        first, second = (panning_clip(PHOTOGRAPH, 40, (0, 0), 3, 4.0, seed=1) for _ in range(2))
        assert first.gray == second.gray
        differences = np.asarray(first.gray[0], float) - np.asarray(first.gray[1], float)
        assert differences.std() == pytest.approx(4 * 2**0.5, rel=0.1)
        still = panning_clip(PHOTOGRAPH, 40, (0, 0), 3)
        assert still.gray[0] == still.gray[2]

    def test_a_photograph_that_is_too_small(self):
        with pytest.raises(ValueError, match="do not fit into 96x80"):
            panning_clip(PHOTOGRAPH, 40, (20, 0), 8)


class TestFlicker:
    def test_the_truth_does_not_change_along_its_motion(self):
        clip = panning_clip(PHOTOGRAPH, 40, (5, 2), 4)
        numbers = flicker(clip, clip.truth)
        assert numbers["along"] == numbers["distance"] == 0
        assert numbers["all"] > 0

    def test_a_known_change(self):
        clip = panning_clip(PHOTOGRAPH, 40, (0, 0), 4)
        numbers = flicker(clip, [flat(10), flat(16), flat(10), flat(16)])
        for name in ("static", "all", "along"):
            assert numbers[name] == pytest.approx(6, abs=0.5)
        assert numbers["chroma"] == pytest.approx(13, abs=0.5)

    def test_only_static_pixels_count_as_such(self):
        clip = panning_clip(PHOTOGRAPH, 40, (0, 0), 2)
        halves = [np.full((40, 40), 128, np.uint8) for _ in range(2)]
        halves[1][:, 20:] = 200
        clip = type(clip)(clip.truth, [Image.fromarray(half) for half in halves], (0, 0))
        changed = flat(10)
        changed.paste(flat(30), (20, 0))
        numbers = flicker(clip, [flat(10), changed])
        assert numbers["static"] == 0
        assert numbers["all"] == pytest.approx(10, abs=0.5)

    def test_without_colors_there_is_none(self):
        clip = panning_clip(PHOTOGRAPH, 40, (5, 2), 3)
        numbers = flicker(clip, [frame.convert("RGB") for frame in clip.gray])
        assert {numbers[name] for name in ("static", "all", "along", "chroma")} == {0}


class TestWays:
    def test_each_is_a_series(self, tiny_pipe):
        clip = panning_clip(PHOTOGRAPH, 40, (3, 1), 3, 2.0)
        automatic = [tiny_pipe(frame, scale=1) for frame in clip.gray]
        assert colorize_clip(clip, "automatic", tiny_pipe) == automatic
        expected = [tiny_pipe(frame, reference=clip.truth[0], scale=1) for frame in clip.gray]
        assert colorize_clip(clip, TRUE_FIRST, tiny_pipe) == expected

    def test_the_table_has_all_of_them(self, tiny_pipe):
        clips = [panning_clip(PHOTOGRAPH, 40, (3, 1), 3, 2.0, seed) for seed in range(2)]
        numbers = flicker_by_way(clips, tiny_pipe)
        table = flicker_table(numbers).splitlines()
        assert {len(of_clips) for of_clips in numbers.values()} == {2}
        assert [line.split(" | ")[0].strip("| ") for line in table[2:]] == ["truth", *WAYS]
        assert table[-1].endswith("| 1.00 (1.00) | 1.00 (1.00) |")
        assert all(name in table[0] for name in DEFINITIONS)

    def test_a_clip_in_which_nothing_changes(self, tiny_pipe):
        numbers = flicker_by_way([panning_clip(PHOTOGRAPH, 40, (0, 0), 2)], tiny_pipe)
        assert flicker_table(numbers).endswith("| nan (nan) | nan (nan) |")


def test_a_pan_in_the_colors_of_its_first_result_is_steady():
    """The chroma of a pan changes at most 1.5 times as much as with the truth's first frame."""
    pipe = load_pipeline("medium", "cpu")
    with Image.open(ROOT / "space" / "examples" / "astronaut.jpg") as photograph:
        clip = panning_clip(photograph.convert("RGB"), 128, (4, 2), 5)
    steady = flicker(clip, colorize_clip(clip, TRUE_FIRST, pipe))
    for way in ("first", "first, propagated"):
        numbers = flicker(clip, colorize_clip(clip, way, pipe))
        assert numbers["along"] <= 1.5 * steady["along"]
        assert numbers["all"] <= 1.5 * steady["all"]


class TestScript:
    def run(self, monkeypatch, *arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["evaluate_model.py", *map(str, arguments)])
        runpy.run_path(str(ROOT / "scripts" / "evaluate_model.py"), run_name="__main__")

    def test_it_prints_a_table(self, monkeypatch, tmp_path, tiny_checkpoint, capsys):
        PHOTOGRAPH.save(tmp_path / "a.png")
        make_image(30, 30).save(tmp_path / "b.png")
        arguments = ["--model", tiny_checkpoint, "--frames", 3, "--side", 40, "--device", "cpu"]
        self.run(monkeypatch, "--flicker", tmp_path, "--shift", "2,1", *arguments)
        printed = capsys.readouterr()
        assert all(f"| {way} |" in printed.out for way in WAYS)
        assert "skipped: 3 windows of 40 pixels" in printed.err

    def test_a_mistake_is_one_line(self, monkeypatch, tmp_path, tiny_checkpoint):
        PHOTOGRAPH.save(tmp_path / "a.png")
        with pytest.raises(SystemExit) as stopped:
            self.run(monkeypatch, "--flicker", tmp_path, "--model", tiny_checkpoint, "--side", 90)
        assert stopped.value.code.startswith("evaluate_model.py: ")
        assert "too small" in stopped.value.code
