"""PNG (W3C Recommendation, 2003) in strips, filtered by NumPy and compressed in threads."""

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from ..tiling import Strips
from .deflate import deflate, map_in_threads

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {3: 2, 4: 6}  # RGB, RGBA
_FILTER_PAETH = 4
_BLOCK = 2**17  # bytes filtered and compressed at once, which stay in the cache
_ZLIB_HEADER = b"\x78\x01"
_LAST_BLOCK = b"\x03\x00"  # of deflate, empty


class _Block(NamedTuple):
    rows: np.ndarray  # (h, bytes) uint8
    above: np.ndarray  # (1, bytes), the row before the first; zeros at the top
    pixel: int  # bytes per pixel


class _Compressed(NamedTuple):
    filtered: bytes
    deflated: bytes


def write_png(strips: Strips, template: bytes, file: BinaryIO) -> None:
    """Write an image as PNG.

    Args:
        strips: the image, RGB or RGBA, 8 or 16 bits a channel.
        template: a PNG of one pixel in the same mode; everything in it but its size and pixels is
            copied.
        file: open for writing.
    """
    depth, color_type = 8 * strips.dtype.itemsize, _COLOR_TYPES[strips.channels]
    header = struct.pack(">IIBBBBB", *strips.size, depth, color_type, 0, 0, 0)
    file.write(_SIGNATURE)
    for kind, content in _chunks(template):
        if kind == b"IHDR":
            _write_chunk(file, kind, header)
        elif kind == b"IDAT":
            _write_pixels(file, strips)
        else:
            _write_chunk(file, kind, content)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(_SIGNATURE)
    while position < len(png):
        length, kind = struct.unpack(">I4s", png[position : position + 8])
        yield kind, png[position + 8 : position + 8 + length]
        position += length + 12


def _write_chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + kind)
    file.write(content)
    file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))


def _write_pixels(file: BinaryIO, strips: Strips) -> None:
    """Write one zlib stream, with an IDAT chunk for every block of rows."""
    _write_chunk(file, b"IDAT", _ZLIB_HEADER)
    checksum = zlib.adler32(b"")
    for filtered, deflated in map_in_threads(_compress, _blocks(strips)):
        checksum = zlib.adler32(filtered, checksum)
        _write_chunk(file, b"IDAT", deflated)
    _write_chunk(file, b"IDAT", _LAST_BLOCK + struct.pack(">I", checksum))


def _blocks(strips: Strips) -> Iterator[_Block]:
    pixel = strips.channels * strips.dtype.itemsize
    length = strips.size[0] * pixel
    above = np.zeros((1, length), dtype=np.uint8)
    for levels in strips.with_height(max(1, _BLOCK // length)):
        big_endian = np.ascontiguousarray(levels, dtype=levels.dtype.newbyteorder(">"))
        rows = big_endian.view(np.uint8).reshape(-1, length)
        yield _Block(rows, above, pixel)
        above = rows[-1:]


def _compress(block: _Block) -> _Compressed:
    marked = np.pad(_filter_paeth(block), ((0, 0), (1, 0)), constant_values=_FILTER_PAETH)
    filtered = marked.tobytes()
    return _Compressed(filtered, deflate(filtered, -zlib.MAX_WBITS, zlib.Z_SYNC_FLUSH))


def _filter_paeth(block: _Block) -> np.ndarray:
    """Return the residuals of Paeth's predictor (Sec. 9.4), (h, bytes) uint8.

    The predictor is whichever of left, above and upper left is nearest to left + above - upper
    left. That follows from where upper left is between the lower and the higher of the other two,
    so everything fits into 8 bits without branches, which is five times as fast.
    """
    rows, pixel = block.rows, block.pixel
    above = np.concatenate((block.above, rows[:-1]))
    left, corner = np.zeros_like(rows), np.zeros_like(rows)
    left[:, pixel:], corner[:, pixel:] = rows[:, :-pixel], above[:, :-pixel]
    low, high = np.minimum(left, above), np.maximum(left, above)
    corner = np.minimum(np.maximum(corner, low), high)
    to_low, to_high = corner - low, high - corner
    nearer, farther = np.minimum(to_low, to_high), np.maximum(to_low, to_high)
    expected = _choose(to_high <= to_low, low, high)
    return rows - _choose(farther - nearer < nearer, corner, expected)


def _choose(condition: np.ndarray, yes: np.ndarray, no: np.ndarray) -> np.ndarray:
    """`np.where` for bytes, five times as fast."""
    return no ^ ((no ^ yes) & -condition.view(np.uint8))
