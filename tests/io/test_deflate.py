"""Compression of pixels' differences, several parts at once."""

import threading
import zlib

import numpy as np
import pytest
import torch

from scsnet_hf.io.deflate import deflate, map_in_threads

NOISE = np.random.default_rng(0).normal(0, 3, 50_000).astype(np.int8).tobytes()


@pytest.fixture(params=[1, 3])
def threads(request):
    """How many PyTorch has."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "data", [b"", b"a", b"seven b", b"exactly8", bytes(100_000), NOISE, bytes(99) + NOISE[:101]]
)
def test_zlib_reads_what_was_compressed(data):
    assert zlib.decompress(deflate(data)) == data


def test_parts_without_header_follow_each_other():
    parts = [NOISE, bytes(1000), b"end"]
    flushed = [deflate(part, -zlib.MAX_WBITS, zlib.Z_SYNC_FLUSH) for part in parts]
    reader = zlib.decompressobj(-zlib.MAX_WBITS)
    assert reader.decompress(b"".join(flushed)) == b"".join(parts)


def test_small_differences_become_no_larger_than_by_zlib_s_default():
    assert len(deflate(NOISE)) < 1.01 * len(zlib.compress(NOISE))


@pytest.mark.parametrize("run", [bytes(100_000), b"\x07" * 100_000])
def test_runs_nearly_vanish(run):
    assert len(deflate(run)) < 1000


def test_order_is_that_of_the_parts(threads):
    assert list(map_in_threads(lambda part: -part, range(50))) == [-part for part in range(50)]
    assert list(map_in_threads(abs, [])) == []


def test_several_parts_are_under_way_at_once(threads):
    together = threading.Barrier(threads)  # passed only by as many at a time
    assert (
        list(map_in_threads(lambda part: together.wait(10) >= 0, range(threads)))
        == [True] * threads
    )


def test_no_more_than_a_few_parts_are_taken_ahead(threads):
    taken = 0

    def parts():
        nonlocal taken
        for part in range(50):
            taken += 1
            yield part

    for done in map_in_threads(abs, parts()):
        assert taken - done <= threads + 1


def test_error_of_a_part_is_raised(threads):
    with pytest.raises(ZeroDivisionError):
        list(map_in_threads(lambda part: 1 / part, [1, 2, 0, 3]))
