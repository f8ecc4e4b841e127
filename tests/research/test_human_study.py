"""research.human_study without its page, and scripts/human_study.py."""

import json
import os
import runpy
import signal
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from helpers.images import make_image
from research.human_study.answers import Answer, AnswerFile, read_answers
from research.human_study.images import copy_images, find_images
from research.human_study.results import preferences, rater_habits, study_tables
from research.human_study.study import Study, clean_name, comparisons, plan
from scsnet_hf import ImageError
from scsnet_hf.image_io import load_image

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "human_study.py"
IMAGES = [f"image {number}" for number in range(7)]
ANSWER = Answer("2026-01-01T00:00:00+00:00", "anna", "cat, 1", "ours", "devc", "devc", "ours", 1, 2)


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of images."""

    def make(name: str, *files: str, size: tuple[int, int] = (24, 16)) -> Path:
        for file in files:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            make_image(*size).save(path)
        return tmp_path / name

    return make


class TestFolders:
    def test_names_are_equal_whatever_the_format(self, folder):
        ours, truth = folder("ours", "a.png", "deep/b.png"), folder("photos", "a.jpg", "deep/b.jpg")
        (ours / "README.md").write_text("no image")
        assert find_images({"ours": ours, "truth": truth}) == {
            "a": {"ours": ours / "a.png", "truth": truth / "a.jpg"},
            "deep/b": {"ours": ours / "deep/b.png", "truth": truth / "deep/b.jpg"},
        }

    @pytest.mark.parametrize("order", [("full", "lacking"), ("lacking", "full")])
    def test_a_missing_image_is_named(self, folder, order):
        folders = {"full": folder("full", "a.png", "b.png"), "lacking": folder("lacking", "a.png")}
        with pytest.raises(ValueError, match=r"/lacking: lacks b, which another folder has"):
            find_images({name: folders[name] for name in order})

    def test_many_missing_images_are_counted(self, folder):
        full = folder("full", *(f"{letter}.png" for letter in "abcdef"))
        with pytest.raises(ValueError, match=r"lacks b, c, d and 2 more"):
            find_images({"full": full, "lacking": folder("lacking", "a.png")})

    def test_two_images_of_one_name(self, folder):
        with pytest.raises(ValueError, match=r"a\.jpg and a\.png have the same name"):
            find_images({"ours": folder("ours", "a.png", "a.jpg")})

    def test_no_folder_and_no_images(self, tmp_path):
        with pytest.raises(ValueError, match="is not a folder"):
            find_images({"ours": tmp_path / "none"})
        with pytest.raises(ValueError, match="has no images"):
            find_images({"ours": tmp_path})

    def test_a_choice_depends_on_the_seed_alone(self, folder):
        folders = {"ours": folder("ours", *(f"{letter}.png" for letter in "abcdefgh"))}
        chosen = [list(find_images(folders, 4, seed)) for seed in (0, 0, 1)]
        assert len(set(chosen[0])) == 4
        assert chosen[0] == chosen[1] != chosen[2]

    @pytest.mark.parametrize("count", [0, 2])
    def test_an_impossible_choice(self, folder, count):
        with pytest.raises(ValueError, match=f"cannot choose {count} of 1 images"):
            find_images({"ours": folder("ours", "a.png")}, count)


class TestCopies:
    def test_nothing_reveals_the_method(self, folder, tmp_path):
        ours, devc = folder("ours", "a.jpg") / "a.jpg", folder("devc", "a.png") / "a.png"
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        text = PngImagePlugin.PngInfo()
        text.add_text("Software", "devc")
        make_image(24, 16, seed=1).save(devc, pnginfo=text, icc_profile=profile)
        (tmp_path / "copies").mkdir()
        copies = copy_images({"ours": ours, "devc": devc}, tmp_path / "copies")
        for method, source in (("ours", ours), ("devc", devc)):
            copy = Image.open(copies[method])
            assert (copy.format, copy.info) == ("PNG", {})
            assert copy.tobytes() == load_image(source).tobytes()
            assert not {"ours", "devc", "a"} & {copies[method].stem, copies[method].parent.name}

    def test_different_sizes(self, folder, tmp_path):
        files = {"ours": folder("ours", "a.png") / "a.png"}
        files["devc"] = folder("devc", "a.png", size=(48, 32)) / "a.png"
        with pytest.raises(ValueError, match=r"devc/a\.png: is 48x32, but .*ours/a\.png is 24x16"):
            copy_images(files, tmp_path)

    def test_an_unreadable_image(self, folder, tmp_path):
        broken = folder("ours", "a.png") / "a.png"
        broken.write_bytes(broken.read_bytes()[:100])
        with pytest.raises(ImageError, match=r"a\.png: is damaged"):
            copy_images({"ours": broken}, tmp_path)


class TestPlan:
    def test_what_is_compared(self):
        assert comparisons(["ours", "b", "c"]) == [("ours", "b"), ("ours", "c")]
        assert comparisons(["ours", "b"], "truth") == [("ours", "truth"), ("b", "truth")]
        assert comparisons(["a", "b"], "t", every=True) == [("a", "b"), ("a", "t"), ("b", "t")]
        assert comparisons(["ours"], "truth") == [("ours", "truth")]

    @pytest.mark.parametrize(
        ("methods", "message"),
        [(["ours"], "two folders"), (["a", "b", "a"], "named a"), (["a", "b\n"], "cannot be")],
    )
    def test_what_cannot_be_compared(self, methods, message):
        with pytest.raises(ValueError, match=message):
            comparisons(methods)

    def test_everything_is_asked_once_with_balanced_sides(self):
        pairs = [("ours", "b"), ("ours", "c")]
        questions = plan(IMAGES, pairs, "anna")
        asked = Counter((question.image, question.a, question.b) for question in questions)
        assert asked == Counter((image, *pair) for image in IMAGES for pair in pairs)
        for a, b in pairs:
            lefts = Counter(question.left for question in questions if question.b == b)
            assert lefts.keys() == {a, b}
            assert abs(lefts[a] - lefts[b]) == 1  # of seven
        assert all({q.left, q.right} == {q.a, q.b} for q in questions)

    def test_it_depends_on_rater_and_seed_alone(self):
        pairs = [("ours", "b"), ("ours", "c")]
        plans = [plan(IMAGES, pairs, *who) for who in (("anna", 0), ("anna", 0), ("ben", 0))]
        assert plans[0] == plans[1] != plans[2]
        assert plan(IMAGES, pairs, "anna", seed=1) != plans[0]
        orders, sides = (
            {tuple((q.image, q.b) for q in questions) for questions in plans},
            {frozenset((q.image, q.b, q.left) for q in questions) for questions in plans},
        )
        assert len(orders) == len(sides) == 2

    def test_over_many_raters_no_place_prefers_a_side(self):
        plans = [plan(IMAGES, [("a", "b")], f"rater {i}") for i in range(400)]
        for place in range(len(IMAGES)):
            questions = [questions[place] for questions in plans]
            assert sum(q.left == "a" for q in questions) == pytest.approx(200, abs=50)
            assert {q.image for q in questions} == set(IMAGES)
        sides = {frozenset(q.image for q in questions if q.left == "a") for questions in plans}
        assert len(sides) == 70  # all ways to choose three or four of seven

    @pytest.mark.parametrize(
        ("typed", "name"),
        [("  Anna  B. ", "anna b."), ("Zoë", "zoë"), ("Zoe\u0308", "zoë"), ("x" * 40, "x" * 40)],
    )
    def test_a_name(self, typed, name):
        assert clean_name(typed) == name

    @pytest.mark.parametrize("typed", ["", "  ", "x" * 41, "=1+1", "a\x00b", "a,b", "<b>", None, 7])
    def test_no_name(self, typed):
        with pytest.raises(ValueError, match="1 to 40 letters"):
            clean_name(typed)


class TestAnswerFile:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "answers.csv"

    def test_it_is_written_at_once_and_resumed(self, path):
        first, second = ANSWER, replace(ANSWER, rater="ben", preferred="devc")
        AnswerFile(path).add(first)
        assert read_answers(path) == [first]
        again = AnswerFile(path)
        assert again.has("anna", "cat, 1", "devc", "ours")
        assert not again.has("ben", "cat, 1", "ours", "devc")
        again.add(second)
        assert read_answers(path) == [first, second]

    def test_it_is_synchronized_with_the_disk(self, path, monkeypatch):
        answers, synchronized = AnswerFile(path), []
        monkeypatch.setattr(os, "fsync", lambda _: synchronized.append(path.read_bytes()))
        answers.add(ANSWER)
        assert synchronized == [path.read_bytes()]

    def test_a_second_answer_is_ignored(self, path):
        answers = AnswerFile(path)
        answers.add(ANSWER)
        answers.add(replace(ANSWER, a="devc", b="ours", preferred="devc"))
        assert read_answers(path) == [ANSWER]

    def test_a_torn_line_is_cut_off_wherever_it_broke(self, path):
        answers = AnswerFile(path)
        header = path.read_bytes()
        answers.add(ANSWER)
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            assert read_answers(path) == []
            torn = AnswerFile(path)
            assert path.read_bytes() == header
            torn.add(ANSWER)
            assert path.read_bytes() == whole

    def test_an_answer_that_cannot_be_written_leaves_no_trace(self, path, monkeypatch):
        answers = AnswerFile(path)
        before = path.read_bytes()

        def fail(_):
            raise OSError("no space left")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fail)
            with pytest.raises(OSError, match="no space"):
                answers.add(ANSWER)
        assert path.read_bytes() == before
        answers.add(ANSWER)
        assert read_answers(path) == [ANSWER]

    @pytest.mark.parametrize("content", [b"my notes", b"a,b\n1,2\n", b"\xff\n", b"time,rater\n"])
    def test_another_file_is_left_alone(self, path, content):
        path.write_bytes(content)
        for read in (read_answers, AnswerFile):
            with pytest.raises(ValueError, match="is not a file of answers"):
                read(path)
        assert path.read_bytes() == content

    @pytest.mark.parametrize(
        "row", ["now,anna,cat,ours,devc", "now,anna,cat,a,b,a,c,1,2", "now,anna,cat,a,b,a,a,x,2"]
    )
    def test_a_wrong_line_is_named(self, path, row):
        AnswerFile(path).add(ANSWER)
        path.write_text(f"{path.read_text()}{row}\n")
        with pytest.raises(ValueError, match="line 3: is not an answer"):
            read_answers(path)


class TestStudy:
    @pytest.fixture
    def copies(self, tmp_path):
        return {
            name: {method: tmp_path / f"{method} {name}" for method in ("ours", "devc")}
            for name in IMAGES
        }

    @pytest.fixture
    def study(self, copies, tmp_path):
        """Reopens the study with the answers so far."""
        return lambda: Study(copies, [("ours", "devc")], AnswerFile(tmp_path / "answers.csv"))

    def answer(self, study, rater, choice):
        question, number, _ = study.next_question(rater)
        left, right = (file.name for file in study.files(question))
        study.answer(rater, left, right, choice, 1.0, 1.5)
        return question, number

    def test_raters_resume_where_they_stopped(self, study, tmp_path):
        asked, choices = {"anna": [], "ben": []}, {"anna": "left", "ben": "right"}
        for index in range(len(IMAGES)):
            for rater, questions in asked.items():
                question, number = self.answer(study(), rater, choices[rater])
                questions.append(question)
                assert number == index + 1
        for rater in asked:
            assert asked[rater] == plan(IMAGES, [("ours", "devc")], rater)
            assert study().next_question(rater) == (None, len(IMAGES) + 1, len(IMAGES))
        for answer in read_answers(tmp_path / "answers.csv"):
            assert (answer.preferred == answer.left) == (choices[answer.rater] == "left")

    def test_folders_in_another_order_ask_nothing_again(self, study, copies):
        self.answer(study(), "anna", "left")
        turned = Study(copies, [("devc", "ours")], study().answers, seed=5)
        assert turned.next_question("anna")[1] == 2

    def test_what_answers_no_question_is_refused(self, study):
        question, _, _ = study().next_question("anna")
        left, right = (file.name for file in study().files(question))
        for given in (
            (right, left, "left", 1, 1),  # the sides of another rater, maybe
            ("x.png", right, "left", 1, 1),
            (None, [], "left", 1, 1),
            (left, right, "both", 1, 1),
            (left, right, None, 1, 1),
            (left, right, "left", float("nan"), 1),
            (left, right, "left", 1, "1"),
        ):
            with pytest.raises(ValueError):
                study().answer("anna", *given)
        assert study().next_question("anna")[1] == 1


class TestResults:
    @pytest.mark.parametrize(
        ("successes", "count", "low", "high"),
        [
            (10, 20, 0.2993, 0.7007),
            # R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, Table I, method 3
            (81, 263, 0.2553, 0.3662),
            (0, 20, 0.0, 0.1611),
            (20, 20, 1 - 0.1611, 1.0),
        ],
    )
    def test_the_interval_is_wilsons(self, successes, count, low, high):
        preferred = ["ours"] * successes + ["devc"] * (count - successes)
        (pair,) = preferences([replace(ANSWER, preferred=method) for method in preferred])
        assert (pair.low, pair.high) == (
            pytest.approx(low, abs=5e-5),
            pytest.approx(high, abs=5e-5),
        )
        assert 0 <= pair.low <= pair.high <= 1

    @pytest.fixture
    def answers(self):
        """Three of four prefer ours to devc, one prefers ours to b|c."""
        return [
            ANSWER,
            replace(ANSWER, rater="ben", reaction=4),
            replace(ANSWER, rater="ben", image="dog", preferred="devc", reaction=3),
            replace(ANSWER, a="devc", b="ours", left="ours", image="dog"),
            replace(ANSWER, b="b|c", left="ours"),
        ]

    def test_preferences(self, answers):
        other, devc = preferences(answers)
        assert (devc.a, devc.b, devc.share, devc.answers, devc.raters) == (
            "ours",
            "devc",
            0.75,
            4,
            2,
        )
        assert (other.a, other.b, other.share, other.answers, other.raters) == (
            *("ours", "b|c"),
            *(1, 1, 1),
        )

    def test_habits(self, answers):
        anna, ben = rater_habits(answers)
        assert (anna.rater, anna.answers, anna.left_share, anna.reaction) == ("anna", 3, 2 / 3, 2)
        assert (ben.rater, ben.answers, ben.left_share, ben.reaction) == ("ben", 2, 0.5, 3.5)

    def test_tables(self, answers):
        tables = study_tables(preferences(answers), rater_habits(answers))
        assert "| ours vs. devc | 75.0 vs. 25.0 | 30.1 to 95.4 | 4 | 2 |" in tables.splitlines()
        assert r"| ours vs. b\|c | 100.0 vs. 0.0 | 20.7 to 100.0 | 1 | 1 |" in tables.splitlines()
        assert "| ben | 2 | 50.0 | 3.50 |" in tables.splitlines()


class TestScript:
    @pytest.fixture
    def script(self, monkeypatch):
        """The script as a function of its arguments."""
        for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY"):
            monkeypatch.setenv(name, os.environ.get(name, ""))  # so that all is as it was after it
        monkeypatch.setattr(signal, "signal", lambda *_: None)

        def call(*arguments) -> None:
            monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
            runpy.run_path(str(SCRIPT), run_name="__main__")

        return call

    @pytest.mark.parametrize(
        ("arguments", "mentioned"),
        [(["--help"], "Table 3"), (["run", "--help"], "--truth"), (["results", "--help"], "JSON")],
    )
    def test_help(self, script, capsys, arguments, mentioned):
        with pytest.raises(SystemExit) as stop:
            script(*arguments)
        assert stop.value.code == 0
        assert mentioned in capsys.readouterr().out

    def test_results(self, script, capsys, tmp_path):
        AnswerFile(tmp_path / "answers.csv").add(ANSWER)
        script("results", tmp_path / "answers.csv", "--output", tmp_path / "results.json")
        assert "| ours vs. devc | 100.0 vs. 0.0 |" in capsys.readouterr().out
        record = json.loads((tmp_path / "results.json").read_text())
        assert record["pairs"][0]["share"] == 1
        assert record["raters"][0]["rater"] == "anna"

    @pytest.mark.parametrize(
        ("content", "message"), [(None, "No such file"), ("", "no answers yet"), ("x", "is not")]
    )
    def test_no_results(self, script, tmp_path, content, message):
        if content is not None:
            (tmp_path / "answers.csv").write_text(content)
        with pytest.raises(SystemExit, match=f"^human_study.py: .*{message}"):
            script("results", tmp_path / "answers.csv")

    @pytest.mark.parametrize(
        ("other", "options", "message"),
        [
            ("missing", [], "is not a folder"),
            ("fewer", [], "fewer: lacks b, which another folder has"),
            ("larger", [], r"larger/b.png: is 48x32, but .*ours/b.png is 24x16"),
            ("broken", [], r"broken/b.png: is not an image that can be read"),
            ("same=ours", ["--truth", "same"], "is not a folder"),
            ("ours", [], "two folders are named ours; use NAME=FOLDER"),
            ("good=ours", ["--answers", "notes.txt"], r"notes.txt: is not a file of answers"),
        ],
    )
    def test_what_is_wrong_is_said_before_it_starts(
        self, script, folder, tmp_path, monkeypatch, other, options, message
    ):
        monkeypatch.chdir(tmp_path)
        for name in ("ours", "fewer", "larger", "broken"):
            folder(name, "a.png", "b.png")
        Path("fewer/b.png").unlink()
        make_image(48, 32).save("larger/b.png")
        Path("broken/b.png").write_text("no image")
        Path("notes.txt").write_text("my notes")
        with pytest.raises(SystemExit, match=f"^human_study.py: .*{message}"):
            script("run", "ours", other, "--answers", "answers.csv", *options)

    @pytest.mark.parametrize("seconds", ["0", "-1", "nan", "x", "61"])
    def test_no_number_of_seconds(self, script, capsys, seconds):
        with pytest.raises(SystemExit):
            script("run", "a", "b", "--answers", "c.csv", "--seconds", seconds)
        assert "is not a number of seconds up to 60" in capsys.readouterr().err
