"""The local copy of selected photographs, and the script that makes it."""

import errno
import hashlib
import io
import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow.parquet
import pytest
from PIL import Image

from helpers.images import make_image
from scsnet_hf.data.photographs import open_photograph, stream_photographs
from scsnet_hf.data.preparation import Preparation, prepare

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "prepare_data.py"
COUNT = 14  # readable images of the source

KILLED = """
import os, signal, sys
from pathlib import Path
from scsnet_hf.data.preparation import Preparation, prepare

def kill(progress):
    if progress.seen == 8:
        os.kill(os.getpid(), signal.SIGKILL)

prepare(Preparation(sys.argv[1], shard_size=3), Path(sys.argv[2]), kill)
"""


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    """Two files of eight images, in each one that cannot be read."""
    folder = tmp_path_factory.mktemp("source")
    features = datasets.Features(image=datasets.Image())
    for number in range(2):
        rows = [
            {"bytes": png(make_image(40 + 8 * number + index, 30, seed=index)), "path": None}
            for index in range(8)
        ]
        rows[5] = {"bytes": b"no image", "path": f"bad{number}.png"}
        table = pyarrow.Table.from_pydict({"image": rows}, schema=features.arrow_schema)
        pyarrow.parquet.write_table(table, folder / f"{number}.parquet", row_group_size=3)
    return str(folder)


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def rows_of(output: Path) -> list[dict]:
    return [row for path in sorted(output.glob("*.parquet")) for row in table_of(path)]


def table_of(path: Path) -> list[dict]:
    return pyarrow.parquet.read_table(path).to_pylist()


@pytest.fixture
def whole(source, tmp_path) -> Path:
    """An uninterrupted run."""
    output = tmp_path / "whole"
    prepare(Preparation(source, shard_size=3), output)
    return output


def make_split_folder(folder: Path, counts: dict[str, int]) -> None:
    folder.mkdir()
    for split, count in counts.items():
        rows = [
            {"bytes": png(make_image(20, 20, seed=seed)), "path": None} for seed in range(count)
        ]
        features = datasets.Features(image=datasets.Image())
        table = pyarrow.Table.from_pydict({"image": rows}, schema=features.arrow_schema)
        pyarrow.parquet.write_table(table, folder / f"{split}-0.parquet")


class Stopped(Exception):  # noqa: N818
    pass


class TestResult:
    def test_every_readable_image_is_kept_as_it_was(self, source, whole):
        given = [row["image"]["bytes"] for row in stream_photographs(source)]
        kept = [row["image"]["bytes"] for row in rows_of(whole)]
        assert kept == [content for content in given if content != b"no image"]

    def test_the_files_hold_as_many_images_as_asked(self, whole):
        files = sorted(whole.glob("*.parquet"))
        assert [path.name for path in files] == [f"photographs-0000{n}.parquet" for n in range(5)]
        assert [len(table_of(path)) for path in files] == [3, 3, 3, 3, 2]

    def test_it_can_be_streamed(self, whole):
        images = [open_photograph(row["image"]) for row in stream_photographs(whole)]
        assert [image.size for image in images] == [
            (row["width"], row["height"]) for row in rows_of(whole)
        ]

    def test_datasets_reads_it_as_images(self, whole):
        files = {"train": str(whole / "*.parquet")}
        stream = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
        features = stream.features
        assert isinstance(features["image"], datasets.Image)
        assert set(features) == {"image", "width", "height", "colorfulness", "sha256"}

    def test_unreadable_images_are_listed(self, whole):
        lines = (whole / "skipped.txt").read_text().splitlines()
        assert [line.split("\t")[:2] for line in lines] == [["5", "bad0.png"], ["13", "bad1.png"]]

    def test_the_list_has_the_hash_of_each_file_of_the_source(self, source, whole):
        given = [row["image"]["bytes"] for row in stream_photographs(source)]
        expected = sorted(hashlib.sha256(one).hexdigest() for one in given if one != b"no image")
        assert (whole / "files.txt").read_text().split() == expected

    def test_the_hash_of_the_list_depends_on_the_images_alone(self, source, tmp_path, whole):
        state = json.loads((whole / "state.json").read_text())
        expected = hashlib.sha256((whole / "files.txt").read_bytes()).hexdigest()
        assert state["progress"]["files_sha256"] == expected
        reduced = prepare(Preparation(source, short_side=20, shard_size=5), tmp_path / "reduced")
        fewer = prepare(Preparation(source, limit=13), tmp_path / "fewer")
        assert reduced.files_sha256 == expected != fewer.files_sha256

    def test_the_progress_counts(self, source, tmp_path):
        progress = prepare(Preparation(source, shard_size=3), tmp_path / "out")
        assert (progress.seen, progress.kept, progress.shards) == (COUNT + 2, COUNT, 5)
        assert progress.finished

    def test_a_folder_of_images_can_be_prepared(self, tmp_path):
        (tmp_path / "in").mkdir()
        make_image(30, 20).save(tmp_path / "in" / "a.jpg")
        prepare(Preparation(str(tmp_path / "in")), tmp_path / "out")
        (row,) = rows_of(tmp_path / "out")
        assert row["image"]["path"] == "a.jpg"
        assert row["image"]["bytes"] == (tmp_path / "in" / "a.jpg").read_bytes()


class TestArguments:
    @pytest.mark.parametrize("limit", [1, 3, 5, 100])
    def test_the_limit_holds(self, source, tmp_path, limit):
        prepare(Preparation(source, limit=limit, shard_size=3), tmp_path / "out")
        assert len(rows_of(tmp_path / "out")) == min(limit, COUNT)

    def test_small_files_are_left_out(self, source, tmp_path):
        sizes = [len(row["image"]["bytes"]) for row in stream_photographs(source)]
        least = sorted(sizes)[8]
        prepare(Preparation(source, min_bytes=least), tmp_path / "out")
        assert len(rows_of(tmp_path / "out")) == sum(size >= least for size in sizes)

    def test_pale_images_are_left_out(self, source, tmp_path, whole):
        values = [row["colorfulness"] for row in rows_of(whole)]
        least = sorted(values)[7] - 0.01
        prepare(Preparation(source, min_colorfulness=least), tmp_path / "out")
        kept = [row["colorfulness"] for row in rows_of(tmp_path / "out")]
        assert kept == [value for value in values if value >= least]

    def test_larger_images_are_reduced_and_smaller_ones_kept(self, tmp_path):
        (tmp_path / "in").mkdir()
        sizes = {"a": (300, 200), "b": (90, 150), "c": (60, 40), "d": (50, 500)}
        for name, size in sizes.items():
            make_image(*size).save(tmp_path / "in" / f"{name}.png")
        prepare(Preparation(str(tmp_path / "in"), short_side=50), tmp_path / "out")
        made = {row["image"]["path"]: row for row in rows_of(tmp_path / "out")}
        assert {name: (row["width"], row["height"]) for name, row in made.items()} == {
            "a.png": (75, 50),
            "b.png": (50, 83),
            "c.png": (60, 40),
            "d.png": (50, 500),
        }
        kinds = {
            name: Image.open(io.BytesIO(row["image"]["bytes"])).format for name, row in made.items()
        }
        assert kinds == {"a.png": "JPEG", "b.png": "JPEG", "c.png": "PNG", "d.png": "PNG"}

    @pytest.mark.parametrize("name", ["short_side", "shard_size", "limit", "min_bytes"])
    def test_numbers_that_cannot_be_are_refused(self, name):
        with pytest.raises(ValueError, match=name):
            Preparation("flowers", **{name: -1})

    def test_a_source_of_the_paper_brings_its_selection(self):
        assert Preparation("coco").selection.min_bytes == 80_000
        assert Preparation("coco", min_bytes=0).selection.min_bytes == 0

    @pytest.mark.parametrize("keep", [1, 5, COUNT])
    def test_the_most_colorful_are_kept(self, source, tmp_path, whole, keep):
        values = sorted((row["colorfulness"] for row in rows_of(whole)), reverse=True)
        progress = prepare(Preparation(source, keep=keep, shard_size=3), tmp_path / "out")
        kept = [row["colorfulness"] for row in rows_of(tmp_path / "out")]
        assert progress.kept == keep
        assert sorted(kept, reverse=True) == values[:keep]

    def test_more_than_there_are_cannot_be_kept(self, source, tmp_path):
        with pytest.raises(ValueError, match="has 14 images, keep fewer"):
            prepare(Preparation(source, keep=15), tmp_path / "out")

    @pytest.mark.parametrize("other", [{"limit": 3}, {"min_colorfulness": 3.0}])
    def test_a_number_to_keep_stands_alone(self, other):
        with pytest.raises(ValueError, match="keep excludes"):
            Preparation("coco", keep=3, **other)

    @pytest.mark.parametrize(
        ("split", "count"), [(None, 3), ("train", 3), ("validation", 2), ("train+validation", 5)]
    )
    def test_the_split_is_chosen(self, tmp_path, split, count):
        make_split_folder(tmp_path / "in", {"train": 3, "validation": 2})
        assert prepare(Preparation(str(tmp_path / "in"), split), tmp_path / "out").kept == count

    def test_nothing_left_is_an_error(self, source, tmp_path):
        with pytest.raises(ValueError, match="none of the 16 images"):
            prepare(Preparation(source, min_bytes=10**9), tmp_path / "out")


class TestResuming:
    @pytest.mark.parametrize("place", [1, 4, 9, COUNT + 2])
    def test_a_run_cut_off_ends_with_the_same_files(self, source, tmp_path, whole, place):
        def stop(progress):
            if progress.seen == place:
                raise Stopped

        output = tmp_path / "out"
        with pytest.raises(Stopped):
            prepare(Preparation(source, shard_size=3), output, stop)
        prepare(Preparation(source, shard_size=3), output)
        assert hashes(output) == hashes(whole)

    @pytest.mark.slow
    def test_a_killed_run_ends_with_the_same_files(self, source, tmp_path, whole):
        output = tmp_path / "out"
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, source, str(output)], cwd=SCRIPT.parent.parent
        )
        assert killed.returncode == -signal.SIGKILL
        assert (output / "photographs-00001.parquet").exists()
        assert hashes(output) != hashes(whole)
        prepare(Preparation(source, shard_size=3), output)
        assert hashes(output) == hashes(whole)

    @pytest.mark.parametrize("call", [1, 2, 3, 6, 11, 12])
    def test_a_run_cut_off_between_two_files_ends_with_the_same_files(
        self, source, tmp_path, whole, monkeypatch, call
    ):
        """Stopped before a rename, when the file still has its temporary name."""
        rename, calls = os.replace, 0

        def stop(*paths):
            nonlocal calls
            calls += 1
            if calls == call:
                raise Stopped
            rename(*paths)

        output = tmp_path / "out"
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(os, "replace", stop)
            prepare(Preparation(source, shard_size=3), output)
            raise Stopped  # fewer renames than that
        prepare(Preparation(source, shard_size=3), output)
        assert hashes(output) == hashes(whole)

    def test_a_limit_reached_before_the_cut_still_holds(self, source, tmp_path):
        def stop(progress):
            if progress.kept == 3:
                raise Stopped

        preparation = Preparation(source, shard_size=3, limit=3)
        with pytest.raises(Stopped):
            prepare(preparation, tmp_path / "out", stop)
        assert prepare(preparation, tmp_path / "out").kept == 3

    def test_a_finished_run_does_nothing(self, source, whole):
        before = {path: path.stat().st_mtime_ns for path in whole.iterdir()}
        progress = prepare(Preparation(source, shard_size=3), whole, pytest.fail)
        assert progress.finished
        assert {path: path.stat().st_mtime_ns for path in whole.iterdir()} == before

    def test_other_arguments_are_refused(self, source, whole):
        with pytest.raises(ValueError, match="limit None, now 5"):
            prepare(Preparation(source, shard_size=3, limit=5), whole)

    def test_a_folder_of_something_else_is_refused(self, source, tmp_path):
        (tmp_path / "mine.txt").write_text("")
        with pytest.raises(ValueError, match="has other files"):
            prepare(Preparation(source), tmp_path)

    def test_without_space_finished_files_are_kept(self, source, tmp_path, whole, monkeypatch):
        write, output = pyarrow.parquet.write_table, tmp_path / "out"

        def fill(table, path, **options):
            write(table, path, **options)
            if (output / "photographs-00001.parquet").exists():
                raise OSError(errno.ENOSPC, "full")

        with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left"):
            patch.setattr(pyarrow.parquet, "write_table", fill)
            prepare(Preparation(source, shard_size=3), output)
        assert {path.name for path in output.iterdir()} == {
            "photographs-00000.parquet",
            "photographs-00001.parquet",
            "settings.json",
            "state.json",
        }
        prepare(Preparation(source, shard_size=3), output)
        assert hashes(output) == hashes(whole)


class TestScript:
    def run(self, monkeypatch, *arguments):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")

    def test_it_prepares_and_reports(self, source, tmp_path, monkeypatch, capsys):
        self.run(monkeypatch, source, tmp_path / "out", "--shard-size", "5", "--short-side", "20")
        printed = capsys.readouterr().out
        assert f"{COUNT} of {COUNT + 2} images kept, in 3 files" in printed
        assert "bad0.png" in printed
        assert {row["height"] for row in rows_of(tmp_path / "out")} == {20}

    def test_errors_are_one_line(self, tmp_path, monkeypatch):
        with pytest.raises(SystemExit, match="error: nothing: neither a folder"):
            self.run(monkeypatch, "nothing", tmp_path / "out")
