"""Small picture files of every format, made on the spot."""

import io
import struct
import zlib
from functools import cache

import numpy as np
import tifffile
from conftest import make_picture
from picture_checks import encoded
from PIL import Image, PngImagePlugin
from pillow_heif import register_heif_opener

register_heif_opener()

SIZE = (29, 22)
ORIENTATION, DESCRIPTION, ARTIST = 274, 270, 315  # EXIF 2.3


def exif_block(orientation: int = 1, **tags: str) -> bytes:
    """An EXIF block with an orientation, and tags by their names in `PIL.ExifTags.Base`."""
    from PIL.ExifTags import Base

    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    for name, value in tags.items():
        exif[Base[name]] = value
    return exif.tobytes()


def tiff_bytes(array: np.ndarray, **options) -> bytes:
    """A TIFF as `tifffile` writes it: also kinds that Pillow only reads."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png_bytes(
    width: int, height: int, depth: int, color_type: int, rows: bytes, transparent: bytes = b""
) -> bytes:
    """A PNG from its rows, each after its filter byte; also kinds that Pillow only reads."""
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            png_chunk(b"tRNS", transparent) if transparent else b"",
            png_chunk(b"IDAT", zlib.compress(rows)),
            png_chunk(b"IEND", b""),
        )
    )


def deep_gray() -> np.ndarray:
    """(H, W) uint16."""
    width, height = SIZE
    return np.linspace(0, 65535, width * height).astype(np.uint16).reshape(height, width)


def moving(mode: str, frames: int = 3) -> list[Image.Image]:
    """Frames of an animation, all different."""
    return [make_picture(*SIZE, mode, seed) for seed in range(frames)]


def encoded_frames(frames: list[Image.Image], picture_format: str, **options) -> bytes:
    """All frames or pages in one file."""
    return encoded(frames[0], picture_format, save_all=True, append_images=frames[1:], **options)


@cache
def sample_files() -> dict[str, bytes]:
    """Sound files by name; every decoder of the formats is used by one of them."""
    picture = make_picture(*SIZE)
    clear = make_picture(*SIZE, "RGBA")
    clear.putalpha(make_picture(*SIZE, "L", 1))
    exif = exif_block(6, ImageDescription="a description", Artist="an artist")
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a title")
    text.add_itxt("Comment", "a comment", zip=True)
    deep = deep_gray()
    colors = np.stack((deep, deep[::-1], deep[:, ::-1]), axis=-1)
    files = {
        "gray.jpg": encoded(picture.convert("L"), "JPEG"),
        "rgb.jpg": encoded(picture, "JPEG", exif=exif, comment="a comment", dpi=(300, 300)),
        "progressive.jpg": encoded(picture, "JPEG", progressive=True, icc_profile=b"none"),
        "cmyk.jpg": encoded(picture.convert("CMYK"), "JPEG"),
        "rgb.png": encoded(picture, exif=exif, pnginfo=text, dpi=(300, 300)),
        "rgba.png": encoded(clear),
        "bits.png": encoded(picture.convert("1")),
        "palette.png": encoded(picture.quantize(16), transparency=b"\x00\x80\xff"),
        "gray16.png": encoded(Image.fromarray(deep)),
        "animated.png": encoded_frames(moving("RGB"), "PNG", duration=70, loop=2),
        "lossy.webp": encoded(picture, "WEBP", exif=exif),
        "lossless.webp": encoded(clear, "WEBP", lossless=True),
        "animated.webp": encoded_frames(moving("RGBA"), "WEBP", duration=70, loop=2),
        "raw.tif": encoded(picture, "TIFF", exif=exif, dpi=(300, 300)),
        "deflate.tif": encoded(clear, "TIFF", compression="tiff_adobe_deflate"),
        "lzw.tif": encoded(picture.convert("L"), "TIFF", compression="tiff_lzw"),
        "jpeg.tif": encoded(picture, "TIFF", compression="jpeg"),
        "fax.tif": encoded(picture.convert("1"), "TIFF", compression="group4"),
        "cmyk.tif": encoded(picture.convert("CMYK"), "TIFF"),
        "gray16.tif": tiff_bytes(deep, byteorder=">", photometric="minisblack"),
        "float.tif": tiff_bytes(deep.astype(np.float32), photometric="minisblack"),
        "rgb16.tif": tiff_bytes(colors, photometric="rgb", compression="zlib"),
        "tiled.tif": tiff_bytes(np.tile(deep, (2, 2)), photometric="minisblack", tile=(16, 16)),
        "pages.tif": encoded_frames([picture, clear, picture.convert("L")], "TIFF"),
        "still.gif": encoded(picture, "GIF", transparency=3),
        "animated.gif": encoded_frames(moving("RGB"), "GIF", duration=70, loop=2),
        "rgb.bmp": encoded(picture, "BMP"),
        "palette.bmp": encoded(picture.quantize(16), "BMP"),
        "rgb.ppm": encoded(picture, "PPM"),
        "plain.pgm": b"P2 3 2 255 " + b"0 50 100 150 200 250",
        "deep.pgm": encoded(Image.fromarray(deep), "PPM"),
        "rgb.avif": encoded(picture, "AVIF", exif=exif),
        "animated.avif": encoded_frames(moving("RGBA"), "AVIF", duration=70),
        "rgb.heic": encoded(clear, "HEIF", exif=exif),
    }
    return files
