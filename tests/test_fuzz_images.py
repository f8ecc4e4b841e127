"""Damaged image files of every format: each is read or refused, nothing crashes or hangs.

By default a small sample. More files, with a look at the memory, by a variable of the environment:

    SCSNET_FUZZ=6000 pytest tests/test_fuzz_images.py
"""

import ctypes
import faulthandler
import gc
import logging
import os
import random
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from PIL import Image

from helpers.image_files import sample_files, with_checksums
from scsnet_hf.image_io import ImageError, load_image
from scsnet_hf.io.image_file import ImageFile

FILES = int(os.environ.get("SCSNET_FUZZ", "200"))
PARTS = 4
MOST_SECONDS = 60  # for one file; then the traceback of every thread is printed and all ends
MOST_GROWTH = 20 * 2**20  # bytes, from the first 500 files to the end

INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)


def flip_bits(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 3, 20))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def set_number(content: bytearray, rng: random.Random) -> None:
    """Overwrite 1, 2, 4 or 8 bytes: sizes, offsets and counts become absurd."""
    length = rng.choice((1, 2, 4, 8))
    place = rng.randrange(len(content))
    content[place : place + length] = bytes(rng.choice(INTERESTING) for _ in range(length))


def set_number_early(content: bytearray, rng: random.Random) -> None:
    """The same in the header, where it does most harm."""
    header = content[:120]
    set_number(header, rng)
    content[:120] = header


def truncate(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def remove(content: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(content))
    del content[place : place + rng.choice((1, 4, 50, 400))]


def repeat(content: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(content))
    content[place:place] = content[place : place + rng.choice((1, 4, 50, 400))]


def insert_other(content: bytearray, rng: random.Random) -> None:
    """Bytes of another file in place of as many of its own."""
    other = rng.choice(list(sample_files().values()))
    length = rng.choice((4, 50, 400))
    start, place = rng.randrange(len(other)), rng.randrange(len(content))
    content[place : place + length] = other[start : start + length]


MUTATIONS = (flip_bits, set_number, set_number_early, truncate, remove, repeat, insert_other)


def mutated(seed: int) -> tuple[str, bytes]:
    """The name of a sound file and what it becomes; the same for the same seed."""
    rng = random.Random(seed)
    name = rng.choice(sorted(sample_files()))
    content = bytearray(sample_files()[name])
    for _ in range(rng.choice((1, 1, 2, 4))):
        if content:
            rng.choice(MUTATIONS)(content, rng)
    if name.endswith(".png") and rng.random() < 0.7:
        content = with_checksums(bytes(content))
    return name, bytes(content)


def read_in_every_way(path: Path) -> int:
    """Read a file as an image and as the command does; how often that was refused."""
    refused = 0
    for read in (
        lambda: load_image(path, keep_16_bits=True),
        lambda: load_image(path.read_bytes()),
        lambda: read_file(path),
    ):
        try:
            read()
        except ImageError as error:
            assert "\n" not in str(error)
            refused += 1
    return refused


def read_file(path: Path) -> None:
    """Read all frames and the metadata of a file."""
    with ImageFile(path, max_frames=20, keep_metadata=True) as file:
        for _ in file.frames(keep_16_bits=True):
            file.metadata.save_arguments("PNG")


def memory() -> int:
    """Bytes that the process holds, without those that are free and not yet given back."""
    gc.collect()
    with suppress(OSError, AttributeError):  # other systems have no glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return psutil.Process().memory_info().rss


@pytest.fixture(scope="module")
def first_memory() -> list[int]:
    """Bytes that the process held once every decoder had been used."""
    return []


@pytest.fixture(autouse=True)
def little_noise(monkeypatch, caplog):
    """Few pixels, and no records of what Pillow logs: large, but no leaks."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4 * 10**6)
    caplog.set_level(logging.CRITICAL, logger="PIL")


@pytest.mark.filterwarnings("ignore")  # of Pillow, about what it repairs
@pytest.mark.parametrize("part", range(PARTS))
def test_mutated_file_is_read_or_refused(tmp_path, part, first_memory):
    refused = 0
    for seed in range(part * FILES // PARTS, (part + 1) * FILES // PARTS):
        name, content = mutated(seed)
        path = tmp_path / f"{seed}-{name}"
        path.write_bytes(content)
        faulthandler.dump_traceback_later(MOST_SECONDS, exit=True)
        try:
            refused += read_in_every_way(path) > 0
        except Exception as error:
            raise AssertionError(f"seed {seed}, {name}") from error
        finally:
            faulthandler.cancel_dump_traceback_later()
        path.unlink()
        if seed == 500:
            first_memory.append(memory())
    assert refused > 0
    if first_memory:
        assert memory() < first_memory[0] + MOST_GROWTH
