"""Modes, depth, orientation and profiles of image files."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from helpers.image_checks import assert_same, encoded, pixels, refusal
from helpers.image_files import (
    as_stored,
    deep_gray,
    exif_block,
    png_bytes,
    tiff_12_bits,
    tiff_bytes,
)
from helpers.images import make_image
from scsnet_hf.decoding import split_alpha
from scsnet_hf.image_io import load_image

IMAGE = make_image(24, 17)


@pytest.mark.parametrize(
    ("mode", "loaded"),
    [
        ("1", "L"),
        ("L", "L"),
        ("LA", "LA"),
        ("La", "LA"),
        ("P", "RGB"),
        ("PA", "RGBA"),
        ("RGB", "RGB"),
        ("RGBX", "RGB"),
        ("RGBA", "RGBA"),
        ("RGBa", "RGBA"),
        ("CMYK", "RGB"),
        ("YCbCr", "RGB"),
        ("HSV", "RGB"),
        ("LAB", "RGB"),
        ("I;16", "L"),
        ("I;16B", "L"),
        ("I", "L"),
        ("F", "L"),
    ],
)
def test_every_mode_becomes_one_of_four(mode, loaded):
    image = load_image(Image.new(mode, (5, 4)))
    assert image.mode == loaded
    assert image.size == (5, 4)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_colors_survive_a_change_of_mode(mode):
    assert abs(pixels(load_image(IMAGE.convert(mode))) - pixels(IMAGE)).max() <= 4


def test_palette_is_looked_up():
    image = IMAGE.quantize(16)
    assert_same(load_image(image), image.convert("RGB"))


def test_transparent_palette_entry_becomes_alpha():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    loaded = load_image(encoded(image, transparency=1))
    assert loaded.mode == "RGBA"
    assert loaded.getpixel((0, 0)) == (255, 0, 0, 255)
    assert loaded.getpixel((1, 0))[3] == 0


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
@pytest.mark.parametrize(("deep", "level"), [(0, 0), (32896, 128), (65535, 255)])
def test_deep_gray_is_reduced_by_its_depth(mode, deep, level):
    assert load_image(Image.new(mode, (2, 2), deep)).getpixel((0, 0)) == level


def test_dim_deep_gray_is_not_stretched():
    deep = np.linspace(0, 2570, 50, dtype=np.uint16).reshape(5, 10)
    assert pixels(load_image(encoded(Image.fromarray(deep)))).max() == 10


def deep(source) -> np.ndarray:
    """(H, W) of 16 bits, as loaded."""
    image = load_image(source, keep_16_bits=True)
    assert image.mode == "I;16"
    return pixels(image)


GRAY = deep_gray()


@pytest.mark.parametrize("highest", [300, 4095, 65535])
@pytest.mark.parametrize("order", ["<", ">"])
def test_deep_gray_is_never_stretched(highest, order):
    levels = (GRAY // (65535 // highest)).astype(np.uint16)
    source = tiff_bytes(levels, byteorder=order, photometric="minisblack")
    assert np.array_equal(deep(source), levels)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True, "byteorder": ">"},
        {"tile": (16, 16)},
        {"bigtiff": True},
        {"rowsperstrip": 3},
    ],
    ids=str,
)
def test_deep_gray_is_the_same_in_every_layout(options):
    assert np.array_equal(deep(tiff_bytes(GRAY, photometric="minisblack", **options)), GRAY)


def test_white_may_be_zero():
    levels = tiff_bytes(GRAY, photometric="miniswhite")
    assert np.array_equal(deep(levels), 65535 - GRAY)


@pytest.mark.parametrize(
    ("array", "white"),
    [
        (GRAY.astype(np.uint32) * 65537, 65535),
        ((GRAY.astype(np.int64) * 32768).astype(np.int32), 65535),
        ((GRAY // 2).astype(np.int16), 65535),
        ((GRAY / 257).astype(np.float32), 65535),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_white_of_every_kind_is_the_largest_of_its_kind(array, white):
    levels = deep(tiff_bytes(array, photometric="minisblack"))
    assert np.abs(levels - GRAY).max() <= 2
    assert levels.min() == 0


def test_white_of_12_bits_is_4095():
    levels = np.array([[0, 100, 2048, 4095]])
    assert np.array_equal(deep(tiff_12_bits(levels)), np.round(levels * 65535 / 4095))


@pytest.mark.parametrize("values", [[-5.0, 0.0, 127.5, 300.0], [-1, 0, 32768, 10**6]])
def test_values_beyond_black_and_white_are_clipped(values):
    kind = np.float32 if isinstance(values[0], float) else np.int32
    levels = deep(Image.fromarray(np.array([values], dtype=kind)))
    assert np.abs(levels - [[0, 0, 32768, 65535]]).max() <= 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value):
    values = np.array([[0, value]], dtype=np.float32)
    assert "not finite" in refusal(Image.fromarray(values))


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_level_that_a_png_declares_transparent_is_so(depth):
    levels = np.arange(64).reshape(8, 8) * (2**depth - 1) // 63
    chosen = levels[5, 2]
    _, alpha = split_alpha(load_image(png_bytes(levels, depth, (int(chosen),)), keep_16_bits=True))
    assert np.array_equal(pixels(alpha), 255 * (levels != chosen))


@pytest.mark.parametrize("depth", [8, 16])
def test_color_that_a_png_declares_transparent_is_so(depth):
    levels = np.random.default_rng(0).integers(0, 2**depth, (8, 8, 3))
    loaded = load_image(png_bytes(levels, depth, tuple(levels[5, 2].tolist())))
    expected = np.full((8, 8), 255)
    expected[5, 2] = 0
    assert np.array_equal(pixels(loaded)[..., 3], expected)


def test_alpha_of_a_palette_is_kept():
    image = make_image(24, 17, "RGBA")
    image.putalpha(77)
    assert load_image(image.quantize(16)).getchannel("A").getextrema() == (77, 77)


def test_inverted_cmyk_of_photoshop_is_not_inverted():
    content = encoded(IMAGE.convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in content  # whose levels of ink are stored inverted
    assert np.abs(pixels(load_image(content)) - pixels(IMAGE)).mean() < 4


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_split_alpha_separates_colors_and_alpha(mode):
    image = make_image(8, 8, mode)
    image.putalpha(77)
    colors, alpha = split_alpha(image)
    assert colors.mode == mode[:-1]
    assert alpha.getextrema() == (77, 77)


def test_opaque_image_has_no_alpha_to_split():
    assert split_alpha(IMAGE) == (IMAGE, None)


# Orientation, profiles


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_exif_orientation_is_applied(orientation, image_format):
    stored = Image.fromarray(as_stored(np.asarray(IMAGE), orientation))
    source = encoded(stored, image_format, exif=exif_block(orientation))
    assert_same(load_image(source), IMAGE)


def swapped_profile() -> bytes:
    """An sRGB profile in which red and blue have changed places."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    entries = {}
    for position in range(132, 132 + 12 * struct.unpack(">I", profile[128:132])[0], 12):
        entries[bytes(profile[position : position + 4])] = position
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_embedded_profile_is_converted(mode):
    red = Image.new("RGB", (2, 2), (255, 0, 0)).convert(mode)
    loaded = load_image(encoded(red, icc_profile=swapped_profile()))
    np.testing.assert_allclose(loaded.convert("RGB").getpixel((0, 0)), (0, 0, 255), atol=3)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_unusable_profile_is_left_out(mode):
    image = make_image(8, 8, mode)
    assert_same(load_image(encoded(image, icc_profile=b"no profile")), image)


def gray_profile(gamma: float) -> bytes:
    """A gray profile with a curve of one gamma (ICC.1:2001-04)."""
    curve = struct.pack(">4sIIHxx", b"curv", 0, 1, round(gamma * 256))
    white = struct.pack(">4sIiii", b"XYZ ", 0, 63190, 65536, 54061)  # D50
    start = 128 + 4 + 2 * 12
    table = struct.pack(">I", 2)
    table += struct.pack(">4sII", b"kTRC", start, len(curve))
    table += struct.pack(">4sII", b"wtpt", start + len(curve), len(white))
    body = table + curve + white
    header = struct.pack(
        ">I4sI4s4s4s12s4s28xiii48x",
        128 + len(body), bytes(4), 0x02400000, b"mntr", b"GRAY", b"XYZ ", bytes(12), b"acsp",
        63190, 65536, 54061,
    )  # fmt: skip
    return header + body


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_gray_profile_is_converted(mode):
    half = Image.new("L", (2, 2), 128).convert(mode)
    loaded = load_image(encoded(half, icc_profile=gray_profile(1.0)))
    assert loaded.mode == mode
    assert loaded.convert("L").getpixel((0, 0)) == pytest.approx(188, abs=2)  # sRGB of 50 % light


def test_gray_profile_of_16_bits_is_converted_in_16_bits():
    ramp = Image.fromarray(GRAY)
    levels = deep(encoded(ramp, icc_profile=gray_profile(1.0)))
    light = GRAY / 65535
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(levels - 65535 * srgb).max() < 20


def test_transparent_level_is_found_before_the_profile_changes_it():
    gray = Image.fromarray(np.array([[0, 100], [128, 255]], dtype=np.uint8))
    loaded = load_image(encoded(gray, icc_profile=gray_profile(1.0), transparency=128))
    assert np.array_equal(pixels(loaded)[..., -1], [[255, 255], [0, 255]])
    assert loaded.getpixel((0, 1))[0] == pytest.approx(188, abs=2)


def test_profile_of_colors_in_a_gray_image_is_left_out():
    gray = make_image(8, 8, "L")
    assert_same(load_image(encoded(gray, icc_profile=swapped_profile())), gray)


def test_second_reading_applies_nothing_again():
    turned = encoded(IMAGE, exif=exif_block(6), icc_profile=swapped_profile())
    once = load_image(turned)
    assert_same(load_image(once), once)
