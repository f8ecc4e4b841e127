"""Which images metrics accept, and which channels they compare."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from ..image_io import ImageSource, load_image

COLORS = ("rgb", "y")

_LUMA = np.array((65.481, 128.553, 24.966)) / 255  # of R, G and B from 0 to 255: BT.601, 16 to 235
_LUMA_OF_BLACK = 16.0


def to_rgb(image: ImageSource) -> np.ndarray:
    """Convert an 8-bit image to sRGB.

    Args:
        image: a path, URL, bytes, PIL image, array (H, W) or (H, W, 3) or tensor (H, W) or (3, H,
            W). Arrays and tensors are uint8; gray images get three equal channels.

    Returns:
        sRGB (H, W, 3), uint8.

    Raises:
        ValueError: if it cannot be read, is not of 8 bits or has transparency.
    """
    if isinstance(image, np.ndarray | torch.Tensor) and not str(image.dtype).endswith("uint8"):
        raise ValueError(f"pixels are {image.dtype}; accepted are uint8, from 0 to 255")
    loaded = load_image(image)
    if loaded.mode not in ("L", "RGB"):
        raise ValueError(f"has transparency ({loaded.mode}); accepted are gray and RGB")
    return np.asarray(loaded.convert("RGB"))


def iterate_rgb(images: Iterable[ImageSource], name: str) -> Iterator[np.ndarray]:
    """Convert several images by `to_rgb`; messages say which of them is wrong.

    Args:
        images: a list or another iterable, or an array (N, H, W, 3) or tensor (N, 3, H, W).
        name: what messages call them.

    Yields:
        sRGB (H, W, 3), uint8.

    Raises:
        ValueError: if an image cannot be converted, or `images` is a single image.
    """
    if isinstance(images, np.ndarray | torch.Tensor):
        single = images.ndim != 4
    else:
        single = isinstance(images, str | bytes) or not isinstance(images, Iterable)
    if single:
        raise ValueError(
            f"{name} must be several images: a list or another iterable, an array (N, H, W, 3) or "
            "a tensor (N, 3, H, W); put a single image into a list"
        )
    for index, image in enumerate(images):
        try:
            yield to_rgb(image)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{name}[{index}]: {error}") from None


def select_channels(rgb: np.ndarray, color: str = "rgb", border: int = 0) -> np.ndarray:
    """Return the channels of an image that are compared.

    Args:
        rgb: sRGB (H, W, 3), uint8.
        color: "rgb" for all three channels; "y" for luma as in papers on super-resolution: BT.601
            in studio range, from 16 for black to 235 for white, not rounded.
        border: pixels that are cropped at each side; papers often use the magnification.

    Returns:
        Channels (H - 2 border, W - 2 border, 3 or 1), float64, 0 to 255.

    Raises:
        ValueError: if `color` is not one of these, or `border` is negative or leaves nothing.
    """
    if color not in COLORS:
        raise ValueError(f"color is {color!r}; accepted are {' and '.join(map(repr, COLORS))}")
    height, width = rgb.shape[:2]
    largest = (min(height, width) - 1) // 2
    if not 0 <= border <= largest:
        raise ValueError(
            f"border is {border}; accepted is 0 to {largest} for an image of {width}x{height}"
        )
    pixels = rgb[border : height - border, border : width - border].astype(np.float64)
    return pixels if color == "rgb" else (pixels @ _LUMA + _LUMA_OF_BLACK)[..., None]
