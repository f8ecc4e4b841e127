"""Runs of the evaluation: which method sees what, what is kept, and how they resume."""

import json

import pytest
from PIL import Image

from helpers.images import make_image
from research.evaluation.consistency import Stability
from research.evaluation.methods import Method
from research.evaluation.metrics import ColorStatistics, Fidelity
from research.evaluation.protocol import PAPER
from research.evaluation.run import compare, evaluate
from research.evaluation.run_folder import RunFolder
from research.evaluation.samples import make_samples

MODES = ("automatic", "self-reference", "unrelated reference")


class Counting:
    """A method for each mode that returns the truth, and records which samples it saw."""

    def __init__(self):
        self.seen = {mode: [] for mode in MODES}
        self.methods = {mode: Method(self._recording(mode), mode) for mode in MODES}

    def _recording(self, mode):
        def run(sample):
            self.seen[mode].append(sample.index)
            return sample.truth

        return run


def samples_of(count: int) -> list:
    return list(make_samples([make_image(32, 24, seed=seed) for seed in range(count)], scale=2))


class TestProtocol:
    def test_of_the_paper_is_half_automatic_and_a_tenth_self_referential(self):
        counting = Counting()
        evaluate(samples_of(20), counting.methods, [], PAPER)
        assert {mode: len(seen) for mode, seen in counting.seen.items()} == {
            "automatic": 10,
            "self-reference": 2,
            "unrelated reference": 8,
        }
        assert sorted(index for seen in counting.seen.values() for index in seen) == list(
            range(20)
        )  # one mode an image

    def test_of_the_paper_summarizes_both_kinds_of_references_together(self):
        gray = Method(lambda sample: sample.gray.convert("RGB").resize((32, 24)), "self-reference")
        methods = {**Counting().methods, "self-reference": gray}
        rows = evaluate(samples_of(10), methods, [ColorStatistics()], PAPER).rows
        own, other = rows["self-reference"], rows["unrelated reference"]
        assert own["chroma"] < 1 < other["chroma"]
        assert rows["referential"]["chroma"] == pytest.approx(
            (own["chroma"] + 4 * other["chroma"]) / 5
        )

    def test_otherwise_every_method_sees_every_image(self):
        counting = Counting()
        evaluation = evaluate(samples_of(3), counting.methods, [ColorStatistics()])
        assert all(seen == [0, 1, 2] for seen in counting.seen.values())
        assert evaluation.counts == dict.fromkeys(MODES, 3)
        assert "referential" not in evaluation.rows


class TestRunFolder:
    METRICS = (Fidelity(), ColorStatistics())

    def run(self, folder, counting, count: int = 4, settings=None, **options):
        run_folder = RunFolder(folder, settings or {"seed": 0}, **options)
        return evaluate(samples_of(count), counting.methods, self.METRICS, run_folder=run_folder)

    def test_an_interrupted_run_resumes_to_the_same_numbers(self, tmp_path):
        whole = self.run(tmp_path / "whole", Counting())
        first = Counting()
        run = first.methods["automatic"].run

        def interrupted(sample):
            if sample.index == 2:
                raise KeyboardInterrupt
            return run(sample)

        first.methods["automatic"] = Method(interrupted)
        with pytest.raises(KeyboardInterrupt):
            self.run(tmp_path / "parts", first)
        second = Counting()
        resumed = self.run(tmp_path / "parts", second)
        assert second.seen["automatic"] == [2, 3]
        assert (resumed.rows, resumed.sha256) == (whole.rows, whole.sha256)

    def test_a_finished_run_is_only_read(self, tmp_path):
        first = self.run(tmp_path, Counting())
        counting = Counting()
        assert self.run(tmp_path, counting) == first
        assert counting.seen == {mode: [] for mode in MODES}

    def test_other_settings_are_refused_by_name(self, tmp_path):
        self.run(tmp_path, Counting())
        with pytest.raises(ValueError, match=r"seed 0, now 1.*choose a new folder"):
            self.run(tmp_path, Counting(), settings={"seed": 1})

    def test_other_images_are_refused(self, tmp_path):
        self.run(tmp_path, Counting(), count=1)
        other = list(make_samples([make_image(32, 24, seed=9)], scale=2))
        run_folder = RunFolder(tmp_path, {"seed": 0})
        with pytest.raises(ValueError, match=r"00000\.json: of another image"):
            evaluate(other, Counting().methods, self.METRICS, run_folder=run_folder)

    def test_images_are_kept_if_asked_for(self, tmp_path):
        self.run(tmp_path / "without", Counting(), count=1)
        assert not list(tmp_path.rglob("*.png"))
        self.run(tmp_path / "with", Counting(), count=1, keep_images=True)
        kept = Image.open(tmp_path / "with" / "images" / "self-reference" / "00000.png")
        assert kept.tobytes() == make_image(32, 24, seed=0).tobytes()

    def test_numbers_are_plain_json(self, tmp_path):
        self.run(tmp_path, Counting(), count=1)
        (file,) = (tmp_path / "numbers").iterdir()
        assert set(json.loads(file.read_text())) == {"sha256", "seconds", "numbers"}


class TestCompare:
    def test_of_equal_images_is_perfect(self):
        image = make_image(32, 24)
        rows = compare([(image, image)], [Fidelity(), ColorStatistics()], "mine").rows
        assert rows["mine"]["ssim"] == 1
        assert rows["mine"]["chroma"] == rows["truth"]["chroma"]

    def test_of_nothing_is_an_error(self):
        with pytest.raises(ValueError, match="no images"):
            compare([], [Fidelity()], "mine")


def test_a_metric_of_one_mode_skips_images_of_others():
    stability = Stability(None)
    rows = evaluate(samples_of(2), {}, [stability]).rows
    assert rows == {}
