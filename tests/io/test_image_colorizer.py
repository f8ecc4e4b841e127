"""Image files from disk to disk."""

import sys

import av
import numpy as np
import pytest
import tifffile
from PIL import Image

from helpers.image_checks import assert_same, encoded, pixels
from helpers.image_files import (
    SIZE,
    deep_gray,
    encoded_frames,
    exif_block,
    frames_of,
    moving,
    sample_files,
)
from helpers.images import make_image
from scsnet_hf.image_io import ImageError, load_image
from scsnet_hf.io import image_colorizer
from scsnet_hf.io.image_colorizer import ImageColorizer
from scsnet_hf.io.image_file import ImageFile
from scsnet_hf.tiling import Strips


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def colorize(tmp_path, tiny_pipe, warnings):
    """Colorizes the content of a file into one with the given name; scale 1, lightness kept."""

    def colorize_file(content: bytes, name: str, quality=None, keep_metadata=False, progress=False):
        path = tmp_path / "source"
        path.write_bytes(content)

        def colorize_image(image, depth):
            return tiny_pipe.strips(image, scale=1, luminance="source", saturation=0, depth=depth)

        colorizer = ImageColorizer(
            colorize_image, lambda: colorize_image, quality, on_warning=warnings.append
        )
        with ImageFile(path, keep_metadata=keep_metadata) as source:
            written = colorizer(source, tmp_path / "results" / name, show_progress=progress)
        (result,) = (tmp_path / "results").iterdir()
        assert written.startswith(str(result))
        return result

    return colorize_file


def near(actual: Image.Image, expected: Image.Image, within: int = 1) -> bool:
    return actual.size == expected.size and bool(
        np.abs(pixels(actual.convert("RGB")) - pixels(expected.convert("RGB"))).max() <= within
    )


GRAY = make_image(*SIZE, "L")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp", ".ppm"])
def test_result_without_loss_is_what_the_pipeline_gives(colorize, suffix):
    assert near(load_image(colorize(encoded(GRAY), f"result{suffix}")), GRAY)


@pytest.mark.parametrize("suffix", [".jpg", ".avif"])
def test_result_with_loss_is_close_to_it(colorize, suffix):
    assert near(load_image(colorize(encoded(GRAY), f"result{suffix}")), GRAY, within=6)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_depth_of_16_bits_is_kept(colorize, warnings, suffix):
    path = colorize(encoded(Image.fromarray(deep_gray())), f"result{suffix}")
    if suffix == ".png":
        with av.open(path) as file:
            levels = next(file.decode(video=0)).to_ndarray(format="rgb48le")
    else:
        levels = tifffile.imread(path)
    assert levels.dtype == np.uint16
    assert np.abs(levels.astype(int) - deep_gray()[..., None]).max() <= 16
    assert warnings == []


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp", ".avif", ".gif"])
def test_lost_depth_is_reported_in_one_line(colorize, warnings, suffix):
    path = colorize(encoded(Image.fromarray(deep_gray())), f"result{suffix}")
    assert load_image(path).size == SIZE
    (warning,) = warnings
    assert f"16 bits were reduced to 8, as {suffix}" in warning
    assert "\n" not in warning


def test_image_of_8_bits_stays_so(colorize):
    assert tifffile.imread(colorize(encoded(GRAY), "result.tif")).dtype == np.uint8


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("animated.gif", ".webp"),
        ("animated.webp", ".png"),
        ("animated.png", ".avif"),
        ("animated.avif", ".gif"),
    ],
)
def test_animation_stays_one(colorize, name, suffix):
    path = colorize(sample_files()[name], f"result{suffix}")
    assert [duration for _, duration in frames_of(path)] == [70, 70, 70]


def test_animation_into_a_single_image_is_refused_and_nothing_written(colorize, tmp_path):
    with pytest.raises(ValueError, match=r"result\.jpg: \.jpg does not hold 3 frames"):
        colorize(sample_files()["animated.gif"], "result.jpg")
    assert not list(tmp_path.rglob("*result*"))


def test_pages_keep_sizes_and_depths(colorize):
    pages = [Image.fromarray(deep_gray()), make_image(31, 17, "L"), make_image(9, 40, "LA")]
    path = colorize(encoded_frames(pages, "TIFF"), "result.tif")
    with tifffile.TiffFile(path) as file:
        shapes = [(page.shape, page.dtype) for page in file.pages]
        deep = file.pages[0].asarray()
    assert shapes == [((22, 29, 3), "u2"), ((17, 31, 3), "u1"), ((40, 9, 4), "u1")]
    assert np.abs(deep.astype(int) - deep_gray()[..., None]).max() <= 16


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_pages_go_into_a_tiff_where_the_target_holds_none(colorize, suffix):
    path = colorize(encoded_frames(moving("L"), "TIFF"), f"result{suffix}")
    assert path.name == "result.tif"
    assert len(frames_of(path)) == 3


def test_pages_never_go_into_their_own_source(tmp_path):
    path = tmp_path / "scan.tif"
    path.write_bytes(encoded_frames(moving("L"), "TIFF"))
    before = path.read_bytes()
    colorizer = ImageColorizer(None, None)
    with ImageFile(path) as source, pytest.raises(ValueError, match="overwrite its source"):
        colorizer(source, tmp_path / "scan.png")
    assert path.read_bytes() == before


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_result_is_upright_and_says_so(colorize, orientation):
    content = encoded(GRAY, "JPEG", exif=exif_block(orientation))
    path = colorize(content, "result.jpg", keep_metadata=True)
    with Image.open(path) as result:
        assert result.getexif().get(274, 1) == 1
        assert result.size == (SIZE if orientation < 5 else SIZE[::-1])
    assert near(load_image(path), load_image(content), within=12)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
@pytest.mark.parametrize("keep", [False, True])
def test_metadata_are_kept_only_on_request(colorize, suffix, keep):
    exif = exif_block(6, Artist="A. Person")
    content = encoded(GRAY, "JPEG", exif=exif, dpi=(300, 300), comment="a comment")
    path = colorize(content, f"result{suffix}", keep_metadata=keep)
    with Image.open(path) as result:
        result.load()
        assert (result.getexif().get(315) == "A. Person") == keep
        assert result.getexif().get(274, 1) == 1
        if suffix in (".jpg", ".png", ".tif"):
            assert (result.info.get("dpi", (0, 0))[0] == pytest.approx(300, rel=1e-3)) == keep
    assert (b"a comment" in path.read_bytes()) == (keep and suffix in (".jpg", ".png"))


def test_quality_is_used_where_there_is_one(colorize, tmp_path):
    sizes = []
    for quality in (20, 95):
        path = colorize(encoded(make_image(99, 99, "L")), "result.jpg", quality=quality)
        sizes.append(path.stat().st_size)
        path.unlink()
    assert sizes[0] < sizes[1] / 2
    assert near(load_image(colorize(encoded(GRAY), "result.png", quality=20)), GRAY)


@pytest.mark.parametrize("name", ["animated.gif", "animated.png", "pages.tif", "rgb.png"])
def test_damaged_file_leaves_the_old_result_and_nothing_else(colorize, tmp_path, name):
    content = sample_files()[name]
    target = "result.tif" if name == "pages.tif" else "result.png"
    good = colorize(content, target).read_bytes()
    cut = content[: int(0.9 * len(content))] if name != "pages.tif" else content[:-9]
    with pytest.raises(ImageError, match="source"):
        colorize(cut, target)
    (left,) = (tmp_path / "results").iterdir()
    assert left.read_bytes() == good


def test_sources_are_left_as_they_were(colorize, tmp_path):
    colorize(encoded(GRAY), "result.png")
    assert (tmp_path / "source").read_bytes() == encoded(GRAY)
    assert_same(load_image(tmp_path / "source"), GRAY)


def test_error_of_one_image_speaks_of_no_frame(colorize, tmp_path):
    with pytest.raises(ImageError) as caught:
        colorize(encoded(GRAY)[:200], "result.png")
    assert str(caught.value).startswith(f"{tmp_path / 'source'}: is damaged")


class TestProgress:
    @pytest.fixture
    def shown(self, colorize, capsys, monkeypatch):
        """What a terminal shows while the result of `GRAY` is made."""

        def shown_while_made() -> str:
            monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
            colorize(encoded(GRAY), "result.png", progress=True)
            return capsys.readouterr().err

        return shown_while_made

    def test_of_a_large_image_is_shown_in_rows(self, shown, monkeypatch):
        monkeypatch.setattr(image_colorizer, "_PROGRESS_PIXELS", SIZE[0] * SIZE[1])
        assert f"/{SIZE[1]} [" in shown()

    def test_of_a_small_image_is_not(self, shown):
        assert shown() == ""


@pytest.mark.parametrize("suffix", [".gif", ".jpg", ".webp", ".avif"])
def test_result_too_large_for_its_format_is_refused_before_it_is_computed(tmp_path, suffix):
    def colorize(image, depth):
        return Strips((70000, 2), 3, np.dtype(np.uint8), iter(()))  # of which none is taken

    path = tmp_path / "wide.png"
    make_image(24, 16).save(path)
    with ImageFile(path) as source, pytest.raises(ValueError, match=f"{suffix} holds at most"):
        ImageColorizer(colorize, lambda: colorize)(source, tmp_path / f"result{suffix}")
    assert list(tmp_path.iterdir()) == [path]
