"""What several tests of pictures in and out share."""

import io

import numpy as np
import pytest
from PIL import Image

from scsnet_hf.image_io import PictureError, load_picture


def encoded(picture: Image.Image, picture_format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, picture_format, **options)
    return buffer.getvalue()


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


def assert_same(actual: Image.Image, expected: Image.Image) -> None:
    assert actual.mode == expected.mode
    assert np.array_equal(pixels(actual), pixels(expected))


def refusal(source) -> str:
    """The message with which `source` is refused: one line."""
    with pytest.raises(PictureError) as caught:
        load_picture(source)
    message = str(caught.value)
    assert "\n" not in message
    return message
