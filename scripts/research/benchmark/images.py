"""Synthetic images to measure with."""

import numpy as np
from PIL import Image

_CELL = 8  # pixels between random levels


def smooth_gray(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Make an image of (width, height), mode L: random levels, enlarged bicubically."""
    width, height = size
    shape = (-(-height // _CELL), -(-width // _CELL))
    levels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(levels).resize((width, height), Image.Resampling.BICUBIC)
