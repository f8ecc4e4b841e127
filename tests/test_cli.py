"""The command `scsnet colorize`: which files it writes, what it reports and its exit code."""

import io
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence
from transformers.utils import logging

from helpers import video_files
from helpers.image_files import png_chunk
from helpers.images import make_image
from scsnet_hf import __version__, cli
from scsnet_hf.registration import load_pipeline

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def colorize(checkpoint):
    """Runs `scsnet colorize` with the tiny network; returns the exit code."""

    def run(*arguments, model=checkpoint) -> int:
        words = ["--model", model, "--device", "cpu", *arguments]
        return cli.main(["colorize", *map(str, words)])

    return run


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    make_image(24, 16).save(path)
    return path


@pytest.fixture
def tree(tmp_path):
    """Three images in three folders, and a text."""
    root = tmp_path / "album"
    for place in ("one.png", "sub/two.JPG", "sub/deep er/three.webp"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        make_image(12, 8).save(root / place)
    (root / "notes.txt").write_text("no image")
    return root


def files(folder) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def size_of(path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


def jpeg(width=64, height=64) -> bytes:
    buffer = io.BytesIO()
    make_image(width, height).save(buffer, format="JPEG")
    return buffer.getvalue()


def huge_header() -> bytes:
    """A GIF that claims 65535x65535 pixels."""
    buffer = io.BytesIO()
    Image.new("L", (9, 9)).save(buffer, format="GIF")
    return buffer.getvalue()[:6] + b"\xff\xff\xff\xff" + buffer.getvalue()[10:]


BAD_FILES = {
    "text.jpg": b"this is a text\n",
    "cut.jpg": jpeg()[:400],
    "empty.png": b"",
    "huge.gif": huge_header(),
    "cut.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0",
}


class TestWhereResultsGo:
    def test_beside_the_input_by_default(self, colorize, photo):
        assert colorize(photo) == 0
        assert size_of(photo.with_name("photo.scs.png")) == (96, 64)
        assert files(photo.parent) == {"photo.png", "photo.scs.png"}

    @pytest.mark.parametrize("name", ["a.png", "a.JPEG", "a.tiff"])
    def test_into_the_file_of_the_option(self, colorize, photo, tmp_path, name):
        assert colorize(photo, "-o", tmp_path / "new" / name, "--scale", 1) == 0
        assert size_of(tmp_path / "new" / name) == (24, 16)

    @pytest.mark.parametrize("exists", [True, False])
    def test_into_the_folder_of_the_option(self, colorize, photo, tmp_path, exists):
        if exists:
            (tmp_path / "out").mkdir()
        assert colorize(photo, "-o", tmp_path / "out", "--scale", 1) == 0
        assert files(tmp_path / "out") == {"photo.png"}

    def test_a_folder_is_searched_in_depth(self, colorize, tree):
        before = files(tree)
        assert colorize(tree, "--scale", 1) == 0
        results = {"one.scs.png", "sub/two.scs.png", "sub/deep er/three.scs.png"}
        assert files(tree) == before | results

    def test_the_tree_is_mirrored(self, colorize, tree, tmp_path):
        assert colorize(tree, "-o", tmp_path / "out", "--scale", 1) == 0
        assert files(tmp_path / "out") == {"one.png", "sub/two.png", "sub/deep er/three.png"}

    def test_the_tree_is_mirrored_into_a_folder_that_looks_like_a_file(
        self, colorize, tree, tmp_path
    ):
        assert colorize(tree, "-o", tmp_path / "out.v2", "--scale", 1) == 0
        assert len(files(tmp_path / "out.v2")) == 3

    @pytest.mark.parametrize("output", [(), ("-o", "album/out")])
    def test_earlier_results_are_no_inputs(self, colorize, tree, monkeypatch, output):
        monkeypatch.chdir(tree.parent)
        assert colorize("album", "--scale", 1, *output) == 0
        first = files(tree)
        assert colorize("album", "--scale", 1, *output) == 0
        assert files(tree) == first

    @pytest.mark.parametrize("name", ["Фото 1.png", "صورة.webp", "été à l'eau.png"])
    def test_names_of_every_script_are_kept(self, colorize, tmp_path, name):
        path = tmp_path / "mes photos" / name
        path.parent.mkdir()
        make_image(8, 8).save(path)
        assert colorize(path) == 0
        assert files(path.parent) == {name, f"{path.stem}.scs.png"}

    def test_a_dot_in_the_name_is_kept(self, colorize, photo):
        dotted = photo.rename(photo.with_name("photo.v1.2.png"))
        assert colorize(dotted, "--scale", 1) == 0
        assert dotted.with_name("photo.v1.2.scs.png").exists()

    def test_inputs_are_left_as_they_were(self, colorize, tree):
        before = {name: (tree / name).read_bytes() for name in files(tree)}
        colorize(tree)
        assert {name: (tree / name).read_bytes() for name in before} == before

    def test_nothing_is_written_over_an_input(self, colorize, photo, capsys):
        before = photo.read_bytes()
        assert colorize(photo, "-o", photo) == 2
        assert photo.read_bytes() == before
        assert "photo.png" in capsys.readouterr().err

    def test_two_inputs_never_share_a_result(self, colorize, photo, capsys):
        make_image(8, 8).save(photo.with_suffix(".jpg"))
        for options in ([], ["--skip-existing"]):
            assert colorize(photo, photo.with_suffix(".jpg"), "--scale", 1, *options) == 0
            results = {"photo.png.scs.png", "photo.jpg.scs.png"}
            assert files(photo.parent) == {"photo.png", "photo.jpg"} | results
        assert "2 already there" in capsys.readouterr().err

    def test_a_new_result_replaces_the_old(self, colorize, photo):
        colorize(photo, "--scale", 1)
        assert colorize(photo, "--scale", 2) == 0
        assert size_of(photo.with_name("photo.scs.png")) == (48, 32)


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "size"),
        [
            (("--scale", "2.7"), (65, 43)),
            (("--size", "31x50"), (31, 50)),
            (("--size", "31X50"), (31, 50)),
            (("--long-side", "100"), (100, 67)),
        ],
    )
    def test_the_result_is_as_large_as_asked(self, colorize, photo, options, size):
        assert colorize(photo, *options) == 0
        assert size_of(photo.with_name("photo.scs.png")) == size

    @pytest.mark.parametrize(
        "options",
        [
            {"saturation": 0.5},
            {"luminance": "source"},
            {"tile_size": 16},
            {"reference": "modern.png"},
            {"reference": "modern.png", "reference_strength": 0.5},
        ],
    )
    def test_an_option_does_what_the_pipeline_does(
        self, colorize, photo, tiny_pipe, monkeypatch, options
    ):
        monkeypatch.chdir(photo.parent)
        Image.new("RGB", (20, 20), (200, 90, 40)).save("modern.png")
        words = [w for k, v in options.items() for w in (f"--{k.replace('_', '-')}", v)]
        assert colorize("photo.png", "--scale", 2, *words) == 0
        with Image.open("photo.scs.png") as result:
            expected = tiny_pipe("photo.png", scale=2, **options)
            assert np.array_equal(np.asarray(result), np.asarray(expected))

    def test_dtype_is_the_number_format_of_the_network(self, colorize, photo, checkpoint):
        assert colorize(photo, "--scale", 2, "--dtype", "bfloat16") == 0
        expected = load_pipeline(checkpoint, "cpu", "bfloat16")(str(photo), scale=2)
        with Image.open(photo.with_name("photo.scs.png")) as result:
            assert np.array_equal(np.asarray(result), np.asarray(expected))
            in_float32 = load_pipeline(checkpoint, "cpu")(str(photo), scale=2)
            assert not np.array_equal(np.asarray(result), np.asarray(in_float32))

    def test_skip_existing_leaves_results_alone(self, colorize, photo, capsys):
        old = photo.with_name("photo.scs.png")
        old.write_bytes(b"old")
        assert colorize(photo, "--skip-existing") == 0
        assert old.read_bytes() == b"old"
        assert "1 already there" in capsys.readouterr().err

    def test_skip_existing_does_the_rest(self, colorize, tree):
        (tree / "one.scs.png").write_bytes(b"old")
        assert colorize(tree, "--skip-existing", "--scale", 1) == 0
        assert (tree / "one.scs.png").read_bytes() == b"old"
        assert (tree / "sub" / "two.scs.png").exists()

    def test_a_summary_counts_the_images_and_says_where_they_are(
        self, colorize, tree, capsys, monkeypatch
    ):
        for options, where in (([], "NAME.scs.png beside each input"), (["-o", "new"], "in new")):
            monkeypatch.chdir(tree.parent)
            colorize(tree, "--scale", 1, *options)
            output = capsys.readouterr()
            others = "1 other files passed over"
            summary = f"scsnet: 3 done, 0 failed, 0 already there, {others}: {where}"
            assert output.err.splitlines()[-1] == summary
            assert output.out == ""

    def test_the_summary_of_one_image_says_where_it_is(self, colorize, photo, capsys):
        colorize(photo)
        assert "photo.scs.png (96x64)" in capsys.readouterr().err


class TestStreams:
    """URLs, standard input and standard output."""

    @pytest.fixture
    def stdin(self, photo, monkeypatch):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(photo.read_bytes())))

    @pytest.fixture
    def expected(self, photo, tiny_pipe):
        return np.asarray(tiny_pipe(str(photo), scale=2))

    @pytest.mark.parametrize("inputs", [["-"], ["photo.png", "-o", "-"], ["-", "-o", "-"]])
    def test_a_result_goes_to_standard_output(
        self, colorize, photo, stdin, expected, monkeypatch, capfdbinary, inputs
    ):
        monkeypatch.chdir(photo.parent)
        assert colorize(*inputs, "--scale", 2) == 0
        output = capfdbinary.readouterr()
        with Image.open(io.BytesIO(output.out)) as result:
            assert np.array_equal(np.asarray(result), expected)
        assert output.err.endswith(b": stdout.png (48x32)\n")
        assert files(photo.parent) == {"photo.png"}

    def test_standard_input_goes_into_a_file(self, colorize, photo, stdin, expected):
        assert colorize("-", "-o", photo.with_name("new.png"), "--scale", 2) == 0
        with Image.open(photo.with_name("new.png")) as result:
            assert np.array_equal(np.asarray(result), expected)

    def test_a_url_is_an_input(self, colorize, photo, expected, monkeypatch, capsys):
        monkeypatch.chdir(photo.parent)
        content = photo.read_bytes()
        monkeypatch.setattr("scsnet_hf.io.jobs.download", lambda url: content)
        assert colorize("https://example.org/old%20one.png?size=1", "--scale", 2) == 0
        with Image.open("old one.scs.png") as result:
            assert np.array_equal(np.asarray(result), expected)
        assert capsys.readouterr().err.endswith(": old one.scs.png (48x32)\n")

    def test_nothing_is_written_to_a_terminal(self, colorize, photo, monkeypatch, capsys):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        assert colorize(photo, "-o", "-") == 2
        assert "terminal" in capsys.readouterr().err

    @pytest.mark.parametrize("content", [b"", b"text"])
    def test_what_is_no_image_is_refused(self, colorize, monkeypatch, capfdbinary, content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert colorize("-") == 2
        output = capfdbinary.readouterr()
        assert output.out == b""
        assert b"error: standard input: is" in output.err


class TestScreen:
    def test_the_first_thing_on_a_terminal_comes_before_the_network(
        self, colorize, photo, monkeypatch, capsys
    ):
        shown = []

        def load(*arguments):
            shown.append(capsys.readouterr().err)
            raise ValueError("no network")

        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setattr(cli, "load_pipeline", load)
        assert colorize(photo) == 2
        assert "loading" in shown[0]
        assert "0/1" in shown[0]

    def test_a_warning_names_the_first_file_that_it_concerns(self, colorize, tree, capsys):
        logging.warning_once.cache_clear()
        colorize(tree, "--scale", 1, "--jobs", 1)
        (warning,) = [line for line in capsys.readouterr().err.splitlines() if "colors" in line]
        assert warning.startswith(str(tree / "one.png"))

    def test_a_warning_about_a_file_is_given_once(self, colorize, photo, capsys):
        png = photo.read_bytes()
        photo.write_bytes(png[:33] + png_chunk(b"pHYs", b"") + png[33:])
        colorize(photo, "--scale", 1)
        assert capsys.readouterr().err.count("left out (pHYs)") == 1


class TestKinds:
    def test_an_animation_stays_one(self, colorize, tmp_path):
        frames = [make_image(16, 12, seed=seed) for seed in range(3)]
        path = tmp_path / "moving.gif"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=[40, 80, 120])
        assert colorize(path, "--scale", 1) == 0
        with Image.open(path.with_suffix(".scs.png")) as result:
            assert [_duration(result, index) for index in range(result.n_frames)] == [40, 80, 120]

    def test_pages_stay_pages(self, colorize, tmp_path):
        path = tmp_path / "pages.tif"
        make_image(16, 12).save(path, save_all=True, append_images=[make_image(9, 20)])
        assert colorize(path, "--scale", 1) == 0
        with Image.open(path.with_suffix(".scs.tif")) as result:
            assert result.n_frames == 2
            result.seek(1)
            assert result.size == (9, 20)
        before = path.with_suffix(".scs.tif").stat()
        assert colorize(path, "--scale", 1, "--skip-existing") == 0
        assert path.with_suffix(".scs.tif").stat() == before

    def test_a_video_stays_a_video(self, colorize, tmp_path):
        write_video(tmp_path / "video.mkv", frames=5, size=(32, 24))
        assert colorize(tmp_path / "video.mkv", "--scale", 2) == 0
        with av.open(str(tmp_path / "video.scs.mkv")) as result:
            sizes = [(frame.width, frame.height) for frame in result.decode(video=0)]
        assert sizes == [(64, 48)] * 5

    @pytest.mark.parametrize("option", ["--no-audio", "--no-deinterlace", None])
    def test_sound_and_deinterlacing_are_switched_off(self, colorize, tmp_path, option, capsys):
        frames = video_files.images(3)
        video_files.write_video(tmp_path / "a.mp4", frames, flags="+ildct+ilme")
        assert colorize(tmp_path / "a.mp4", "--scale", 1, *([option] if option else [])) == 0
        has_sound = bool(video_files.packets_of(tmp_path / "a.scs.mp4", "audio"))
        assert has_sound == (option != "--no-audio")
        stays_interlaced = "was not deinterlaced" in capsys.readouterr().err
        assert stays_interlaced == (option == "--no-deinterlace")

    def test_a_video_is_steady_by_default(self, colorize, tmp_path):
        video = tmp_path / "video.mp4"
        write_video(video, frames=4, size=(32, 24), seeds=1)

        def made(*options) -> bytes:
            assert colorize(video, "--scale", 1, *options) == 0
            return video.with_suffix(".scs.mp4").read_bytes()

        steady = made()
        assert steady == made("--reference", "first", "--propagate")
        assert steady != made("--no-propagate", "--reference-strength", 0)

    def test_a_video_that_is_none_is_named_and_the_rest_done(self, colorize, photo, capsys):
        photo.with_name("a.mp4").write_bytes(b"no video")
        assert colorize(photo.parent, "--scale", 1) == 1
        assert "a.mp4" in capsys.readouterr().err
        assert photo.with_suffix(".scs.png").exists()

    def test_deep_gray_stays_deep(self, colorize, tmp_path):
        path = tmp_path / "scan.png"
        Image.fromarray(np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)).save(path)
        assert colorize(path, "--scale", 1) == 0
        assert path.with_suffix(".scs.png").read_bytes()[24] == 16  # bit depth, PNG 1.2, Sec. 4.1.1


def _duration(image: Image.Image, index: int) -> float:
    image.seek(index)
    image.load()
    return image.info["duration"]


def write_video(path, frames: int, size: tuple[int, int], seeds: int = 1000) -> None:
    """Images of so many seeds in turn."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=size[0], height=size[1])
        for seed in range(frames):
            image = make_image(*size, seed=seed % seeds)
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode(None))


class TestFormat:
    @pytest.mark.parametrize("kind", ["png", "jpg", "gif"])
    def test_the_option_is_the_suffix(self, colorize, tree, kind):
        assert colorize(tree, "--format", kind, "--scale", 1) == 0
        assert f"one.scs.{kind}" in files(tree)
        before = files(tree)
        assert colorize(tree, "--format", kind, "--scale", 1) == 0  # results are no inputs
        assert files(tree) == before

    def test_quality_makes_smaller_files(self, colorize, photo):
        sizes = []
        for quality in (20, 90):
            assert colorize(photo, "--format", "jpg", "--quality", quality) == 0
            sizes.append(photo.with_suffix(".scs.jpg").stat().st_size)
        assert sizes[0] < sizes[1]

    def test_metadata_are_kept_on_request(self, colorize, photo):
        exif = Image.Exif()
        exif[270] = "Grandmother, 1931"
        make_image(8, 8).save(photo, exif=exif)
        for option, kept in (([], None), (["--keep-metadata"], "Grandmother, 1931")):
            assert colorize(photo, "--scale", 1, *option) == 0
            with Image.open(photo.with_suffix(".scs.png")) as result:
                assert result.getexif().get(270) == kept


class TestSeries:
    @pytest.fixture
    def album(self, tmp_path):
        for index in range(3):
            make_image(24, 16, seed=index).save(tmp_path / f"{index}.png")
        return tmp_path

    def test_the_first_result_is_the_reference_of_the_rest(self, colorize, album, tiny_pipe):
        assert colorize(album, "--reference", "first", "--scale", 1) == 0
        first = tiny_pipe(album / "0.png", scale=1)
        for index in (1, 2):
            expected = tiny_pipe(album / f"{index}.png", reference=first, scale=1)
            with Image.open(album / f"{index}.scs.png") as result:
                assert result.tobytes() == expected.tobytes()

    def test_a_resumed_series_has_the_same_reference(self, colorize, album):
        options = ("--reference", "first", "--scale", 1)
        assert colorize(album, *options) == 0
        whole = (album / "2.scs.png").read_bytes()
        (album / "2.scs.png").unlink()
        assert colorize(album, *options, "--skip-existing") == 0
        assert (album / "2.scs.png").read_bytes() == whole


class TestHints:
    HINTS = [(5, 6, "#b03020"), (20, 3, "teal")]  # of a photo of 24x16

    @pytest.fixture
    def album(self, tmp_path):
        folder = tmp_path / "album"
        folder.mkdir()
        for index in range(2):
            make_image(24, 16, seed=index).save(folder / f"{index}.png")
        return folder

    @pytest.mark.parametrize("kind", ["options", "json", "half_size", "strokes"])
    def test_they_do_what_the_pipeline_does(self, colorize, photo, tiny_pipe, tmp_path, kind):
        hints = self.HINTS
        file = tmp_path / ("hints.png" if kind == "strokes" else "hints.json")
        options = ["--hints", file]
        if kind == "options":
            options = [f"--hint={x},{y}={color}" for x, y, color in hints]
        elif kind == "strokes":
            hints = Image.new("RGBA", (24, 16))
            hints.paste("red", (0, 0, 8, 8))
            hints.save(file)
        else:
            factor = 0.5 if kind == "half_size" else 1
            entries = [{"x": factor * x, "y": factor * y, "color": color} for x, y, color in hints]
            file.write_text(json.dumps({"size": [24 * factor, 16 * factor], "hints": entries}))
        result = tmp_path / "result.png"
        assert colorize(photo, "-o", result, *options) == 0
        assert np.array_equal(Image.open(result), tiny_pipe(photo, hints=hints))
        assert not np.array_equal(Image.open(result), tiny_pipe(photo))

    def test_those_of_the_first_image_color_a_series(self, colorize, album, tiny_pipe):
        options = ["--reference", "first", "--hint", "5,6=red", "--scale", 1]
        assert colorize(album, *options) == 0
        first = tiny_pipe(album / "0.png", hints=[(5, 6, "red")], scale=1)
        expected = tiny_pipe(album / "1.png", reference=first, scale=1)
        assert np.array_equal(Image.open(album / "1.scs.png"), expected)
        (album / "1.scs.png").unlink()
        assert colorize(album, *options, "--skip-existing") == 0
        assert np.array_equal(Image.open(album / "1.scs.png"), expected)

    def test_those_of_the_first_frame_color_a_video(self, colorize, tmp_path):
        video = tmp_path / "video.mkv"
        write_video(video, frames=3, size=(64, 48), seeds=1)
        colors = []
        for options in ([], ["--hint", "30,20=red"]):
            assert colorize(video, "--scale", 1, "--no-propagate", *options) == 0
            with av.open(video.with_suffix(".scs.mkv")) as result:
                colors.append([f.to_ndarray(format="rgb24") for f in result.decode(video=0)])
        for plain, hinted in zip(*colors, strict=True):
            assert np.abs(plain.astype(int) - hinted).max() > 3

    @pytest.mark.parametrize("option", ["--hint=5,6=red", "--hints=hints.json"])
    def test_several_images_are_refused(self, colorize, album, capsys, option):
        assert colorize(album, option) == 2
        error = capsys.readouterr().err
        assert f"{option.split('=')[0]}: is for one image, and there are 2" in error


class TestJobs:
    @pytest.fixture
    def folder(self, tmp_path):
        """Images, an animation and a file that is none."""
        folder = tmp_path / "in"
        folder.mkdir()
        for index in range(5):
            make_image(24, 16, seed=index).save(folder / f"{index}.png")
        frames = [make_image(16, 12, seed=seed) for seed in range(3)]
        frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
        (folder / "none.png").write_bytes(b"no image")
        return folder

    def results(self, colorize, folder, jobs, *options) -> dict[str, list[np.ndarray]]:
        """Frames of the results by name."""
        out = folder.parent / f"out of {jobs}"
        assert colorize(folder, "-o", out, "--jobs", jobs, *options) == 1
        return {name: frames_of(out / name) for name in files(out)}

    @pytest.mark.parametrize("options", [(), ("--reference", "first")])
    def test_results_do_not_depend_on_how_many_there_are(self, colorize, folder, capsys, options):
        expected = self.results(colorize, folder, 1, *options)
        assert len(expected) == 6
        for jobs in (2, 7):
            results = self.results(colorize, folder, jobs, *options)
            assert results.keys() == expected.keys()
            for name, frames in results.items():
                # Sums are rounded otherwise with another number of PyTorch's threads.
                assert np.abs(np.subtract(frames, expected[name])).max() <= 1
            assert "scsnet: 6 done, 1 failed" in capsys.readouterr().err

    def test_bad_files_are_named_once(self, colorize, folder, capsys):
        for name in "abc":
            (folder / f"{name}.png").write_bytes(b"no image")
        self.results(colorize, folder, 3)
        errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert sorted(Path(error.split(": ")[2]).name for error in errors) == [
            "a.png",
            "b.png",
            "c.png",
            "none.png",
        ]

    def test_large_images_and_videos_are_done_too(self, colorize, folder):
        write_video(folder / "video.mkv", frames=2, size=(32, 24))
        make_image(24, 1000, "L").save(folder / "tall.png")
        results = self.results(colorize, folder, 3, "--scale", 14)
        assert results["tall.png"][0].shape == (14000, 336, 3)
        assert results["video.mkv"] == []


def frames_of(path) -> list[np.ndarray]:
    """Frames of an image file, none of a video."""
    if path.suffix != ".png":
        return []
    with Image.open(path) as image:
        frames = ImageSequence.Iterator(image)
        return [np.asarray(frame.convert("RGB")).astype(int) for frame in frames]


class TestLimits:
    def test_pixels(self, colorize, photo, capsys, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
        assert colorize(photo, "--max-megapixels", 24 * 16 / 1e6, "--scale", 1) == 0
        assert colorize(photo, "--max-megapixels", 24 * 15 / 1e6) == 2
        assert "--max-megapixels" in capsys.readouterr().err

    def test_frames(self, colorize, tmp_path, capsys):
        path = tmp_path / "moving.gif"
        make_image(8, 8).save(path, save_all=True, append_images=[make_image(8, 8, seed=1)])
        assert colorize(path, "--max-frames", 2) == 0
        assert colorize(path, "--max-frames", 1) == 2
        assert "--max-frames" in capsys.readouterr().err


class TestFailures:
    @pytest.fixture
    def bad(self, tmp_path):
        folder = tmp_path / "bad"
        folder.mkdir()
        for name, content in BAD_FILES.items():
            (folder / name).write_bytes(content)
        return folder

    @pytest.mark.parametrize("name", [*BAD_FILES, "missing.png"])
    def test_a_sole_bad_input_is_2(self, colorize, bad, capsys, name):
        assert colorize(bad / name) == 2
        assert files(bad) == set(BAD_FILES)
        (error,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert name in error

    @pytest.mark.parametrize("name", ["cut.jpg", "missing.png"])
    def test_a_bad_input_among_good_ones_is_1(self, colorize, bad, photo, capsys, name):
        other = photo.with_name("z.png")
        make_image(8, 8).save(other)
        assert colorize(photo, bad / name, other) == 1
        assert photo.with_name("photo.scs.png").exists()
        assert other.with_name("z.scs.png").exists()
        (error,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert name in error

    def test_every_bad_input_is_named_on_a_line_of_its_own(self, colorize, bad, photo, capsys):
        names = ["text.jpg", "cut.jpg", "empty.png"]
        assert colorize(photo, *(bad / name for name in names)) == 1
        *errors, summary = capsys.readouterr().err.splitlines()
        assert [name for name in names if any(name in line for line in errors)] == names
        assert len(errors) == 3
        assert summary.startswith("scsnet: 1 done, 3 failed")

    def test_only_bad_inputs_are_2(self, colorize, bad):
        assert colorize(bad / "text.jpg", bad / "empty.png") == 2

    def test_an_empty_folder_is_2(self, colorize, tmp_path, capsys):
        (tmp_path / "nothing here").mkdir()
        assert colorize(tmp_path / "nothing here") == 2
        assert "nothing here" in capsys.readouterr().err

    def test_a_failing_write_keeps_the_old_result(self, colorize, tmp_path):
        make_image(1200, 1).save(tmp_path / "wide.png")  # WebP ends at 16383 pixels
        (tmp_path / "wide.webp").write_bytes(b"old")
        assert colorize(tmp_path / "wide.png", "--scale", 16, "-o", tmp_path / "wide.webp") == 2
        assert (tmp_path / "wide.webp").read_bytes() == b"old"
        assert files(tmp_path) == {"wide.png", "wide.webp"}

    def test_a_target_that_is_a_folder_fails_and_leaves_nothing(self, colorize, photo):
        photo.with_name("photo.scs.png").mkdir()
        assert colorize(photo) == 2
        assert files(photo.parent) == {"photo.png"}


class TestWrongArguments:
    @pytest.mark.parametrize(
        "options",
        [
            ("--scale", "0"),
            ("--scale", "-1"),
            ("--scale", "nan"),
            ("--scale", "inf"),
            ("--scale", "100"),
            ("--size", "0x10"),
            ("--long-side", "0"),
            ("--saturation", "-1"),
            ("--saturation", "nan"),
            ("--reference-strength", "2"),
            ("--tile-size", "0"),
            ("--tile-size", "1"),
            ("--device", "banana"),
            ("--model", "smal"),
            ("--reference", "missing.png"),
            ("-o", "result.xyz"),
            ("--hint", "24,3=red"),
            ("--hints", "missing.json"),
            ("--hints", "missing.png"),
            ("--hints", "photo.png"),
        ],
    )
    def test_a_value_out_of_range_is_2_and_named(self, colorize, photo, capsys, options):
        assert colorize(photo, *options) == 2
        assert files(photo.parent) == {"photo.png"}
        (error,) = capsys.readouterr().err.splitlines()
        assert options[0] in error or options[1] in error

    @pytest.mark.parametrize(
        "options",
        [
            ("--scale", "two"),
            ("--size", "axb"),
            ("--size", "10"),
            ("--size", "-1x5"),
            ("--scale", "2", "--size", "10x10"),
            ("--scale", "2", "--long-side", "10"),
            ("--size", "10x10", "--long-side", "10"),
            ("--luminance", "mine"),
            ("--hint", "3,4"),
            ("--hint", "3=red"),
            ("--hint", "3,4=redd"),
            ("--jobs", "0"),
            ("--jobs", "-1"),
            ("--jobs", "1.5"),
            ("--magnify", "2"),
        ],
    )
    def test_a_value_that_cannot_be_parsed_is_2(self, colorize, photo, capsys, options):
        with pytest.raises(SystemExit) as end:
            colorize(photo, *options)
        assert end.value.code == 2
        assert options[0] in capsys.readouterr().err

    @pytest.mark.parametrize("words", [[], ["colorize"], ["paint", "a.png"]])
    def test_a_missing_or_unknown_command_is_2(self, words):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        assert end.value.code == 2

    def test_a_file_as_folder_for_several_is_2(self, colorize, photo, tree, capsys):
        output = photo.with_name("old.png")
        output.write_bytes(b"old")
        assert colorize(photo, tree, "-o", output) == 2
        assert output.read_bytes() == b"old"
        assert "old.png" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "damage",
        [
            pytest.param(None, id="missing"),
            pytest.param({}, id="empty"),
            pytest.param({"config.json": b"{"}, id="corrupt_config"),
            pytest.param({"config.json": b"[]"}, id="config_of_another_kind"),
            pytest.param({"config.json": b'{"model_type": "bert"}'}, id="other_model"),
            pytest.param({"model.safetensors": b"no weights"}, id="corrupt_weights"),
            pytest.param({"model.safetensors": b""}, id="empty_weights"),
            pytest.param({"preprocessor_config.json": b"{"}, id="corrupt_processor"),
        ],
    )
    def test_a_model_that_cannot_be_loaded_is_2(self, colorize, photo, checkpoint, capsys, damage):
        model = photo.parent / "broken model"
        if damage is not None:
            model.mkdir()
        if damage:
            for file in checkpoint.iterdir():
                (model / file.name).write_bytes(damage.get(file.name, file.read_bytes()))
        assert colorize(photo, model=model) == 2
        assert not photo.with_name("photo.scs.png").exists()
        (error,) = capsys.readouterr().err.splitlines()
        assert "broken model" in error


class TestAsAProgram:
    @pytest.mark.slow
    def test_a_run_on_a_good_a_broken_and_a_missing_image(self, tmp_path, checkpoint):
        make_image(12, 8).save(tmp_path / "good one.png")
        (tmp_path / "bad.png").write_bytes(b"no image")
        words = ["good one.png", "bad.png", "missing.png", "--device", "cpu"]
        finished = subprocess.run(
            [sys.executable, "-m", "scsnet_hf", "colorize", *words, "--model", checkpoint],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 1
        assert files(tmp_path) == {"good one.png", "bad.png", "good one.scs.png"}
        lines = [line for line in finished.stderr.splitlines() if line.startswith("scsnet")]
        named = {line.split(":")[2].strip() for line in lines[:-1]}
        assert (named, len(lines)) == ({"bad.png", "missing.png"}, 3)
        assert lines[-1].startswith("scsnet: 1 done, 2 failed")
        assert finished.stderr.count("only its lightness") == 1
        assert finished.stdout == ""

    def test_it_says_its_version(self, capsys):
        with pytest.raises(SystemExit) as end:
            cli.main(["--version"])
        assert end.value.code == 0
        assert capsys.readouterr().out == f"scsnet {__version__}\n"

    def test_wrong_arguments_are_found_without_torch(self, photo):
        wrong = [
            ["missing.png"],
            ["notes.txt"],
            ["photo.png", "-o", "photo.png"],
            ["photo.png", "photo.png", "-o", "new.png"],
            ["photo.png", "--scale", "100"],
            ["photo.png", "--tile-size", "1"],
            ["photo.png", "--model", "no such folder"],
            ["photo.png", "--reference", "missing.png"],
            ["photo.png", "--quality", "50"],
            ["photo.png", "--hint", "30,3=red"],
            ["photo.png", "notes.txt", "--hint", "3,3=red"],
            ["photo.png", "--hints", "photo.png"],
        ]
        program = (
            f"import sys; from scsnet_hf import cli; wrong = {wrong}\n"
            "codes = {cli.main(['colorize', *words]) for words in wrong}\n"
            "print(codes, 'torch' in sys.modules)"
        )
        photo.with_name("notes.txt").write_text("no image")
        finished = subprocess.run(
            [sys.executable, "-c", program],
            cwd=photo.parent,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
        )
        assert finished.stdout == "{2} False\n", finished.stderr

    def test_help_needs_no_torch(self):
        program = (
            "import runpy, sys\n"
            "sys.argv = ['scsnet', 'colorize', '--help']\n"
            "try:\n"
            "    runpy.run_module('scsnet_hf', run_name='__main__')\n"
            "except SystemExit as end:\n"
            "    print('code', end.code, 'torch', 'torch' in sys.modules)\n"
        )
        finished = subprocess.run(
            [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True
        )
        assert "--reference-strength" in finished.stdout
        assert finished.stdout.splitlines()[-1] == "code 0 torch False"


FREE_AND_ALLOCATE_AGAIN = """
import resource

import torch

from scsnet_hf.cli import keep_freed_memory

keep_freed_memory()
faults = []
for _ in range(2):
    blocks = [torch.ones(100_000) for _ in range(100)]
    blocks.clear()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[1] - faults[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="concerns glibc's allocator")
def test_freed_memory_is_reused_without_page_faults():
    command = [sys.executable, "-c", FREE_AND_ALLOCATE_AGAIN]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(finished.stdout) < 2000  # of 9,766 pages
