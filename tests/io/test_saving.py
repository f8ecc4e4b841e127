"""Writing images: every format, whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from helpers.image_checks import assert_same, encoded, pixels
from helpers.images import make_image
from scsnet_hf.image_io import load_image
from scsnet_hf.io.formats import (
    WRITABLE_SUFFIXES,
    check_quality,
    check_writable_suffix,
    format_of,
)
from scsnet_hf.io.saving import keeps_16_bits, save_image

IMAGE = make_image(24, 17)


@pytest.mark.parametrize("suffix", ".png .PNG .apng .tif .tiff .bmp .ppm .webp".split())
def test_written_image_comes_back_exactly(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    save_image(IMAGE, path)
    assert_same(load_image(path), IMAGE)


def test_jpeg_is_written_close_to_the_image(tmp_path):
    save_image(IMAGE, tmp_path / "image.jpg")
    with Image.open(tmp_path / "image.jpg") as written:
        assert written.format == "JPEG"
        assert abs(pixels(written) - pixels(IMAGE)).mean() < 8


def test_missing_folders_are_made(tmp_path):
    path = tmp_path / "new" / "folder" / "image.png"
    save_image(IMAGE, path)
    assert path.is_file()


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".bmp", ".ppm"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_format_without_transparency_gets_the_image_on_white(tmp_path, suffix, mode):
    image = Image.new("L", (16, 8), 0).convert(mode)
    image.paste(Image.new(mode, (8, 8)), (8, 0))  # the right half is transparent black
    path = tmp_path / f"image{suffix}"
    save_image(image, path)
    written = load_image(path).convert("L")
    assert written.getpixel((1, 4)) < 10
    assert written.getpixel((14, 4)) > 245


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_format_with_transparency_keeps_it(tmp_path, suffix):
    image = make_image(24, 17, "RGBA")
    image.putalpha(make_image(24, 17, "L", 1))
    save_image(image, tmp_path / f"image{suffix}")
    assert_same(load_image(tmp_path / f"image{suffix}"), image)


def test_avif_keeps_transparency_closely(tmp_path):
    image = make_image(24, 17, "RGBA")
    image.putalpha(make_image(24, 17, "L", 1))
    save_image(image, tmp_path / "image.avif")
    assert abs(pixels(load_image(tmp_path / "image.avif")) - pixels(image)).max() <= 6


def test_gif_is_transparent_where_less_than_half_is_seen(tmp_path):
    image = make_image(24, 17, "RGBA")
    image.putalpha(make_image(24, 17, "L", 1))
    save_image(image, tmp_path / "image.gif")
    alpha = pixels(load_image(tmp_path / "image.gif"))[..., 3]
    assert np.array_equal(alpha, 255 * (pixels(image)[..., 3] >= 128))


def test_colors_under_transparent_pixels_of_webp_stay(tmp_path):
    image = make_image(24, 17, "RGBA")
    image.putalpha(0)
    save_image(image, tmp_path / "image.webp")
    assert_same(load_image(tmp_path / "image.webp"), image)


@pytest.mark.parametrize("suffix", sorted(WRITABLE_SUFFIXES))
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_every_format_takes_every_plain_mode(tmp_path, suffix, mode):
    image = make_image(24, 17, mode)
    save_image(image, tmp_path / f"image{suffix}")
    with Image.open(tmp_path / f"image{suffix}") as written:
        assert written.format == format_of(Path(f"image{suffix}"))
        seen = pixels(written.convert("RGB"))
    assert abs(seen - pixels(image.convert("RGB"))).mean() < 8


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_quality_decides_on_the_size(tmp_path, suffix):
    image, path = make_image(99, 99), tmp_path / f"image{suffix}"
    sizes = []
    for quality in (10, 50, 95, None):
        save_image(image, path, quality=quality)
        sizes.append(path.stat().st_size)
    assert sizes == sorted(sizes)


def test_jpeg_without_quality_keeps_colors_in_full_resolution(tmp_path):
    stripes = np.zeros((16, 16, 3), dtype=np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 255  # red and blue, column by column
    save_image(Image.fromarray(stripes), tmp_path / "image.jpg")
    assert abs(pixels(load_image(tmp_path / "image.jpg")) - stripes).mean() < 8


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".gif", ".ppm"])
def test_quality_of_a_format_without_loss_is_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    with pytest.raises(ValueError, match=rf"image\{suffix}: \{suffix} is lossless"):
        save_image(IMAGE, path, quality=90)
    assert list(tmp_path.iterdir()) == []
    check_quality(None, path)


@pytest.mark.parametrize("quality", [-1, 0, 101])
def test_quality_out_of_range_is_refused(quality):
    with pytest.raises(ValueError, match=f"quality={quality}: must be from 1 to 100"):
        check_quality(quality, Path("image.jpg"))


@pytest.mark.parametrize("suffix", sorted(WRITABLE_SUFFIXES))
def test_deep_formats_are_png_and_tiff(suffix):
    assert keeps_16_bits(Path(f"a{suffix}")) == (suffix in (".png", ".apng", ".tif", ".tiff"))


def test_nothing_but_pixels_is_written_by_default(tmp_path):
    image = load_image(encoded(IMAGE, icc_profile=b"a profile"))
    save_image(image, tmp_path / "image.png")
    assert b"iCCP" not in (tmp_path / "image.png").read_bytes()


@pytest.mark.parametrize("name", ["image.txt", "image.pdf", "image", "png"])
def test_unknown_suffix_is_refused_by_name(tmp_path, name):
    with pytest.raises(ValueError, match=name):
        save_image(IMAGE, tmp_path / name)
    with pytest.raises(ValueError, match=name):
        check_writable_suffix(Path(name))
    assert list(tmp_path.iterdir()) == []


def test_failing_save_leaves_nothing_behind(tmp_path):
    with pytest.raises(OSError, match="cannot write mode F"):
        save_image(Image.new("F", (4, 4)), tmp_path / "image.png")
    assert list(tmp_path.iterdir()) == []


def test_failing_save_keeps_the_old_file(tmp_path):
    path = tmp_path / "image.png"
    save_image(IMAGE, path)
    with pytest.raises(OSError, match="cannot write mode F"):
        save_image(Image.new("F", (4, 4)), path)
    assert_same(load_image(path), IMAGE)
    assert list(tmp_path.iterdir()) == [path]


def test_save_replaces_the_old_file(tmp_path):
    path = tmp_path / "image.png"
    save_image(Image.new("L", (3, 3)), path)
    save_image(IMAGE, path)
    assert_same(load_image(path), IMAGE)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_profile_of_an_image_is_kept(tmp_path, suffix, mode):
    image = make_image(8, 8, mode)
    image.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    save_image(image, tmp_path / f"image{suffix}")
    with Image.open(tmp_path / f"image{suffix}") as read:
        assert read.info["icc_profile"] == image.info["icc_profile"]
