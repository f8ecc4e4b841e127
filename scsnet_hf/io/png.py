"""PNG (W3C Recommendation, 2003), strip by strip: filtered in vectors, compressed in threads."""

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from ..tiling import Strips
from .deflate import deflate, in_order

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {3: 2, 4: 6}  # RGB, RGBA
_FILTER_PAETH = 4
_BLOCK = 2**17  # bytes that are filtered and compressed at once: they stay in the cache
_ZLIB_HEADER = b"\x78\x01"
_NO_MORE = b"\x03\x00"  # an empty last block of deflate


class _Block(NamedTuple):
    rows: np.ndarray  # (h, bytes) uint8
    above: np.ndarray  # (1, bytes), the row before the first; zeros at the top
    pixel: int  # bytes


class _Compressed(NamedTuple):
    filtered: bytes
    deflated: bytes


def write_png(strips: Strips, model: bytes, file: BinaryIO) -> None:
    """Write an image.

    Args:
        strips: RGB or RGBA of 8 or 16 bits a channel.
        model: a PNG of one pixel in the same mode; all that it tells beside pixels and size is
            told of this one too.
        file: open for writing.
    """
    depth, color_type = 8 * strips.dtype.itemsize, _COLOR_TYPES[strips.channels]
    header = struct.pack(">IIBBBBB", *strips.size, depth, color_type, 0, 0, 0)
    file.write(_SIGNATURE)
    for kind, content in _chunks(model):
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
    """One stream of zlib, with an IDAT chunk for every block of rows."""
    _write_chunk(file, b"IDAT", _ZLIB_HEADER)
    checksum = zlib.adler32(b"")
    for filtered, deflated in in_order(_compressed, _blocks(strips)):
        checksum = zlib.adler32(filtered, checksum)
        _write_chunk(file, b"IDAT", deflated)
    _write_chunk(file, b"IDAT", _NO_MORE + struct.pack(">I", checksum))


def _blocks(strips: Strips) -> Iterator[_Block]:
    pixel = strips.channels * strips.dtype.itemsize
    length = strips.size[0] * pixel
    above = np.zeros((1, length), dtype=np.uint8)
    for levels in strips.with_height(max(1, _BLOCK // length)):
        big_endian = np.ascontiguousarray(levels, dtype=levels.dtype.newbyteorder(">"))
        rows = big_endian.view(np.uint8).reshape(-1, length)
        yield _Block(rows, above, pixel)
        above = rows[-1:]


def _compressed(block: _Block) -> _Compressed:
    marked = np.pad(_paeth_filtered(block), ((0, 0), (1, 0)), constant_values=_FILTER_PAETH)
    filtered = marked.tobytes()
    return _Compressed(filtered, deflate(filtered, -zlib.MAX_WBITS, zlib.Z_SYNC_FLUSH))


def _paeth_filtered(block: _Block) -> np.ndarray:
    """Bytes as differences from what Paeth's predictor (Sec. 9.4) expects: (h, bytes) uint8.

    Of left, above and upper left it takes the one nearest to left + above - upper left. Which one
    that is, shows where upper left lies between the lower and the higher of the other two; so
    nothing leaves 8 bits, and nothing is chosen by branches, both of which takes five times as
    long.
    """
    rows, pixel = block.rows, block.pixel
    above = np.concatenate((block.above, rows[:-1]))
    left, corner = np.zeros_like(rows), np.zeros_like(rows)
    left[:, pixel:], corner[:, pixel:] = rows[:, :-pixel], above[:, :-pixel]
    low, high = np.minimum(left, above), np.maximum(left, above)
    corner = np.minimum(np.maximum(corner, low), high)
    to_low, to_high = corner - low, high - corner
    nearer, farther = np.minimum(to_low, to_high), np.maximum(to_low, to_high)
    expected = _chosen(to_high <= to_low, low, high)
    return rows - _chosen(farther - nearer < nearer, corner, expected)


def _chosen(condition: np.ndarray, yes: np.ndarray, no: np.ndarray) -> np.ndarray:
    """`np.where` of bytes, in a fifth of its time."""
    return no ^ ((no ^ yes) & -condition.view(np.uint8))
