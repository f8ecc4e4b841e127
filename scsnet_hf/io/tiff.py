"""TIFF (Adobe, Revision 6.0, 1992), strip by strip, and BigTIFF where 4 GiB do not suffice."""

import io
from typing import BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin, TiffTags

from ..tiling import Strips
from .deflate import deflate, in_order
from .metadata import as_written

_DEFLATE = 8  # Adobe Photoshop TIFF Technical Notes, 2002
_DIFFERENCES = 2  # Sec. 14: of every pixel from the one to its left
_PREDICTOR = 317
_STRIP = 2**20  # bytes before compression
_LARGEST = 2**32 - 2**24  # bytes of pixels; offsets of larger files need 8 bytes
_BIG_HEADER = b"II+\0\x08\0\0\0" + bytes(8)
_DIRECTORIES = (34665, 34853)  # of EXIF and GPS


def write_tiff(strips: Strips, model: bytes, file: BinaryIO) -> None:
    """Write an image.

    Args:
        strips: RGB or RGBA of 8 or 16 bits a channel.
        model: a TIFF of one pixel in the same mode; all that it tells beside pixels and how they
            are stored is told of this one too.
        file: open for writing. Becomes a BigTIFF where it might pass 4 GiB.
    """
    width, height = strips.size
    row = width * strips.channels * strips.dtype.itemsize  # bytes
    rows = min(height, max(1, _STRIP // row))
    tags = _tags(strips, rows, model)
    begin = file.tell()
    tags.save(file)  # for its length, which does not hang on where the strips will be
    sizes = [file.write(strip) for strip in in_order(_compressed, strips.with_height(rows))]
    end = file.tell()
    tags[TiffImagePlugin.STRIPBYTECOUNTS] = tuple(sizes)
    # From the end of the directory, which Pillow adds.
    tags[TiffImagePlugin.STRIPOFFSETS] = (0, *np.cumsum(sizes[:-1]).tolist())
    file.seek(begin)
    tags.save(file)
    file.seek(end)


def _compressed(levels: np.ndarray) -> bytes:
    """Rows (h, width, channels) as TIFF stores them."""
    differences = np.diff(levels, axis=1, prepend=levels.dtype.type(0))  # modulo 2^8 or 2^16
    return deflate(differences.astype(levels.dtype.newbyteorder("<"), copy=False).tobytes())


def _tags(strips: Strips, rows: int, model: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The directory of strips of `rows` rows, with the other tags of `model`."""
    width, height = strips.size
    is_big = width * height * strips.channels * strips.dtype.itemsize > _LARGEST
    with Image.open(io.BytesIO(model)) as opened:
        header = (_BIG_HEADER,) if is_big else ()
        tags = TiffImagePlugin.ImageFileDirectory_v2(*header)
        for tag, value in opened.tag_v2.items():
            is_directory = tag in _DIRECTORIES
            tags[tag] = opened.getexif().get_ifd(tag) if is_directory else as_written(value)
    tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH] = strips.size
    tags[TiffImagePlugin.BITSPERSAMPLE] = (8 * strips.dtype.itemsize,) * strips.channels
    tags[TiffImagePlugin.COMPRESSION] = _DEFLATE
    tags[_PREDICTOR] = _DIFFERENCES
    tags[TiffImagePlugin.ROWSPERSTRIP] = rows
    for tag in (TiffImagePlugin.STRIPBYTECOUNTS, TiffImagePlugin.STRIPOFFSETS):
        tags.tagtype[tag] = TiffTags.LONG8 if is_big else TiffTags.LONG
        tags[tag] = (0,) * -(-height // rows)
    return tags
