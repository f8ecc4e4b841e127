"""PNG and TIFF files that Pillow does not write: colour of 16 bits a channel, TIFF with EXIF."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin, TiffTags

from .metadata import as_written

DEEP_FORMATS = ("PNG", "TIFF")

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_COLOR_TYPES = {3: 2, 4: 6}  # RGB, RGBA
_FILTER_UP = 2  # PNG 1.2, Sec. 6.4
_DEFLATE = 8  # TIFF 6.0, Adobe Photoshop TIFF Technical Notes


def write_deep(
    array: np.ndarray, file: BinaryIO, picture_format: str, arguments: dict[str, Any]
) -> None:
    """Write (H, W, 3 or 4) uint16 sRGB as `"PNG"` or `"TIFF"`; TIFF also takes uint8.

    Args:
        array: alpha, if any, is the last channel, not multiplied in.
        file: open for writing.
        picture_format: one of `DEEP_FORMATS`.
        arguments: what `PIL.Image.Image.save` would take beside it: profile, EXIF, dpi, text.
    """
    # Pillow writes a picture of one pixel with all of that; its pixels are exchanged.
    model = io.BytesIO()
    Image.new("RGB" if array.shape[2] == 3 else "RGBA", (1, 1)).save(
        model, picture_format, **arguments
    )
    write = {"PNG": _write_png, "TIFF": _write_tiff}[picture_format]
    write(array, model.getvalue(), file)


def _write_png(array: np.ndarray, model: bytes, file: BinaryIO) -> None:
    height, width, channels = array.shape
    header = struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOR_TYPES[channels], 0, 0, 0)
    file.write(_PNG_SIGNATURE)
    for kind, content in _png_chunks(model):
        if kind == b"IHDR":
            _write_chunk(file, kind, header)
        elif kind == b"IDAT":
            _write_png_pixels(file, array)
        else:
            _write_chunk(file, kind, content)


def _png_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(_PNG_SIGNATURE)
    while position < len(png):
        length, kind = struct.unpack(">I4s", png[position : position + 8])
        yield kind, png[position + 8 : position + 8 + length]
        position += length + 12


def _write_chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + kind + content)
    file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))


def _write_png_pixels(file: BinaryIO, array: np.ndarray) -> None:
    """One IDAT chunk a block of rows; every row is stored as its difference from the one above."""
    compressor = zlib.compressobj(6)
    above = np.zeros((1, 2 * array.shape[1] * array.shape[2]), dtype=np.uint8)
    for start in range(0, len(array), 64):
        block = np.ascontiguousarray(array[start : start + 64], dtype=">u2")
        rows = block.view(np.uint8).reshape(-1, above.shape[1])
        filtered = rows - np.concatenate((above, rows[:-1]))  # modulo 256
        marked = np.pad(filtered, ((0, 0), (1, 0)), constant_values=_FILTER_UP)
        content = compressor.compress(marked.tobytes())
        if start + 64 >= len(array):
            content += compressor.flush()
        _write_chunk(file, b"IDAT", content)
        above = rows[-1:]


def _write_tiff(array: np.ndarray, model: bytes, file: BinaryIO) -> None:
    height, width, channels = array.shape
    content = zlib.compress(array.astype(array.dtype.newbyteorder("<")).tobytes())
    with Image.open(io.BytesIO(model)) as opened:
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        for tag, value in opened.tag_v2.items():
            directory = tag in (34665, 34853)
            tags[tag] = opened.getexif().get_ifd(tag) if directory else as_written(value)
    tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH] = width, height
    tags[TiffImagePlugin.BITSPERSAMPLE] = (8 * array.itemsize,) * channels
    tags[TiffImagePlugin.COMPRESSION] = _DEFLATE
    tags[TiffImagePlugin.ROWSPERSTRIP] = height
    for tag in (TiffImagePlugin.STRIPBYTECOUNTS, TiffImagePlugin.STRIPOFFSETS):
        tags.tagtype[tag] = TiffTags.LONG
    tags[TiffImagePlugin.STRIPBYTECOUNTS] = len(content)
    tags[TiffImagePlugin.STRIPOFFSETS] = 0  # from the end of the directory, which Pillow adds
    tags.save(file)
    file.write(content)
