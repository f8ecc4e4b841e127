"""Files whose metadata Pillow refuses, that state their lightness, or of kinds it does not read."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from helpers.image_checks import assert_same, encoded, pixels, refusal
from helpers.image_files import (
    exif_block,
    heic_bytes,
    png_bytes,
    png_chunk,
    tiff_bytes,
    with_checksums,
)
from helpers.images import make_image
from scsnet_hf.decoding import split_alpha
from scsnet_hf.image_io import load_image
from test_decoding import gray_profile

GRAY = make_image(24, 17, "L")
LEVELS = np.asarray(GRAY)
DEEP = LEVELS.astype(np.uint16) * 257


def with_chunks(*chunks: tuple[bytes, bytes], png: bytes = b"") -> bytes:
    png = png or encoded(GRAY)
    return png[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + png[33:]


def broken_exif(orientation: int) -> bytes:
    """EXIF with an orientation and an exposure bias of -2/0, which Pillow cannot write."""
    details = struct.pack("<HHHII", 1, 0x9204, 10, 1, 56) + bytes(4) + struct.pack("<ii", -2, 0)
    tags = struct.pack("<HHHIHHHHII", 2, 0x112, 3, 1, orientation, 0, 0x8769, 4, 1, 38) + bytes(4)
    return b"Exif\0\0II*\0\x08\0\0\0" + tags + details


# Metadata


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_read_where_other_tags_cannot_be_written(image_format):
    exif = broken_exif(6) if image_format == "JPEG" else broken_exif(6)[6:]
    loaded = load_image(encoded(GRAY.convert("RGB"), image_format, exif=exif))
    assert loaded.size == (GRAY.height, GRAY.width)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_exif_that_is_noise_is_left_out_with_one_warning(image_format, caplog):
    exif = exif_block(1, ImageDescription="a description")
    content = encoded(GRAY.convert("RGB"), image_format, exif=exif)
    assert b"MM\0*" in content
    content = content.replace(b"MM\0*", b"\xff" * 4)
    if image_format == "PNG":
        content = with_checksums(content)
    assert load_image(content).size == GRAY.size
    assert len(caplog.records) <= 1


def test_raw_profile_that_is_not_hexadecimal_is_left_out(caplog):
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", "\nExif\n 6\n45786966\nxyz")
    assert_same(load_image(encoded(GRAY, pnginfo=text)), GRAY)
    assert "EXIF is damaged" in caplog.text


LONG = zlib.compress(b"x" * (3 << 20))


@pytest.mark.parametrize(
    "chunk",
    [
        (b"zTXt", b"workflow\0\0" + LONG),
        (b"iTXt", b"workflow\0\1\0\0\0" + LONG),
        (b"iCCP", b"profile\0\0" + LONG),
        (b"zTXt", b"workflow\0\7" + LONG),
        (b"pHYs", b"\0\0"),
        (b"sRGB", b""),
        (b"gAMA", b"\0"),
        (b"cHRM", b"\0" * 5),
    ],
    ids=lambda chunk: chunk[0].decode(),
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_ancillary_chunks_never_refuse_an_image(chunk, place, caplog):
    png = encoded(GRAY)
    after = png[:-12] + png_chunk(*chunk) + png[-12:]
    content = with_chunks(chunk) if place == "before" else after
    assert_same(load_image(content), GRAY)
    assert f"left out ({chunk[0].decode()})" in caplog.text


def test_wrong_checksum_of_text_does_not_refuse_an_image():
    chunk = bytearray(png_chunk(b"tEXt", b"Title\0a title"))
    chunk[-1] ^= 255
    png = encoded(GRAY)
    assert_same(load_image(png[:33] + bytes(chunk) + png[33:]), GRAY)


# Lightness


def converted(gamma: float) -> np.ndarray:
    """The levels of GRAY, to a power, in sRGB."""
    light = (LEVELS / 255) ** gamma
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * srgb)


def jp2_with_profile(profile: bytes) -> bytes:
    content = encoded(GRAY, "JPEG2000")
    header, colors = content.find(b"jp2h") - 4, content.find(b"colr") - 4
    (old,) = struct.unpack(">I", content[colors : colors + 4])
    (size,) = struct.unpack(">I", content[header : header + 4])
    new = struct.pack(">I4sBBB", 11 + len(profile), b"colr", 2, 0, 0) + profile
    start = content[:header] + struct.pack(">I", size - old + len(new))
    return start + content[header + 4 : colors] + new + content[colors + old :]


PROFILE = gray_profile(1.0)
ICCP = (b"iCCP", b"gray\0\0" + zlib.compress(PROFILE))
ALPHA = np.full_like(DEEP, 65535)
LINEAR = (b"gAMA", struct.pack(">I", 100000))


@pytest.mark.parametrize(
    ("content", "gamma"),
    [
        (encoded(GRAY.convert("RGB"), "WEBP", lossless=True, icc_profile=PROFILE), 1),
        (encoded(GRAY.convert("LA"), icc_profile=PROFILE), 1),
        (encoded(GRAY, "TIFF", icc_profile=PROFILE), 1),
        (with_chunks(ICCP, png=png_bytes(np.dstack((DEEP, ALPHA)), 16)), 1),
        (jp2_with_profile(PROFILE), 1),
        (with_chunks(LINEAR), 1),
        (with_chunks(LINEAR, png=encoded(GRAY.convert("RGB"))), 1),
        (with_chunks(LINEAR, png=encoded(GRAY.convert("P"))), 1),
        (with_chunks(LINEAR, png=png_bytes(DEEP, 16)), 1),
        (with_chunks(LINEAR, png=png_bytes(np.dstack([DEEP] * 3), 16)), 1),
        (with_chunks((b"gAMA", struct.pack(">I", 55556))), 1.8),
        (with_chunks(LINEAR, (b"iCCP", b"gray\0\0" + zlib.compress(gray_profile(1.8)))), 1.8),
        (with_chunks((b"cICP", b"\1\x08\0\1")), 1),
        (with_chunks((b"cICP", b"\1\x08\0\1"), (b"sRGB", b"\0")), 1),
    ],
    ids=range(14),
)
@pytest.mark.parametrize("keep_16_bits", [True, False])
def test_lightness_is_what_the_file_states(content, gamma, keep_16_bits):
    colors, _ = split_alpha(load_image(content, keep_16_bits=keep_16_bits))
    levels = pixels(colors).reshape(*LEVELS.shape, -1)[..., 0]
    assert np.abs(levels / (257 if colors.mode == "I;16" else 1) - converted(gamma)).max() <= 1


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"gAMA", struct.pack(">I", 45455))],
        [LINEAR, (b"sRGB", b"\0")],
        [LINEAR, (b"cICP", b"\1\x0d\0\1")],
        [(b"gAMA", bytes(4))],
    ],
)
def test_srgb_takes_precedence_over_gamma(chunks):
    assert_same(load_image(with_chunks(*chunks)), GRAY)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_profile_of_colors_is_converted_in_16_bits(compression):
    from PIL import ImageCms

    colors = make_image(24, 17)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = np.asarray(colors).astype(np.uint16) * 257
    content = tiff_bytes(deep, photometric="rgb", iccprofile=profile, compression=compression)
    plain = tiff_bytes(deep, photometric="rgb", compression=compression)
    kept, expected = (pixels(load_image(one, keep_16_bits=True)) for one in (content, plain))
    assert np.abs(kept - expected).max() < 80  # a third of a level of 8 bits


# Containers


def pyramid(*kinds: int) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as target:
        for kind in kinds:
            step = 2 if kind else 1
            target.write(LEVELS[::step, ::step], photometric="minisblack", subfiletype=kind)
    return file.getvalue()


@pytest.mark.parametrize(("kinds", "pages"), [((0, 1, 1), 1), ((1, 0), 1), ((1, 0, 1, 0), 2)])
def test_reduced_pages_are_no_pages(tmp_path, kinds, pages):
    from scsnet_hf.io.image_file import ImageFile

    path = tmp_path / "pyramid.tif"
    path.write_bytes(pyramid(*kinds))
    assert_same(load_image(path), GRAY)
    with ImageFile(path) as file:
        assert (file.width, file.height) == GRAY.size
        assert [frame.size for frame in file.frames()] == [GRAY.size] * pages


def test_file_of_reduced_pages_alone_has_them(tmp_path):
    assert load_image(pyramid(1, 1)).size == (12, 9)


@pytest.mark.parametrize("primary", [0, 1])
def test_primary_image_of_heic_is_the_one(tmp_path, primary):
    import pillow_heif

    from scsnet_hf.io.image_file import ImageFile

    file = pillow_heif.HeifFile()
    for size in ((64, 48), (96, 64)):
        file.add_from_pillow(Image.new("L", size, 30))
    file.save(tmp_path / "burst.heic", primary_index=primary)
    expected = ((64, 48), (96, 64))[primary]
    assert load_image(tmp_path / "burst.heic").size == expected
    with ImageFile(tmp_path / "burst.heic") as opened:
        assert [frame.size for frame in opened.frames()] == [expected]


def test_largest_image_of_an_icon_is_read():
    image = make_image(64, 64, "RGBA")
    assert load_image(encoded(image, "ICO", sizes=[(16, 16), (64, 64), (32, 32)])).size == (64, 64)


def test_damaged_icon_is_not_read_as_tga():
    assert "damaged" in refusal(b"\0\0\1\0\1\0" + bytes(60))


# Kinds of TIFF


@pytest.mark.parametrize(
    "content",
    [tiff_bytes(LEVELS / 255.0, photometric="minisblack"), heic_bytes(GRAY)],
    ids=["tifffile", "pillow_heif"],
)
def test_missing_package_is_named(content, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    message = refusal(content)
    assert "pip install" in message
    assert ("float 64-bit" in message) == content.startswith(b"II")


def test_palette_of_16_bits_and_planes_are_read():
    levels = np.arange(24 * 17, dtype=np.uint16).reshape(17, 24)
    colormap = np.zeros((3, 2**16), dtype=np.uint16)
    colormap[:, :408] = np.linspace(0, 65535, 408).astype(np.uint16)
    content = tiff_bytes(levels, photometric="palette", colormap=colormap)
    assert np.array_equal(pixels(load_image(content, keep_16_bits=True)), colormap[0][levels])


def test_pages_of_a_rewritten_file_stay(tmp_path):
    from scsnet_hf.io.image_file import ImageFile

    file = io.BytesIO()
    with tifffile.TiffWriter(file) as target:
        for size in ((10, 12), (6, 8)):
            target.write(np.full(size, 0.5), photometric="minisblack")
    path = tmp_path / "pages.tif"
    path.write_bytes(file.getvalue())
    with ImageFile(path) as opened:
        frames = list(opened.frames(keep_16_bits=True))
    assert [(frame.size, frame.getpixel((0, 0))) for frame in frames] == [
        ((12, 10), 32768),
        ((8, 6), 32768),
    ]


def test_floats_beyond_every_usual_range_are_shown_with_a_warning(caplog):
    heights = np.linspace(-4000, 90000, 24 * 17).reshape(17, 24).astype(np.float32)
    levels = pixels(load_image(tiff_bytes(heights, photometric="minisblack")))
    assert (levels.min(), levels.max()) == (0, 255)
    assert "its own values" in caplog.text


BLACK = {"photometric": "minisblack"}
WITH_ALPHA = np.dstack((LEVELS, np.full_like(LEVELS, 255)))


@pytest.mark.parametrize(
    "content",
    [
        tiff_bytes(LEVELS, byteorder=">", bigtiff=True, **BLACK),
        tiff_bytes((DEEP // 2).astype(np.int16), byteorder=">", compression="zlib", **BLACK),
        tiff_bytes(LEVELS.astype(np.float32), byteorder=">", compression="lzw", **BLACK),
        tiff_bytes(
            np.moveaxis(WITH_ALPHA, -1, 0).copy(),
            planarconfig="separate",
            extrasamples=["unassalpha"],
            **BLACK,
        ),
        encoded(GRAY.convert("YCbCr"), "TIFF"),
        *(
            tiff_bytes(np.dstack([LEVELS] * 3), photometric="rgb", compression=name)
            for name in ("webp", "jpeg2000")
        ),
    ],
    ids=["big", "signed", "float", "planes", "YCbCr", "WebP", "JPEG 2000"],
)
def test_tiffs_that_pillow_misreads_are_read_right(content):
    colors, _ = split_alpha(load_image(content))
    assert np.abs(pixels(colors.convert("L")) - LEVELS).max() <= 1 + 5 * (b"WEBP" in content)


# More than 8 bits a channel

RAMP = np.linspace(0, 65535, 24 * 17).round().astype(np.uint16).reshape(17, 24)
COLORS = np.dstack([RAMP] * 3)


def deep_heic(levels: np.ndarray) -> bytes:
    import pillow_heif

    file, mode = io.BytesIO(), "RGBA;16" if levels.shape[-1] == 4 else "RGB;16"
    image = pillow_heif.from_bytes(mode, levels.shape[1::-1], levels.tobytes())
    image.save(file, quality=-1, chroma=444, exif=exif_block(6))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "turns", "within"),
    [
        (deep_heic(COLORS), -1, 130),  # 10 bits, of YCbCr
        (deep_heic(np.dstack([COLORS, RAMP | 0x8000])), -1, 130),
        (b"P6 24 17 65535\n" + COLORS.astype(">u2").tobytes(), 0, 0),
        (b"P6 24 17 1023\n" + (COLORS >> 6).astype(">u2").tobytes(), 0, 64),
    ],
    ids=["HEIC", "HEIC with alpha", "PPM", "PPM of 10 bits"],
)
def test_colors_keep_their_depth(content, turns, within, caplog):
    image = load_image(content, keep_16_bits=True)
    assert image.mode == "I;16"
    assert np.abs(pixels(image) - np.rot90(RAMP, turns).astype(int)).max() <= within
    assert "bits" not in caplog.text
    gray = pixels(load_image(content).convert("L"))
    assert np.abs(gray - np.rot90(RAMP, turns) / 257).max() <= 2


@pytest.mark.parametrize("codec", ["jpeg2k", "avif"])
def test_depth_that_a_decoder_drops_is_named(tmp_path, codec, caplog):
    import imagecodecs

    options, bits = ({"bitspersample": 10}, 10) if codec == "avif" else ({"reversible": True}, 16)
    path = tmp_path / "deep"
    path.write_bytes(getattr(imagecodecs, f"{codec}_encode")(COLORS >> (16 - bits), 0, **options))
    assert load_image(path, keep_16_bits=True).mode == "RGB"
    assert f"{path}: its {bits} bits" in caplog.text
    caplog.clear()
    path.write_bytes(getattr(imagecodecs, f"{codec}_encode")((COLORS >> 8).astype(np.uint8), 0))
    load_image(path, keep_16_bits=True)
    assert "bits" not in caplog.text
