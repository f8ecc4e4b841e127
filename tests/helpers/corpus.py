"""Files of every kind that Pillow, tifffile and pillow-heif write, and what is in them.

What is in them is read by other decoders than ours: imagecodecs, tifffile, pillow-heif and FFmpeg,
and the conversions that a format defines are formulas here.
"""

import io
import re
from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import av
import imagecodecs
import numpy as np
import pillow_heif
import tifffile
from PIL import Image

from helpers.image_files import as_stored, exif_block
from helpers.images import make_image

WIDTH, HEIGHT = 40, 24
SRGB_TO_D50 = np.array(  # Lindbloom
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)
UPRIGHT = make_image(WIDTH, HEIGHT, "RGBA")
UPRIGHT.putalpha(make_image(WIDTH, HEIGHT, "L", 1).point(lambda level: 128 + level // 2))
MODES = "1 L LA La P PA RGB RGBA RGBa RGBX CMYK YCbCr LAB HSV I F I;16 I;16B I;16L I;16N".split()


class File(NamedTuple):
    """A file and its content: (H, W, C) of 0 to 1 as stored; gray or RGB, perhaps with alpha."""

    name: str
    data: bytes
    content: np.ndarray
    orientation: int = 1


def lightness(content: np.ndarray) -> np.ndarray:
    """CIE L (H, W) of sRGB or gray (H, W, C), of 0 to 1."""
    colors = content[..., :1].repeat(3, -1) if content.shape[-1] < 3 else content[..., :3]
    linear = np.where(colors > 0.04045, ((colors + 0.055) / 1.055) ** 2.4, colors / 12.92)
    y = linear @ (0.2126729, 0.7151522, 0.0721750)
    return np.where(y > 216 / 24389, 116 * np.cbrt(y) - 16, y * 24389 / 27)


def opacity(content: np.ndarray) -> np.ndarray:
    """Alpha (H, W) of 0 to 1."""
    has_alpha = content.shape[-1] in (2, 4)
    return content[..., -1] if has_alpha else np.ones(content.shape[:2])


def scaled(levels: np.ndarray, bits: int | None = None) -> np.ndarray:
    """Integers (H, W) or (H, W, C), by their type or their bits, as (H, W, C) of 0 to 1."""
    white = 2**bits - 1 if bits else 1 if levels.dtype == bool else np.iinfo(levels.dtype).max
    return np.clip(levels.reshape(*levels.shape[:2], -1) / white, 0, 1)


def in_mode(mode: str, orientation: int) -> Image.Image:
    """The image of the corpus in a mode of Pillow, as stored under an orientation."""
    image = Image.fromarray(as_stored(np.asarray(UPRIGHT), orientation))
    if mode[0] in "IF":
        gray = np.asarray(image.convert("L")).astype(int)
        dtype = {"I": np.int32, "F": np.float32, "I;16B": ">u2"}.get(mode, "<u2")
        levels = (gray * (1 if mode == "F" else 257)).astype(dtype)
        return Image.frombytes(mode, image.size, levels.tobytes())
    if mode in ("LA", "La"):
        return image.convert("LA").convert(mode)
    if mode == "P":
        return image.convert("RGB").quantize(64)
    return image.convert(mode if mode in ("RGBA", "RGBa", "PA") else "RGB").convert(mode)


# Decoders


def cmyk_to_rgb(inks: np.ndarray) -> np.ndarray:
    """What a printer's inks without a profile stand for: (H, W, 4) to (H, W, 3), of 0 to 1."""
    return (1 - inks[..., :3]) * (1 - inks[..., 3:])


def jpeg(data: bytes) -> np.ndarray:
    levels = scaled(imagecodecs.jpeg8_decode(data))
    return cmyk_to_rgb(1 - levels) if levels.shape[-1] == 4 else levels  # Adobe stores 1 - ink


def jpeg2000(data: bytes) -> np.ndarray:
    levels = scaled(imagecodecs.jpeg2k_decode(data))
    is_cmyk = b"colr\1\0\0\0\0\0\x0c" in data  # enumerated color space 12
    return cmyk_to_rgb(levels) if is_cmyk else levels


def by_ffmpeg(codec: str) -> Callable[[bytes], np.ndarray]:
    def decode(data: bytes) -> np.ndarray:
        context = av.CodecContext.create(codec, "r")
        (frame,) = context.decode(av.Packet(data)) or context.decode(None)
        return scaled(frame.to_ndarray(format="rgba"))

    return decode


def icon(data: bytes) -> np.ndarray:
    """The largest image."""
    with av.open(io.BytesIO(data), format="ico") as container:
        frames = list(container.decode())
    return scaled(max(frames, key=lambda frame: frame.width).to_ndarray(format="rgba"))


def tga_with_alpha(data: bytes) -> np.ndarray:
    """Gray with alpha, which FFmpeg takes for colors of 5 bits."""
    levels = np.frombuffer(data, np.uint8, 2 * WIDTH * HEIGHT, offset=18)
    rows = scaled(levels.reshape(HEIGHT, WIDTH, 2))
    return rows if data[17] & 0x20 else rows[::-1]


def netpbm(data: bytes) -> np.ndarray:
    """PBM, PGM, PPM and PFM as Pillow writes them: a header without comments."""
    kind = data[:2]
    header = re.match(rb"(\S+\s+){%d}" % (3 if kind == b"P4" else 4), data).group()
    width, height = map(int, header.split()[1:3])
    if kind == b"P4":
        rows = np.frombuffer(data, np.uint8, offset=len(header)).reshape(height, -1)
        return 1 - scaled(np.unpackbits(rows, axis=1)[:, :width].astype(bool))
    if kind == b"Pf":
        rows = np.frombuffer(data, "<f4", offset=len(header)).reshape(height, width, 1)
        return rows[::-1] / 255
    dtype = np.uint8 if header.split()[3] == b"255" else ">u2"
    return scaled(np.frombuffer(data, dtype, offset=len(header)).reshape(height, width, -1))


def tiff(data: bytes) -> np.ndarray:
    """The first page."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        values, tags = page.asarray(), page.tags
        if page.planarconfig == 2:
            values = np.moveaxis(values, 0, -1)
        kind, sample_format = int(page.photometric), tags.valueof(339, default=1)
        signed = (sample_format if np.isscalar(sample_format) else sample_format[0]) == 2
        if kind == 3:
            colors = np.moveaxis(page.colormap, 0, -1) / 65535
            planes = values.reshape(*values.shape[:2], -1)
            alpha = [scaled(planes[..., 1:])] if planes.shape[-1] == 2 else []
            return np.dstack([colors[planes[..., 0]], *alpha])
        if kind == 8:
            return lab_to_rgb(values)
        if values.dtype.kind == "f":
            white = 1 if values.max() <= 1.01 else 255 if values.max() <= 258 else 65535
            levels = (values / white).reshape(*values.shape[:2], -1).clip(0, 1)
        else:
            levels = scaled(values, page.bitspersample - signed)
        if kind == 6 and page.compression != 7:  # JPEG, which its decoder converts
            return ycbcr_to_rgb(levels)
        return _by_photometric(levels, kind, page.extrasamples)


def _by_photometric(levels: np.ndarray, kind: int, extra: tuple[int, ...]) -> np.ndarray:
    count = {0: 1, 1: 1, 2: 3, 5: 4, 6: 3}[kind]
    colors, alpha = levels[..., :count], levels[..., count : count + 1]
    if kind == 0:
        colors = 1 - colors
    if extra and extra[0] == 1:
        colors = (colors / np.maximum(alpha, 1e-9)).clip(0, 1)
    if kind == 5:
        colors = cmyk_to_rgb(colors)
    return np.dstack([colors, alpha]) if extra and extra[0] in (1, 2) else colors


def ycbcr_to_rgb(levels: np.ndarray) -> np.ndarray:
    """ITU-R BT.601 with the full range, (H, W, 3) of 0 to 1."""
    y, blue, red = (levels[..., [0]], *(levels[..., [index]] - 128 / 255 for index in (1, 2)))
    green = y - 0.344136 * blue - 0.714136 * red
    return np.dstack((y + 1.402 * red, green, y + 1.772 * blue)).clip(0, 1)


def lab_to_rgb(levels: np.ndarray) -> np.ndarray:
    """CIE Lab of D50 (TIFF 6.0, Sec. 23), (H, W, 3) uint8, to sRGB of 0 to 1."""
    a, b = (levels[..., index].astype(np.int8).astype(float) for index in (1, 2))
    middle = (levels[..., 0] / 2.55 + 16) / 116
    curved = np.stack((middle + a / 500, middle, middle - b / 200), axis=-1)
    xyz = np.where(curved > 6 / 29, curved**3, (curved - 4 / 29) * 3 * (6 / 29) ** 2)
    linear = (xyz * (0.96422, 1, 0.82521)) @ np.linalg.inv(SRGB_TO_D50).T
    linear = linear.clip(0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def heif(data: bytes) -> np.ndarray:
    """The primary image, upright."""
    image = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    return scaled(np.asarray(image))


# Writers


def saved(
    image_format: str,
    decode: Callable[[bytes], np.ndarray],
    modes: list[str] | None = None,
    turned: bool = False,
    **choices: list,
) -> Iterator[File]:
    """Files of Pillow in every mode and combination of options that it writes."""
    combinations = list(product(*choices.values()))
    for index, (mode, values) in enumerate(product(modes or MODES, combinations)):
        orientation = index % 8 + 1 if turned else 1
        options = dict(zip(choices, values, strict=True))
        exif = {"exif": exif_block(orientation)} if orientation > 1 else {}
        file = io.BytesIO()
        try:
            in_mode(mode, orientation).save(file, image_format, **exif, **options)
        except (OSError, ValueError, KeyError, RuntimeError, DeprecationWarning):
            continue  # it does not write this
        data = file.getvalue()
        name = f"{image_format} {mode} {orientation} {options}"
        yield File(name, data, decode(data), orientation)


def jpeg_files() -> Iterator[File]:
    yield from saved("JPEG", jpeg, turned=True, quality=[60, 95], progressive=[False, True])
    yield from saved("JPEG", jpeg, ["RGB"], subsampling=["4:4:4", "4:2:2", "4:2:0"], quality=[90])
    yield from saved("JPEG", jpeg, ["RGB"], keep_rgb=[True], restart_marker_rows=[0, 1])
    yield from saved("MPO", jpeg, turned=True, quality=[90])


def png_files() -> Iterator[File]:
    yield from saved("PNG", imagecodecs_of("png"), turned=True, compress_level=[1, 9])
    for bits in (1, 2, 4):
        images = ["P"] if bits > 1 else ["1", "P"]
        yield from saved("PNG", imagecodecs_of("png"), images, bits=[bits])
    # Pillow writes a mask too short for other widths than multiples of 32.
    modes = [mode for mode in MODES if mode[0] != "I"]  # which FFmpeg rounds to 8 bits
    yield from saved("ICO", icon, modes, sizes=[[(16, 10), (32, 19)]], bitmap_format=["png", "bmp"])


def imagecodecs_of(codec: str) -> Callable[[bytes], np.ndarray]:
    decoder = getattr(imagecodecs, f"{codec}_decode")
    return lambda data: scaled(decoder(data))


def webp_files() -> Iterator[File]:
    decode = imagecodecs_of("webp")
    yield from saved("WEBP", decode, turned=True, lossless=[True], exact=[False, True])
    yield from saved("WEBP", decode, turned=True, quality=[80], method=[0, 6])


def avif_files() -> Iterator[File]:
    decode = imagecodecs_of("avif")
    yield from saved("AVIF", decode, turned=True, speed=[10], quality=[90])
    sampled = ["4:0:0", "4:2:0", "4:2:2", "4:4:4"]
    ranges = ["full", "limited"]
    yield from saved("AVIF", decode, ["RGB", "RGBA"], speed=[10], subsampling=sampled, range=ranges)


def jpeg2000_files() -> Iterator[File]:
    kinds = {"irreversible": [False, True], "no_jp2": [False, True], "num_resolutions": [1, 3]}
    yield from saved("JPEG2000", jpeg2000, ["L", "LA", "RGB", "RGBA", "I;16", "I;16B"], **kinds)
    yield from saved("JPEG2000", jpeg2000, ["CMYK", "YCbCr"])
    orders = ["LRCP", "CPRL"]
    yield from saved("JPEG2000", jpeg2000, ["RGB"], tile_size=[(16, 16)], progression=orders)


def plain_files() -> Iterator[File]:
    yield from saved("BMP", imagecodecs_of("bmp"))
    yield from saved("GIF", imagecodecs_of("gif"), interlace=[0, 1])
    yield from saved("PPM", netpbm)
    kinds = {"compression": [None, "tga_rle"], "orientation": [-1, 1]}
    yield from saved("TGA", by_ffmpeg("targa"), ["L", "P", "RGB", "RGBA"], **kinds)
    yield from saved("TGA", tga_with_alpha, ["LA"], orientation=[-1, 1])


def pillow_tiffs() -> Iterator[File]:
    compressions = "raw tiff_lzw packbits tiff_adobe_deflate tiff_deflate zstd lzma".split()
    yield from saved("TIFF", tiff, turned=True, compression=compressions)
    yield from saved("TIFF", tiff, ["1"], compression="group3 group4 tiff_ccitt".split())
    yield from saved("TIFF", tiff, ["L", "RGB", "YCbCr", "CMYK"], compression=["jpeg"])
    yield from saved("TIFF", tiff, ["RGB", "L"], compression=["tiff_lzw"], big_tiff=[False, True])


def tifffile_files() -> Iterator[File]:
    """Every kind of number, in both byte orders, in all places and with all roles of channels."""
    gray = np.asarray(UPRIGHT.convert("L")) / 255
    for dtype, order in product("bool u1 u2 u4 i1 i2 i4 f2 f4 f8".split(), "<>"):
        kind = np.dtype(dtype)
        for options in (
            {"compression": "zlib"},
            {"compression": "lzw"},
            {"compression": "zlib", "predictor": kind.kind != "b"},
            {"tile": (16, 16)},
            {"rowsperstrip": 5, "bigtiff": True},
        ):
            yield written(gray, kind, photometric="minisblack", byteorder=order, **options)
        if kind.kind == "b":
            continue
        yield written(gray, kind, photometric="miniswhite", byteorder=order)
        roles = (None, "unassalpha", "assocalpha", "unspecified")
        for in_planes, role, mode in product((False, True), roles, ("L", "RGB")):
            yield with_channels(mode, kind, in_planes, role, order)
    for bits in (2, 4, 6, 10, 12, 14):
        dtype = np.dtype(np.uint8 if bits <= 8 else np.uint16)
        levels = (gray * (2**bits - 1)).round() / np.iinfo(dtype).max
        yield written(levels, dtype, photometric="minisblack", bitspersample=bits)


def with_channels(mode: str, kind: np.dtype, in_planes: bool, role: str | None, order: str) -> File:
    """A TIFF of gray or RGB with a further channel of a role."""
    colors = np.asarray(UPRIGHT.convert(mode)).reshape(HEIGHT, WIDTH, -1) / 255
    alpha = np.asarray(UPRIGHT.getchannel("A"))[..., None] / 255
    colors = colors * alpha if role == "assocalpha" else colors
    channels = np.dstack([colors, alpha]) if role else colors
    in_planes &= channels.shape[-1] > 1
    options = {"planarconfig": "separate"} if in_planes else {}
    if role:
        options["extrasamples"] = [role]
    values = np.moveaxis(channels, -1, 0) if in_planes else channels.squeeze()
    black = "minisblack" if mode == "L" else "rgb"
    return written(values, kind, photometric=black, byteorder=order, **options)


def written(values: np.ndarray, kind: np.dtype, **options) -> File:
    """A TIFF of values from 0 to 1 in a kind of number, written by tifffile."""
    file, white = io.BytesIO(), np.iinfo(kind).max if kind.kind in "iu" else 1
    levels = values > 0.5 if kind.kind == "b" else np.round(values * white, 6).astype(kind)
    tifffile.imwrite(file, np.ascontiguousarray(levels), **options)
    return File(f"tifffile {kind} {options}", file.getvalue(), tiff(file.getvalue()))


def heic_files() -> Iterator[File]:
    chromas, modes = [420, 422, 444], ["L", "LA", "RGB", "RGBA", "I;16"]
    for index, (mode, quality, chroma) in enumerate(product(modes, [-1, 60, 95], chromas)):
        orientation, file = index % 8 + 1, io.BytesIO()
        image = pillow_heif.from_pillow(in_mode(mode, orientation))
        image.save(file, quality=quality, chroma=chroma, exif=exif_block(orientation))
        data = file.getvalue()
        yield File(f"HEIC {mode} {quality} {chroma} {orientation}", data, heif(data))
