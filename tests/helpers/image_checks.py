"""Checks shared by the tests of image files."""

import io

import numpy as np
import pytest
from PIL import Image

from scsnet_hf.image_io import ImageError, load_image


def encoded(image: Image.Image, image_format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def assert_same(actual: Image.Image, expected: Image.Image) -> None:
    assert actual.mode == expected.mode
    assert np.array_equal(pixels(actual), pixels(expected))


def refusal(source) -> str:
    """The message with which `source` is refused: one line."""
    with pytest.raises(ImageError) as caught:
        load_image(source)
    message = str(caught.value)
    assert "\n" not in message
    return message
