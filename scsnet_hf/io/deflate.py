"""Deflate (RFC 1951) of what PNG and TIFF store of pixels, several parts at once."""

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

Part = TypeVar("Part")
Done = TypeVar("Done")

_WORD = 8  # bytes
_FLAT = 0.25  # share of words that repeat, from which on runs are worth the search


def deflate(data: bytes, window: int = zlib.MAX_WBITS, end: int = zlib.Z_FINISH) -> bytes:
    """Compress bytes most of which are small differences.

    A third of the time of zlib's default or less. Photographs have no strings that repeat, so
    codes of single bytes make the smallest files of them; charts and margins are runs.

    Args:
        data: bytes.
        window: as in `zlib.compressobj`; negative for data without header and checksum.
        end: `zlib.Z_FINISH`, or `zlib.Z_SYNC_FLUSH` where more is to follow.
    """
    words = np.frombuffer(data, np.uint64, len(data) // _WORD)
    flat = len(words) > 1 and np.mean(words[1:] == words[:-1]) > _FLAT
    strategy = zlib.Z_RLE if flat else zlib.Z_HUFFMAN_ONLY
    compressor = zlib.compressobj(wbits=window, strategy=strategy)
    return compressor.compress(data) + compressor.flush(end)


def in_order(do: Callable[[Part], Done], parts: Iterable[Part]) -> Iterator[Done]:
    """`map(do, parts)` in as many threads as PyTorch has here, a few parts ahead of the taker."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield from map(do, parts)
        return
    with ThreadPoolExecutor(threads) as pool:
        under_way = deque()
        for part in parts:
            under_way.append(pool.submit(do, part))
            if len(under_way) > threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
