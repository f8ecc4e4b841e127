"""Which inputs go where."""

import pytest

from scsnet_hf.io.jobs import Job, find_inputs, plan_jobs


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
        (["in"], "new.png", None, {"in/b.jpg": "new.png/b.png", "in/c/d.gif": "new.png/c/d.png"}),
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
    assert [place.as_posix() for _, place in find_inputs(["in"], None)] == ["b.jpg", "c/d.gif"]


@pytest.mark.parametrize(
    ("inputs", "output", "image_format", "reason"),
    [
        (["empty"], None, None, "no images in empty"),
        (["a.jpg", "a.png"], None, None, "would both be written to"),
        (["a.jpg", "in/a.jpg"], "new", None, "would both be written to"),
        (["a.jpg"], "a.jpg", None, "overwrite an input"),
        (["in"], "in", "jpg", "overwrite an input"),
        (["a.jpg"], "new.txt", None, "cannot write .txt"),
        (["a.jpg"], "new.png", "webp", "is not of --format webp"),
        (["a.jpg", "a.png"], "notes.txt", None, "is a file, but several images need a folder"),
        (["video.mp4"], "new.png", None, "a video is written as"),
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
