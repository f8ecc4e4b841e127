"""TIFF (Adobe, Revision 6.0, 1992) in strips, and BigTIFF where 4 GiB do not suffice."""

import io
from typing import BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin, TiffTags

from ..tiling import Strips
from .deflate import deflate, map_in_threads
from .metadata import as_written

_DEFLATE = 8  # Adobe Photoshop TIFF Technical Notes, 2002
_HORIZONTAL_DIFFERENCING = 2  # Sec. 14
_PREDICTOR = 317
_STRIP = 2**20  # bytes before compression
_LARGEST_CLASSIC = 2**32 - 2**24  # bytes of pixels; offsets of larger files need 8 bytes
_BIG_HEADER = b"II+\0\x08\0\0\0" + bytes(8)
_DIRECTORIES = (34665, 34853)  # EXIF and GPS


def write_tiff(strips: Strips, template: bytes, file: BinaryIO) -> None:
    """Write an image as TIFF, or as BigTIFF if it could exceed 4 GiB.

    Args:
        strips: the image, RGB or RGBA, 8 or 16 bits a channel.
        template: a TIFF of one pixel in the same mode; its tags are copied, except those of how
            pixels are stored.
        file: open for writing.
    """
    width, height = strips.size
    row = width * strips.channels * strips.dtype.itemsize  # bytes
    rows = min(height, max(1, _STRIP // row))
    tags = _tags(strips, rows, template)
    begin = file.tell()
    tags.save(file)  # for its length, which does not depend on the offsets of strips
    sizes = [file.write(strip) for strip in map_in_threads(_compress, strips.with_height(rows))]
    end = file.tell()
    tags[TiffImagePlugin.STRIPBYTECOUNTS] = tuple(sizes)
    # From the end of the directory, which Pillow adds.
    tags[TiffImagePlugin.STRIPOFFSETS] = (0, *np.cumsum(sizes[:-1]).tolist())
    file.seek(begin)
    tags.save(file)
    file.seek(end)


def _compress(levels: np.ndarray) -> bytes:
    """Compress rows (h, width, channels)."""
    differences = np.diff(levels, axis=1, prepend=levels.dtype.type(0))  # modulo 2^8 or 2^16
    return deflate(differences.astype(levels.dtype.newbyteorder("<"), copy=False).tobytes())


def _tags(strips: Strips, rows: int, template: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The directory for strips of `rows` rows, with the other tags of `template`."""
    width, height = strips.size
    is_big = width * height * strips.channels * strips.dtype.itemsize > _LARGEST_CLASSIC
    with Image.open(io.BytesIO(template)) as opened:
        header = (_BIG_HEADER,) if is_big else ()
        tags = TiffImagePlugin.ImageFileDirectory_v2(*header)
        for tag, value in opened.tag_v2.items():
            is_directory = tag in _DIRECTORIES
            tags[tag] = opened.getexif().get_ifd(tag) if is_directory else as_written(value)
    tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH] = strips.size
    tags[TiffImagePlugin.BITSPERSAMPLE] = (8 * strips.dtype.itemsize,) * strips.channels
    tags[TiffImagePlugin.COMPRESSION] = _DEFLATE
    tags[_PREDICTOR] = _HORIZONTAL_DIFFERENCING
    tags[TiffImagePlugin.ROWSPERSTRIP] = rows
    for tag in (TiffImagePlugin.STRIPBYTECOUNTS, TiffImagePlugin.STRIPOFFSETS):
        tags.tagtype[tag] = TiffTags.LONG8 if is_big else TiffTags.LONG
        tags[tag] = (0,) * -(-height // rows)
    return tags
