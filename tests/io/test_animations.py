"""Animations and pages keep their frames, timing, loops, sizes and metadata."""

import struct
from contextlib import ExitStack
from pathlib import Path

import av
import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from helpers.image_checks import assert_same
from helpers.image_files import (
    SIZE,
    as_stored,
    deep_gray,
    encoded_frames,
    exif_block,
    frames_of,
    moving,
    sample_files,
)
from helpers.images import make_image
from scsnet_hf.image_io import load_image
from scsnet_hf.io import tiff
from scsnet_hf.io.animations import check_holds_frames, write_frames
from scsnet_hf.io.image_file import ImageFile

ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
DURATIONS = [40, 100, 60, 250]  # milliseconds; a GIF has hundredths of a second


@pytest.fixture
def animation(tmp_path):
    """Makes the file of an animation."""

    def make(kind: str, mode: str = "RGB", **options):
        if kind == "GIF" and mode == "RGBA":
            options["disposal"] = 2
        path = tmp_path / f"source.{kind.lower()}"
        frames = options.pop("frames", moving(mode, 4))
        path.write_bytes(encoded_frames(frames, kind, **{"duration": DURATIONS} | options))
        return path

    return make


def copied(path: Path, kind: str, folder: Path) -> Path:
    """A file, read and written in another format."""
    target = folder / f"copy.{kind.lower()}"
    with ImageFile(path) as source, target.open("wb+") as file:
        write_frames(map(colors_of, source.frames()), file, kind, source)
    return target


def loop_of(path: Path) -> int | None:
    with ImageFile(path) as file:
        return file.loop


def colors_of(image: Image.Image) -> Image.Image:
    """As the pipeline gives images: RGB or RGBA, and nothing beside the pixels."""
    mode = "RGBA" if image.mode in ("LA", "RGBA") else "RGB"
    return Image.fromarray(np.asarray(image.convert(mode)))


# Animations


@pytest.mark.parametrize(
    ("origin", "target"), [("GIF", "WEBP"), ("WEBP", "PNG"), ("PNG", "AVIF"), ("AVIF", "GIF")]
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_number_and_timing_of_frames_are_kept(animation, tmp_path, mode, origin, target):
    copy = copied(animation(origin, mode, loop=0), target, tmp_path)
    assert [duration for _, duration in frames_of(copy)] == DURATIONS


@pytest.mark.parametrize(
    ("origin", "target"), [("GIF", "WEBP"), ("WEBP", "PNG"), ("PNG", "GIF"), ("GIF", "GIF")]
)
@pytest.mark.parametrize("loop", [0, 3])
def test_number_of_loops_is_kept(animation, tmp_path, loop, origin, target):
    copy = copied(animation(origin, loop=loop), target, tmp_path)
    assert loop_of(copy) == loop


@pytest.mark.parametrize(("target", "loop"), [("GIF", None), ("WEBP", 1), ("PNG", 1)])
def test_gif_that_is_shown_once_stays_so(animation, tmp_path, target, loop):
    copy = copied(animation("GIF"), target, tmp_path)
    assert loop_of(copy) == loop


@pytest.mark.parametrize("target", ["WEBP", "PNG"])
@pytest.mark.parametrize("origin", ["WEBP", "PNG"])
def test_frames_come_back_exactly_in_formats_without_loss(animation, tmp_path, origin, target):
    options = {"lossless": True} if origin == "WEBP" else {}
    copy = copied(animation(origin, **options), target, tmp_path)
    for (actual, _), expected in zip(frames_of(copy), moving(frames=4), strict=True):
        assert_same(actual.convert("RGB"), expected)


def holes() -> list[Image.Image]:
    """Frames with a transparent part that moves; the first one may have none."""
    frames = [make_image(*SIZE, "RGBA", seed) for seed in range(4)]
    for number, frame in enumerate(frames):
        frame.paste((0, 0, 0, 0), (7 * number, 0, 7 * number + 7, SIZE[1]))
    return frames


@pytest.mark.parametrize("target", ANIMATED)
@pytest.mark.parametrize("opaque_first", [False, True])
def test_transparent_parts_show_nothing_of_the_frame_before(
    animation, tmp_path, target, opaque_first
):
    frames = holes()
    if opaque_first:
        frames[0].putalpha(255)
    copy = copied(animation("PNG", "RGBA", frames=frames), target, tmp_path)
    for (actual, _), expected in zip(frames_of(copy), frames, strict=True):
        actual, expected = (np.asarray(frame.getchannel("A")) for frame in (actual, expected))
        assert np.array_equal(actual, expected)


def test_transparent_gif_is_shown_so_by_ffmpeg(animation, tmp_path):
    frames = holes()
    frames[0].putalpha(255)
    copy = copied(animation("PNG", "RGBA", frames=frames), "GIF", tmp_path)
    with av.open(copy) as file:
        shown = [frame.to_ndarray(format="rgba")[..., 3] for frame in file.decode(video=0)]
    for actual, expected in zip(shown, frames, strict=True):
        assert np.array_equal(actual, np.asarray(expected.getchannel("A")))


@pytest.mark.parametrize("target", ANIMATED)
def test_equal_frames_last_as_long_together(animation, tmp_path, target):
    one, other = moving(frames=2)
    path = animation("WEBP", frames=[one, other, other, one], lossless=True)
    copy = copied(path, target, tmp_path)
    assert sum(duration for _, duration in frames_of(copy)) == sum(DURATIONS)


def test_image_for_viewers_without_animation_is_no_frame(animation, tmp_path):
    path = animation("PNG", default_image=True, duration=DURATIONS[:3])
    with ImageFile(path) as file:
        assert file.frame_count == 3
        for actual, expected in zip(file.frames(), moving(frames=4)[1:], strict=True):
            assert_same(actual, expected)
    copy = copied(path, "PNG", tmp_path)
    assert [duration for _, duration in frames_of(copy)] == DURATIONS[:3]
    assert_same(load_image(path), moving()[0])


def test_gray_frames_are_read_as_gray_levels(animation):
    with ImageFile(animation("PNG", frames=moving("L"), duration=50)) as file:
        assert {frame.mode for frame in file.frames()} == {"L"}


# Pages


def pages() -> list[Image.Image]:
    """Of different sizes, modes and depths."""
    clear = make_image(9, 40, "RGBA", 2)
    clear.putalpha(make_image(9, 40, "L", 3))
    return [Image.fromarray(deep_gray()), make_image(31, 17), clear, make_image(5, 5, "L")]


@pytest.fixture
def paged(tmp_path):
    path = tmp_path / "pages.tif"
    path.write_bytes(encoded_frames(pages(), "TIFF"))
    return path


def test_pages_are_read_with_their_sizes_and_depths(paged):
    with ImageFile(paged) as file:
        assert file.has_several
        assert file.is_paged
        for actual, expected in zip(file.frames(keep_16_bits=True), pages(), strict=True):
            assert_same(actual, expected)


@pytest.mark.parametrize("bytes_of_strip", [200, 2**20])
def test_pages_are_written_with_their_sizes_and_depths(
    monkeypatch, paged, tmp_path, bytes_of_strip
):
    monkeypatch.setattr(tiff, "_STRIP", bytes_of_strip)
    deep, *others = pages()
    deep = np.dstack([np.asarray(deep)] * 3)
    results = [deep, *map(colors_of, others)]
    with ImageFile(paged) as source, (tmp_path / "copy.tif").open("wb+") as file:
        write_frames(iter(results), file, "TIFF", source)
    with tifffile.TiffFile(tmp_path / "copy.tif") as file:
        for actual, expected in zip(file.pages, results, strict=True):
            assert np.array_equal(actual.asarray(), np.asarray(expected))
            assert actual.asarray().dtype == np.asarray(expected).dtype


def test_every_page_has_its_own_orientation(tmp_path):
    path, upright = tmp_path / "pages.tif", make_image(*SIZE)
    with path.open("wb+") as file, TiffImagePlugin.AppendingTiffWriter(file) as writer:
        for orientation in range(1, 9):
            stored = Image.fromarray(as_stored(np.asarray(upright), orientation))
            stored.save(writer, "TIFF", exif=exif_block(orientation))
            writer.newFrame()
    with ImageFile(path) as file:
        for page in file.frames():
            assert_same(page, upright)


def test_metadata_of_pages_are_kept(tmp_path):
    path = tmp_path / "source.tif"
    options = {"exif": exif_block(Artist="A. Person"), "dpi": (300, 300)}
    make_image(*SIZE).save(path, save_all=True, append_images=moving()[1:], **options)
    with ImageFile(path, keep_metadata=True) as source, (tmp_path / "copy.tif").open("wb+") as file:
        write_frames(source.frames(), file, "TIFF", source)
    with Image.open(tmp_path / "copy.tif") as copy:
        assert copy.n_frames == 3
        for page in range(3):
            copy.seek(page)
            assert copy.getexif()[315] == "A. Person"
            assert copy.info["dpi"] == (300, 300)


# Which formats hold them


@pytest.fixture
def opened(tmp_path):
    """Opens one of the sample files."""
    with ExitStack() as files:

        def open_sample(name: str) -> ImageFile:
            (tmp_path / name).write_bytes(sample_files()[name])
            return files.enter_context(ImageFile(tmp_path / name))

        yield open_sample


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".ppm"])
def test_format_of_one_image_refuses_several(opened, tmp_path, suffix):
    path = tmp_path / f"result{suffix}"
    with pytest.raises(ValueError, match=rf"result\{suffix}: \{suffix} does not hold 3 frames"):
        check_holds_frames(path, opened("animated.gif"))
    check_holds_frames(path, opened("rgb.png"))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".gif", ".avif", ".jpg"])
def test_animated_formats_refuse_pages(opened, tmp_path, suffix):
    with pytest.raises(ValueError, match="3 pages"):
        check_holds_frames(tmp_path / f"result{suffix}", opened("pages.tif"))


@pytest.mark.parametrize("suffix", [".png", ".apng", ".webp", ".gif", ".avif", ".tif"])
def test_formats_of_several_take_frames(opened, tmp_path, suffix):
    check_holds_frames(tmp_path / f"result{suffix}", opened("animated.gif"))


@pytest.mark.parametrize(("x", "y"), [(6, 4), (15, 5), (0, 11)])
def test_frames_beyond_the_screen_of_a_gif_are_cut_at_it(tmp_path, x, y):
    first, second = (make_image(16, 12, "L", seed) for seed in (1, 2))
    content = encoded_frames([first, second], "GIF", duration=70, optimize=False)
    whole = struct.pack("<4H", 0, 0, 16, 12)
    parts = content.split(b"," + whole)
    assert len(parts) == 3
    moved = struct.pack("<4H", x, y, 16, 12)
    path = tmp_path / "beyond.gif"
    path.write_bytes(parts[0] + b"," + whole + parts[1] + b"," + moved + parts[2])
    with ImageFile(path) as file:
        frames = [np.asarray(frame.convert("L")) for frame in file.frames()]
    expected = np.asarray(first).copy()
    expected[y:, x:] = np.asarray(second)[: 12 - y, : 16 - x]
    assert [frame.shape for frame in frames] == [(12, 16)] * 2
    assert np.abs(frames[1].astype(int) - expected).max() <= 1
