"""Modes, depth, orientation and profiles of picture files."""

import struct

import numpy as np
import pytest
from conftest import make_picture
from picture_checks import assert_same, encoded, pixels
from PIL import Image, ImageCms

from scsnet_hf.decoding import split_alpha
from scsnet_hf.image_io import load_picture

PICTURE = make_picture(24, 17)


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
    picture = load_picture(Image.new(mode, (5, 4)))
    assert picture.mode == loaded
    assert picture.size == (5, 4)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_colours_survive_a_change_of_mode(mode):
    assert abs(pixels(load_picture(PICTURE.convert(mode))) - pixels(PICTURE)).max() <= 4


def test_palette_is_looked_up():
    picture = PICTURE.quantize(16)
    assert_same(load_picture(picture), picture.convert("RGB"))


def test_transparent_palette_entry_becomes_alpha():
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    loaded = load_picture(encoded(picture, transparency=1))
    assert loaded.mode == "RGBA"
    assert loaded.getpixel((0, 0)) == (255, 0, 0, 255)
    assert loaded.getpixel((1, 0))[3] == 0


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
@pytest.mark.parametrize(("deep", "level"), [(0, 0), (32896, 128), (65535, 255)])
def test_deep_gray_is_reduced_by_its_depth(mode, deep, level):
    assert load_picture(Image.new(mode, (2, 2), deep)).getpixel((0, 0)) == level


def test_dim_deep_gray_is_not_stretched():
    deep = np.linspace(0, 2570, 50, dtype=np.uint16).reshape(5, 10)
    assert pixels(load_picture(encoded(Image.fromarray(deep)))).max() == 10


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_split_alpha_separates_colours_and_alpha(mode):
    picture = make_picture(8, 8, mode)
    picture.putalpha(77)
    colors, alpha = split_alpha(picture)
    assert colors.mode == mode[:-1]
    assert alpha.getextrema() == (77, 77)


def test_opaque_picture_has_no_alpha_to_split():
    assert split_alpha(PICTURE) == (PICTURE, None)


# Orientation, profiles


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("picture_format", ["PNG", "TIFF"])
def test_exif_orientation_is_applied(orientation, picture_format):
    # How a camera stores the upright picture under each orientation (EXIF 2.3, tag 274).
    stored = {
        1: lambda upright: upright,
        2: lambda upright: upright[:, ::-1],
        3: lambda upright: upright[::-1, ::-1],
        4: lambda upright: upright[::-1],
        5: lambda upright: upright.transpose(1, 0, 2),
        6: lambda upright: np.rot90(upright, 1),
        7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
        8: lambda upright: np.rot90(upright, -1),
    }[orientation](np.asarray(PICTURE))
    exif = Image.Exif()
    exif[274] = orientation
    source = encoded(Image.fromarray(stored.copy()), picture_format, exif=exif)
    assert_same(load_picture(source), PICTURE)


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
    loaded = load_picture(encoded(red, icc_profile=swapped_profile()))
    np.testing.assert_allclose(loaded.convert("RGB").getpixel((0, 0)), (0, 0, 255), atol=3)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_unusable_profile_is_left_out(mode):
    picture = make_picture(8, 8, mode)
    assert_same(load_picture(encoded(picture, icc_profile=b"no profile")), picture)
