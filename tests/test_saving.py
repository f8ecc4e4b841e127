"""Writing pictures: every format, whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
from conftest import make_picture
from picture_checks import assert_same, encoded, pixels
from PIL import Image, ImageCms

from scsnet_hf.files.saving import (
    WRITABLE_SUFFIXES,
    check_quality,
    check_writable_suffix,
    format_of,
    holds_deep,
    save_picture,
)
from scsnet_hf.image_io import load_picture

PICTURE = make_picture(24, 17)


@pytest.mark.parametrize("suffix", ".png .PNG .apng .tif .tiff .bmp .ppm .webp".split())
def test_written_picture_comes_back_exactly(tmp_path, suffix):
    path = tmp_path / f"picture{suffix}"
    save_picture(PICTURE, path)
    assert_same(load_picture(path), PICTURE)


def test_jpeg_is_written_close_to_the_picture(tmp_path):
    save_picture(PICTURE, tmp_path / "picture.jpg")
    with Image.open(tmp_path / "picture.jpg") as written:
        assert written.format == "JPEG"
        assert abs(pixels(written) - pixels(PICTURE)).mean() < 8


def test_missing_folders_are_made(tmp_path):
    path = tmp_path / "new" / "folder" / "picture.png"
    save_picture(PICTURE, path)
    assert path.is_file()


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".bmp", ".ppm"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_format_without_transparency_gets_the_picture_on_white(tmp_path, suffix, mode):
    picture = Image.new("L", (16, 8), 0).convert(mode)
    picture.paste(Image.new(mode, (8, 8)), (8, 0))  # the right half is transparent black
    path = tmp_path / f"picture{suffix}"
    save_picture(picture, path)
    written = load_picture(path).convert("L")
    assert written.getpixel((1, 4)) < 10
    assert written.getpixel((14, 4)) > 245


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_format_with_transparency_keeps_it(tmp_path, suffix):
    picture = make_picture(24, 17, "RGBA")
    picture.putalpha(make_picture(24, 17, "L", 1))
    save_picture(picture, tmp_path / f"picture{suffix}")
    assert_same(load_picture(tmp_path / f"picture{suffix}"), picture)


def test_avif_keeps_transparency_closely(tmp_path):
    picture = make_picture(24, 17, "RGBA")
    picture.putalpha(make_picture(24, 17, "L", 1))
    save_picture(picture, tmp_path / "picture.avif")
    assert abs(pixels(load_picture(tmp_path / "picture.avif")) - pixels(picture)).max() <= 6


def test_gif_is_transparent_where_less_than_half_is_seen(tmp_path):
    picture = make_picture(24, 17, "RGBA")
    picture.putalpha(make_picture(24, 17, "L", 1))
    save_picture(picture, tmp_path / "picture.gif")
    alpha = pixels(load_picture(tmp_path / "picture.gif"))[..., 3]
    assert np.array_equal(alpha, 255 * (pixels(picture)[..., 3] >= 128))


def test_colours_under_transparent_pixels_of_webp_stay(tmp_path):
    picture = make_picture(24, 17, "RGBA")
    picture.putalpha(0)
    save_picture(picture, tmp_path / "picture.webp")
    assert_same(load_picture(tmp_path / "picture.webp"), picture)


@pytest.mark.parametrize("suffix", sorted(WRITABLE_SUFFIXES))
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_every_format_takes_every_plain_mode(tmp_path, suffix, mode):
    picture = make_picture(24, 17, mode)
    save_picture(picture, tmp_path / f"picture{suffix}")
    with Image.open(tmp_path / f"picture{suffix}") as written:
        assert written.format == format_of(Path(f"picture{suffix}"))
        seen = pixels(written.convert("RGB"))
    assert abs(seen - pixels(picture.convert("RGB"))).mean() < 8


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_quality_decides_on_the_size(tmp_path, suffix):
    picture, path = make_picture(99, 99), tmp_path / f"picture{suffix}"
    sizes = []
    for quality in (10, 50, 95, None):
        save_picture(picture, path, quality=quality)
        sizes.append(path.stat().st_size)
    assert sizes == sorted(sizes)


def test_jpeg_without_quality_keeps_colours_in_full_resolution(tmp_path):
    stripes = np.zeros((16, 16, 3), dtype=np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 255  # red and blue, column by column
    save_picture(Image.fromarray(stripes), tmp_path / "picture.jpg")
    assert abs(pixels(load_picture(tmp_path / "picture.jpg")) - stripes).mean() < 8


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".gif", ".ppm"])
def test_quality_of_a_format_without_loss_is_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"picture{suffix}"
    with pytest.raises(ValueError, match=rf"picture\{suffix}: \{suffix} has no quality"):
        save_picture(PICTURE, path, quality=90)
    assert list(tmp_path.iterdir()) == []
    check_quality(None, path)


@pytest.mark.parametrize("quality", [-1, 0, 101])
def test_quality_out_of_range_is_refused(quality):
    with pytest.raises(ValueError, match=f"quality={quality}: must be from 1 to 100"):
        check_quality(quality, Path("picture.jpg"))


@pytest.mark.parametrize("suffix", sorted(WRITABLE_SUFFIXES))
def test_deep_formats_are_png_and_tiff(suffix):
    assert holds_deep(Path(f"a{suffix}")) == (suffix in (".png", ".apng", ".tif", ".tiff"))


def test_nothing_but_pixels_is_written_by_default(tmp_path):
    picture = load_picture(encoded(PICTURE, icc_profile=b"a profile"))
    save_picture(picture, tmp_path / "picture.png")
    assert b"iCCP" not in (tmp_path / "picture.png").read_bytes()


@pytest.mark.parametrize("name", ["picture.txt", "picture.pdf", "picture", "png"])
def test_unknown_suffix_is_refused_by_name(tmp_path, name):
    with pytest.raises(ValueError, match=name):
        save_picture(PICTURE, tmp_path / name)
    with pytest.raises(ValueError, match=name):
        check_writable_suffix(Path(name))
    assert list(tmp_path.iterdir()) == []


def test_failing_save_leaves_nothing_behind(tmp_path):
    with pytest.raises(OSError, match="cannot write mode F"):
        save_picture(Image.new("F", (4, 4)), tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []


def test_failing_save_keeps_the_old_file(tmp_path):
    path = tmp_path / "picture.png"
    save_picture(PICTURE, path)
    with pytest.raises(OSError, match="cannot write mode F"):
        save_picture(Image.new("F", (4, 4)), path)
    assert_same(load_picture(path), PICTURE)
    assert list(tmp_path.iterdir()) == [path]


def test_save_replaces_the_old_file(tmp_path):
    path = tmp_path / "picture.png"
    save_picture(Image.new("L", (3, 3)), path)
    save_picture(PICTURE, path)
    assert_same(load_picture(path), PICTURE)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_profile_of_a_picture_is_kept(tmp_path, suffix, mode):
    picture = make_picture(8, 8, mode)
    picture.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    save_picture(picture, tmp_path / f"picture{suffix}")
    with Image.open(tmp_path / f"picture{suffix}") as read:
        assert read.info["icc_profile"] == picture.info["icc_profile"]
