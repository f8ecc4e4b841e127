"""Which inputs go where."""

import io
import sys
from pathlib import Path
from time import sleep

import pytest

from helpers.images import make_image
from scsnet_hf.image_io import ImageError
from scsnet_hf.io import jobs
from scsnet_hf.io.jobs import Job, check_readable, count_passed_over, fetch, find_inputs, plan_jobs


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> None:
        for name in names:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"")

    return make


def planned(*arguments, **options) -> dict[str, str]:
    return {
        job.source.as_posix(): job.target.as_posix() for job in plan_jobs(*arguments, **options)
    }


@pytest.mark.parametrize(
    ("inputs", "output", "image_format", "expected"),
    [
        (["a.jpg"], None, None, {"a.jpg": "a.scs.png"}),
        (["a.jpg"], None, "webp", {"a.jpg": "a.scs.webp"}),
        (["a.b.jpg"], None, None, {"a.b.jpg": "a.b.scs.png"}),
        (["a.jpg"], "new.tif", None, {"a.jpg": "new.tif"}),
        (["a.jpg"], "NEW.TIF", "tif", {"a.jpg": "NEW.TIF"}),
        (["a.jpg"], "new/b.png", None, {"a.jpg": "new/b.png"}),
        (["a.jpg"], "new", None, {"a.jpg": "new/a.png"}),
        (["in"], None, None, {"in/b.jpg": "in/b.scs.png", "in/c/d.gif": "in/c/d.scs.png"}),
        (["in"], "new", None, {"in/b.jpg": "new/b.png", "in/c/d.gif": "new/c/d.png"}),
        (["in"], "new.v2", None, {"in/b.jpg": "new.v2/b.png", "in/c/d.gif": "new.v2/c/d.png"}),
        (["in/c", "a.jpg"], "new", "jpg", {"in/c/d.gif": "new/d.jpg", "a.jpg": "new/a.jpg"}),
    ],
)
def test_results_go_where_the_names_say(tree, inputs, output, image_format, expected):
    tree("a.jpg", "a.b.jpg", "in/b.jpg", "in/c/d.gif", "in/notes.txt")
    assert planned(inputs, output, image_format) == expected


def test_existing_folder_that_looks_like_a_file_is_a_folder(tree, tmp_path):
    tree("a.jpg")
    (tmp_path / "v1.png").mkdir()
    assert planned(["a.jpg"], "v1.png") == {"a.jpg": "v1.png/a.png"}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".MOV"])
def test_videos_keep_their_suffix(tree, suffix):
    tree(f"in/a{suffix}", "in/b.jpg")
    assert planned(["in"], "new", "webp") == {
        f"in/a{suffix}": f"new/a{suffix}",
        "in/b.jpg": "new/b.webp",
    }


@pytest.mark.parametrize("output", [None, "in/new"])
def test_earlier_results_are_no_inputs(tree, output):
    tree("in/a.jpg")
    first = planned(["in"], output)
    tree(*first.values())
    assert planned(["in"], output) == first


def test_result_that_is_named_is_an_input(tree):
    tree("a.scs.png")
    assert planned(["a.scs.png"], None) == {"a.scs.png": "a.scs.scs.png"}


def test_input_may_be_missing(tree):
    assert planned(["nothing.jpg"], None) == {"nothing.jpg": "nothing.scs.png"}


def test_places_mirror_the_tree(tree):
    tree("in/b.jpg", "in/c/d.gif")
    found = find_inputs(["in"], None, Path("fetched"))
    assert [one.place.as_posix() for one in found] == ["b.jpg", "c/d.gif"]


@pytest.mark.parametrize(
    ("inputs", "output", "image_format", "reason"),
    [
        (["empty"], None, None, "no images or videos in empty"),
        (["a.jpg"], "a.jpg", None, "overwrite an input"),
        (["a.jpg"], "new.txt", None, "cannot write .txt"),
        (["a.jpg"], "new.png", "webp", "is not of --format webp"),
        (["a.jpg", "a.png"], "notes.txt", None, "is a file, but several results need a folder"),
        (["video.mp4"], "new.png", None, "a video is written as"),
        (["a.jpg", "a.png"], "new.png", None, "is the name of one file"),
        (["in"], "new.mp4", None, "is the name of one file"),
        (["a.jpg", "a.png"], "-", None, "standard output takes one result"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    tree, inputs, output, image_format, reason
):
    tree("a.jpg", "a.png", "in/a.jpg", "notes.txt", "empty/notes.txt", "video.mp4")
    with pytest.raises(ValueError, match=reason):
        plan_jobs(inputs, output, image_format)


@pytest.mark.parametrize(
    ("source", "there", "done"),
    [
        ("a.jpg", "a.scs.png", True),
        ("a.jpg", "a.scs.tif", False),
        ("a.tif", "a.scs.tif", True),  # its pages
        ("a.tif", "b.scs.tif", False),
    ],
)
def test_result_that_is_there_is_done(tree, tmp_path, source, there, done):
    tree(source, there)
    assert Job(tmp_path / source, tmp_path / "a.scs.png").is_done == done


@pytest.mark.parametrize(
    ("source", "target", "has"),
    [
        ("a.png", "a.jpg", True),
        ("a.png", "a.webp", True),
        ("a.png", "a.avif", True),
        ("a.jpg", "a.png", False),
        ("a.mp4", "b.mp4", True),
    ],
)
def test_quality_is_a_matter_of_the_target(tmp_path, source, target, has):
    assert Job(tmp_path / source, tmp_path / target).has_quality == has


class TestFetched:
    """URLs and standard input."""

    @pytest.mark.parametrize(
        ("origin", "output", "source", "target"),
        [
            ("https://example.org/a/old%20one.jpg?x=1", None, "0/old one.jpg", "old one.scs.png"),
            ("https://example.org/old.jpg", "new", "0/old.jpg", "new/old.png"),
            ("https://example.org/old.jpg", "new.tif", "0/old.jpg", "new.tif"),
            ("https://example.org/", None, "0/download", "download.scs.png"),
            ("https://example.org/..%2F..%2Fx", None, "0/x", "x.scs.png"),
            ("-", "new.png", "0/stdin", "new.png"),
        ],
    )
    def test_they_are_read_from_a_folder_and_results_go_to_the_current_one(
        self, origin, output, source, target
    ):
        (job,) = plan_jobs([origin], output, fetched=Path("fetched"))
        assert job == (Path("fetched") / source, Path(target), origin)

    def test_a_result_for_standard_output_is_a_file_first(self, tree):
        tree("a.jpg")
        (job,) = plan_jobs(["a.jpg"], "-", "webp", fetched=Path("fetched"))
        assert job == (Path("a.jpg"), Path("fetched/stdout.webp"), "")

    def test_they_are_fetched_once(self, tmp_path, monkeypatch):
        contents = iter([b"first"])
        monkeypatch.setattr(jobs, "download", lambda url: next(contents))
        job = Job(tmp_path / "0" / "a.jpg", tmp_path / "b.png", "https://example.org/a.jpg")
        fetch(job)
        fetch(job)
        assert job.source.read_bytes() == b"first"

    def test_standard_input_is_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"content")))
        job = Job(tmp_path / "0" / "stdin", tmp_path / "b.png", "-")
        fetch(job)
        assert job.source.read_bytes() == b"content"

    def test_an_error_names_the_url(self, tmp_path, monkeypatch):
        def refuse(url):
            raise OSError("<refused>")

        monkeypatch.setattr(jobs, "download", refuse)
        job = Job(tmp_path / "0" / "a.jpg", tmp_path / "b.png", "https://example.org/a.jpg")
        with pytest.raises(OSError, match=r"https://example.org/a.jpg: cannot be .* \(refused\)"):
            fetch(job)


def test_what_is_no_image_is_not_readable(tree, tmp_path):
    tree("text.png", "video.mp4")
    make_image(8, 8).save("a.png")
    check_readable(Job(Path("a.png"), Path("b.png")))
    check_readable(Job(Path("video.mp4"), Path("b.mp4")))
    for name in ("text.png", "missing.png"):
        with pytest.raises(ImageError, match=name):
            check_readable(Job(Path(name), Path("b.png")))
    with pytest.raises(FileNotFoundError):
        check_readable(Job(Path("missing.mp4"), Path("b.mp4")))


def targets_of(inputs: list[str], output: str | None, image_format: str | None = None) -> list[str]:
    return [job.target.as_posix() for job in plan_jobs(inputs, output, image_format)]


@pytest.mark.parametrize(
    ("inputs", "output", "expected"),
    [
        (["a.tif", "a.jpg"], "new", ["new/a.tif.png", "new/a.jpg.png"]),
        (["a.tif", "a.jpg"], None, ["a.tif.scs.png", "a.jpg.scs.png"]),
        (["IMG.1", "IMG.2", "b.jpg"], "new", ["new/IMG.1.png", "new/IMG.2.png", "new/b.png"]),
        (["a.avi", "a.wmv"], "new", ["new/a.avi.mkv", "new/a.wmv.mkv"]),
        (["x/a.jpg", "y/a.jpg"], "new", ["new/a.jpg-1.png", "new/a.jpg-2.png"]),
        (["a.tif", "a.jpg", "a.tif.jpg"], "n", ["n/a.tif.png", "n/a.jpg.png", "n/a.tif.jpg.png"]),
        (["a.jpg", "a.jpg"], "new", ["new/a.png"]),
        (["a.heic", "a.mov"], "new", ["new/a.png", "new/a.mov"]),
        (["in/a.jpg", "in/b.png"], "in", ["in/a.png", "in/b.scs.png"]),
        (["in/a.png", "in/a.jpg"], "in", ["in/a.png.scs.png", "in/a.jpg.scs.png"]),
        (["in/b.mkv", "in/c.mkv"], "in", ["in/b.scs.mkv", "in/c.scs.mkv"]),
    ],
)
def test_results_of_one_name_become_distinct(inputs, output, expected):
    assert targets_of(inputs, output) == expected


def test_results_in_the_folder_of_their_inputs_are_no_later_inputs(tmp_path):
    (tmp_path / "a.jpg").touch()
    folder = str(tmp_path)
    for _ in range(2):
        assert targets_of([folder], folder) == [f"{tmp_path.as_posix()}/a.scs.png"]
        (tmp_path / "a.scs.png").touch()


def test_other_files_are_counted_but_not_those_of_systems(tmp_path):
    for name in ("a.jpg", "b.psd", "c.txt", "._a.jpg", "Thumbs.db", ".DS_Store", "d.jp2"):
        (tmp_path / name).touch()
    assert count_passed_over([str(tmp_path), "a.jpg"]) == 2
    assert len(targets_of([str(tmp_path)], "new")) == 2


class TestResultsKeepTheirNames:
    """Whatever else is among the inputs of a later run."""

    @pytest.fixture
    def run(self, tmp_path, monkeypatch):
        """Runs the command: writes the results that are missing, and returns those written."""
        monkeypatch.chdir(tmp_path)
        Path("in").mkdir()

        def run(*inputs: str) -> list[str]:
            jobs = plan_jobs([*inputs] or ["in"], "new")
            todo = [job for job in jobs if not job.is_done]
            for job in todo:
                job.target.parent.mkdir(exist_ok=True)
                job.target.touch()
            assert plan_jobs([*inputs] or ["in"], "new") == jobs
            return [job.target.name for job in todo]

        return run

    def test_where_a_file_of_the_same_name_is_added(self, run):
        Path("in/a.tif").touch()
        assert run() == ["a.png"]
        sleep(0.05)  # more than the resolution of time stamps
        Path("in/a.jpg").touch()
        assert run() == ["a.jpg.png"]
        assert run() == run("in/a.jpg", "in/a.tif") == []

    def test_where_one_of_them_is_removed(self, run):
        for name in ("a.tif", "a.jpg"):
            Path("in", name).touch()
        assert run() == ["a.jpg.png", "a.tif.png"]
        Path("in/a.jpg").unlink()
        assert run() == []
        assert run("in/a.tif") == []

    def test_where_it_is_unknown_whose_it_is_both_are_done(self, run):
        for name in ("a.tif", "a.jpg"):
            Path("in", name).touch()
        assert run("in/a.tif") == ["a.png"]
        assert run() == ["a.jpg.png", "a.tif.png"]

    def test_where_another_result_has_the_joined_name(self, run):
        Path("in/a.tif.jpg").touch()
        assert run() == ["a.tif.png"]
        Path("in/a.tif").touch()
        assert run() == ["a.png"]
