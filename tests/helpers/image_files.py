"""Small image files of every format, made on the spot."""

import io
import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pillow_heif
import tifffile
from PIL import ExifTags, Image, PngImagePlugin

from helpers.image_checks import encoded
from helpers.images import make_image

SIZE = (29, 22)


def exif_block(orientation: int = 1, **tags: str) -> bytes:
    """An EXIF block with an orientation, and tags by the names that Pillow has for them."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    for name, value in tags.items():
        exif[ExifTags.Base[name]] = value
    return exif.tobytes()


def as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """How a camera stores an upright image (H, W, ...) under an EXIF orientation (EXIF 2.3)."""
    stored = {
        1: lambda: upright,
        2: lambda: upright[:, ::-1],
        3: lambda: upright[::-1, ::-1],
        4: lambda: upright[::-1],
        5: lambda: upright.swapaxes(0, 1),
        6: lambda: np.rot90(upright, 1),
        7: lambda: np.rot90(upright, 2).swapaxes(0, 1),
        8: lambda: np.rot90(upright, -1),
    }[orientation]()
    return np.ascontiguousarray(stored)


def tiff_bytes(array: np.ndarray, **options) -> bytes:
    """A TIFF as `tifffile` writes it: also kinds that Pillow only reads."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def tiff_12_bits(levels: np.ndarray) -> bytes:
    """A TIFF of (1, W) levels with 12 bits, W even."""
    pairs = levels.reshape(-1, 2).astype(int)
    content = b"".join((int(a) << 12 | int(b)).to_bytes(3, "big") for a, b in pairs)
    height, width = levels.shape
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 277: 1, 278: height}
    tags |= {273: 8, 279: len(content)}
    content += bytes(len(content) % 2)
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    start = struct.pack("<2sHI", b"II", 42, 8 + len(content))
    return start + content + struct.pack("<H", len(tags)) + directory + bytes(4)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png_bytes(levels: np.ndarray, depth: int, transparent: tuple[int, ...] = ()) -> bytes:
    """A PNG of (H, W) or (H, W, 2 to 4) with any depth; also kinds that Pillow only reads."""
    height, width = levels.shape[:2]
    color_type = {1: 0, 2: 4, 3: 2, 4: 6}[levels[0, 0].size]
    rows = levels.reshape(height, -1)
    if depth < 8:
        bits = (rows[..., None] >> np.arange(depth)[::-1]) & 1
        packed = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    else:
        packed = np.ascontiguousarray(rows, dtype=">u2" if depth == 16 else "u1").view(np.uint8)
    content = np.pad(packed, ((0, 0), (1, 0))).tobytes()  # after the number of no filter
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(content))]
    if transparent:
        chunks.insert(1, png_chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + png_chunk(b"IEND", b"")


def with_checksums(png: bytes) -> bytes:
    """A PNG with its checksums corrected, without which a reader stops at the first wrong one."""
    content, place = bytearray(png), 8
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4], "big")
        if end + 4 > len(content):
            break
        struct.pack_into(">I", content, end, zlib.crc32(content[place + 4 : end]))
        place = end + 4
    return bytes(content)


def heic_bytes(image: Image.Image, **options) -> bytes:
    """Encode by pillow-heif itself, so that the package still has to register it with Pillow."""
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, **options)
    return buffer.getvalue()


def deep_gray(width: int = SIZE[0], height: int = SIZE[1]) -> np.ndarray:
    """(H, W) uint16, from 0 to 65535."""
    return np.linspace(0, 65535, width * height).astype(np.uint16).reshape(height, width)


def moving(mode: str = "RGB", frames: int = 3) -> list[Image.Image]:
    """Frames of an animation, all different."""
    return [make_image(*SIZE, mode, seed) for seed in range(frames)]


def encoded_frames(frames: list[Image.Image], image_format: str, **options) -> bytes:
    """All frames or pages in one file."""
    return encoded(frames[0], image_format, save_all=True, append_images=frames[1:], **options)


def frames_of(path: Path) -> list[tuple[Image.Image, float | None]]:
    """The frames of a file (RGBA), and how long each stays."""
    with Image.open(path) as file:
        return [_frame(file, index) for index in range(file.n_frames)]


def _frame(file: Image.Image, index: int) -> tuple[Image.Image, float | None]:
    file.seek(index)
    return file.convert("RGBA"), file.info.get("duration")


@cache
def sample_files() -> dict[str, bytes]:
    """Sound files by name; every decoder of the formats is used by one of them."""
    image = make_image(*SIZE)
    clear = make_image(*SIZE, "RGBA")
    clear.putalpha(make_image(*SIZE, "L", 1))
    exif = exif_block(6, ImageDescription="a description", Artist="an artist")
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a title")
    text.add_itxt("Comment", "a comment", zip=True)
    deep = deep_gray()
    deep_colors = np.stack((deep, deep[::-1], deep[:, ::-1]), axis=-1)
    return {
        "gray.jpg": encoded(image.convert("L"), "JPEG"),
        "rgb.jpg": encoded(image, "JPEG", exif=exif, comment="a comment", dpi=(300, 300)),
        "progressive.jpg": encoded(image, "JPEG", progressive=True, icc_profile=b"none"),
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG"),
        "rgb.png": encoded(image, exif=exif, pnginfo=text, dpi=(300, 300)),
        "rgba.png": encoded(clear),
        "bits.png": encoded(image.convert("1")),
        "palette.png": encoded(image.quantize(16), transparency=b"\x00\x80\xff"),
        "gray16.png": encoded(Image.fromarray(deep)),
        "animated.png": encoded_frames(moving(), "PNG", duration=70, loop=2),
        "lossy.webp": encoded(image, "WEBP", exif=exif),
        "lossless.webp": encoded(clear, "WEBP", lossless=True),
        "animated.webp": encoded_frames(moving("RGBA"), "WEBP", duration=70, loop=2),
        "raw.tif": encoded(image, "TIFF", exif=exif, dpi=(300, 300)),
        "deflate.tif": encoded(clear, "TIFF", compression="tiff_adobe_deflate"),
        "lzw.tif": encoded(image.convert("L"), "TIFF", compression="tiff_lzw"),
        "jpeg.tif": encoded(image, "TIFF", compression="jpeg"),
        "fax.tif": encoded(image.convert("1"), "TIFF", compression="group4"),
        "cmyk.tif": encoded(image.convert("CMYK"), "TIFF"),
        "gray16.tif": tiff_bytes(deep, byteorder=">", photometric="minisblack"),
        "float.tif": tiff_bytes(deep.astype(np.float32), photometric="minisblack"),
        "rgb16.tif": tiff_bytes(deep_colors, photometric="rgb", compression="zlib"),
        "tiled.tif": tiff_bytes(np.tile(deep, (2, 2)), photometric="minisblack", tile=(16, 16)),
        "pages.tif": encoded_frames([image, clear, image.convert("L")], "TIFF"),
        "still.gif": encoded(image.quantize(16), "GIF", transparency=3),
        "animated.gif": encoded_frames(moving(), "GIF", duration=70, loop=2),
        "rgb.bmp": encoded(image, "BMP"),
        "palette.bmp": encoded(image.quantize(16), "BMP"),
        "rgb.ppm": encoded(image, "PPM"),
        "plain.pgm": b"P2 3 2 255 0 50 100 150 200 250",
        "deep.pgm": encoded(Image.fromarray(deep), "PPM"),
        "rgb.avif": encoded(image, "AVIF", exif=exif),
        "animated.avif": encoded_frames(moving("RGBA"), "AVIF", duration=70),
        "rgb.heic": heic_bytes(clear, exif=exif),
    }
