"""PNG and TIFF files that Pillow does not write: 16 bits a channel, EXIF in TIFF, and in strips."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin, TiffTags

from ..strips import Strips
from .metadata import as_written

STRIP_FORMATS = ("PNG", "TIFF")

# What zlib looks for in PNG: bytes that repeat at once, as differences of pixels do. A fifth of the
# time of its default, and photographs become 2 % larger.
PNG_STRATEGY = zlib.Z_RLE

# Of zlib. Three times as fast as its default, 6, and photographs become 8 % larger.
_TIFF_LEVEL = 3

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_COLOR_TYPES = {3: 2, 4: 6}  # RGB, RGBA
_FILTER_UP = 2  # PNG 1.2, Sec. 6.4
_PNG_ROWS = 64  # that are compressed at once
_DEFLATE = 8  # TIFF 6.0, Adobe Photoshop TIFF Technical Notes
_TIFF_STRIP = 2**24  # bytes of a strip before compression
_LARGEST_TIFF = 2**32 - 2**24  # bytes of pixels; offsets of larger files need 8 bytes
_BIG_TIFF_HEADER = b"II+\0\x08\0\0\0" + bytes(8)


def write_strips(
    strips: Strips, file: BinaryIO, picture_format: str, arguments: dict[str, Any]
) -> None:
    """Write an sRGB picture, strip by strip.

    Args:
        strips: of 8 or 16 bits a channel.
        file: open for writing. A TIFF that might pass 4 GiB is a BigTIFF.
        picture_format: one of `STRIP_FORMATS`, as Pillow names them.
        arguments: what `PIL.Image.Image.save` would take beside it: profile, EXIF, dpi, text.
    """
    # Pillow writes a picture of one pixel with all of that; its pixels are exchanged.
    model = io.BytesIO()
    mode = {3: "RGB", 4: "RGBA"}[strips.channels]
    Image.new(mode, (1, 1)).save(model, picture_format, **arguments)
    write = {"PNG": _write_png, "TIFF": _write_tiff}[picture_format]
    write(strips, model.getvalue(), file)


def _write_png(strips: Strips, model: bytes, file: BinaryIO) -> None:
    depth, color_type = 8 * strips.dtype.itemsize, _PNG_COLOR_TYPES[strips.channels]
    header = struct.pack(">IIBBBBB", *strips.size, depth, color_type, 0, 0, 0)
    file.write(_PNG_SIGNATURE)
    for kind, content in _png_chunks(model):
        if kind == b"IHDR":
            _write_chunk(file, kind, header)
        elif kind == b"IDAT":
            _write_png_pixels(file, strips)
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


def _write_png_pixels(file: BinaryIO, strips: Strips) -> None:
    """An IDAT chunk a block of rows; every row is stored as its difference from the one above."""
    compressor = zlib.compressobj(strategy=PNG_STRATEGY)
    length = strips.size[0] * strips.channels * strips.dtype.itemsize
    above = np.zeros((1, length), dtype=np.uint8)
    for block in strips.of_height(_PNG_ROWS):
        big_endian = np.ascontiguousarray(block, dtype=block.dtype.newbyteorder(">"))
        rows = big_endian.view(np.uint8).reshape(-1, length)
        filtered = rows - np.concatenate((above, rows[:-1]))  # modulo 256
        marked = np.pad(filtered, ((0, 0), (1, 0)), constant_values=_FILTER_UP)
        _write_chunk(file, b"IDAT", compressor.compress(marked.tobytes()))
        above = rows[-1:]
    _write_chunk(file, b"IDAT", compressor.flush())


def _write_tiff(strips: Strips, model: bytes, file: BinaryIO) -> None:
    width, height = strips.size
    row = width * strips.channels * strips.dtype.itemsize  # bytes
    rows = min(height, max(1, _TIFF_STRIP // row))
    tags = _tiff_tags(strips, rows, model)
    begin = file.tell()
    tags.save(file)  # for its length, which does not hang on where the strips will be
    sizes = []
    for block in strips.of_height(rows):
        little_endian = block.astype(block.dtype.newbyteorder("<"), copy=False)
        sizes.append(file.write(zlib.compress(little_endian.tobytes(), _TIFF_LEVEL)))
    end = file.tell()
    tags[TiffImagePlugin.STRIPBYTECOUNTS] = tuple(sizes)
    # From the end of the directory, which Pillow adds.
    tags[TiffImagePlugin.STRIPOFFSETS] = (0, *np.cumsum(sizes[:-1]).tolist())
    file.seek(begin)
    tags.save(file)
    file.seek(end)


def _tiff_tags(strips: Strips, rows: int, model: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The directory of strips of `rows` rows, with the other tags of `model`."""
    width, height = strips.size
    is_big = width * height * strips.channels * strips.dtype.itemsize > _LARGEST_TIFF
    with Image.open(io.BytesIO(model)) as opened:
        header = (_BIG_TIFF_HEADER,) if is_big else ()
        tags = TiffImagePlugin.ImageFileDirectory_v2(*header)
        for tag, value in opened.tag_v2.items():
            directory = tag in (34665, 34853)
            tags[tag] = opened.getexif().get_ifd(tag) if directory else as_written(value)
    tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH] = strips.size
    tags[TiffImagePlugin.BITSPERSAMPLE] = (8 * strips.dtype.itemsize,) * strips.channels
    tags[TiffImagePlugin.COMPRESSION] = _DEFLATE
    tags[TiffImagePlugin.ROWSPERSTRIP] = rows
    for tag in (TiffImagePlugin.STRIPBYTECOUNTS, TiffImagePlugin.STRIPOFFSETS):
        tags.tagtype[tag] = TiffTags.LONG8 if is_big else TiffTags.LONG
        tags[tag] = (0,) * -(-height // rows)
    return tags
