"""Images that are made from top to bottom."""

import numpy as np
import pytest
from PIL import Image

from scsnet_hf.tiling import Strips


def levels(height: int, width: int, channels: int = 3, dtype=np.uint8) -> np.ndarray:
    white = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, white, (height, width, channels), dtype=dtype)


def in_strips(image: np.ndarray, heights: list[int]) -> Strips:
    """An image cut at the heights' sums."""
    height, width, channels = image.shape
    cuts = np.cumsum(heights)[:-1]
    return Strips((width, height), channels, image.dtype, iter(np.split(image, cuts)))


@pytest.mark.parametrize("channels", [3, 4])
def test_strips_become_the_image(channels):
    image = levels(20, 7, channels)
    result = in_strips(image, [1, 12, 7]).to_image()
    assert isinstance(result, Image.Image)
    assert np.array_equal(np.asarray(result), image)


def test_strips_of_16_bits_become_an_array():
    image = levels(20, 7, dtype=np.uint16)
    result = in_strips(image, [15, 5]).to_image()
    assert result.dtype == np.uint16
    assert np.array_equal(result, image)


@pytest.mark.parametrize("heights", [[20], [1] * 20, [3, 9, 1, 7], [19, 1]])
@pytest.mark.parametrize("rows", [1, 4, 5, 20, 64])
def test_strips_of_a_height_have_it_but_for_the_last(heights, rows):
    image = levels(20, 7)
    parts = list(in_strips(image, heights).with_height(rows))
    assert np.array_equal(np.concatenate(parts), image)
    assert all(len(part) == rows for part in parts[:-1])
    assert 1 <= len(parts[-1]) <= rows


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_image_that_is_there(mode):
    image = Image.fromarray(levels(9, 5, len(mode)))
    strips = Strips.from_image(image)
    assert (strips.size, strips.channels, strips.dtype) == ((5, 9), len(mode), np.uint8)
    assert strips.pixels == 45
    assert np.array_equal(np.asarray(strips.to_image()), np.asarray(image))
