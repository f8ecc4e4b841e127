"""Damage of old photographs: blur, video grain, dust and scratches, JPEG.

Not in the paper, whose sources are clean. It is meant for the source alone, what the network sees;
labels and references stay clean, so that the network learns to mend.
"""

import io
import random
from dataclasses import dataclass, fields

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

_HIGHEST = {"jpeg_quality": 100}
_LOWEST = {"jpeg_quality": 1}


@dataclass(frozen=True)
class Degradation:
    """Damages an image at random, each way by its own chance, in the order of the fields.

    Args:
        blur: standard deviation of a Gaussian blur, smallest and largest, in pixels.
        noise: standard deviation of video grain, smallest and largest, in 8-bit levels. The grain
            of an RGB image is gray.
        defects: smallest and largest number of dust specks and scratches, light or dark.
        jpeg_quality: lowest and highest quality of JPEG, from 1 to 100.
        blur_probability: the chance of blur, from 0 to 1.
        noise_probability: the chance of video grain.
        defects_probability: the chance of dust and scratches.
        jpeg_probability: the chance of JPEG.

    Raises:
        ValueError: if a range or a chance cannot be.
    """

    blur: tuple[float, float] = (0.3, 1.5)
    noise: tuple[float, float] = (1.0, 12.0)
    defects: tuple[int, int] = (1, 8)
    jpeg_quality: tuple[int, int] = (40, 95)
    blur_probability: float = 0.5
    noise_probability: float = 0.5
    defects_probability: float = 0.2
    jpeg_probability: float = 0.5

    def __post_init__(self):
        for name, value in ((field.name, getattr(self, field.name)) for field in fields(self)):
            if name.endswith("_probability"):
                if not 0 <= value <= 1:
                    raise ValueError(f"{name} {value} must be from 0 to 1")
                continue
            lowest, highest = _LOWEST.get(name, 0), _HIGHEST.get(name, float("inf"))
            low, high = value
            if not (lowest <= low <= high <= highest and high < float("inf")):
                raise ValueError(f"{name} {value} must be {lowest} <= low <= high <= {highest}")

    def __call__(self, image: Image.Image, rng: random.Random) -> Image.Image:
        """A damaged copy of `image`, L or RGB, of the same size and mode.

        Equal states of `rng` give equal results; one number is drawn from it.

        Raises:
            ValueError: if the image has another mode.
        """
        if image.mode not in ("L", "RGB"):
            raise ValueError(f"the image's mode is {image.mode}; accepted are L and RGB")
        numbers = np.random.default_rng(rng.getrandbits(64))
        damaged = image.copy()
        if numbers.random() < self.blur_probability:
            damaged = damaged.filter(ImageFilter.GaussianBlur(numbers.uniform(*self.blur)))
        if numbers.random() < self.noise_probability:
            damaged = _with_grain(damaged, numbers.uniform(*self.noise), numbers)
        if numbers.random() < self.defects_probability:
            for _ in range(numbers.integers(*self.defects, endpoint=True)):
                damaged = _with_defect(damaged, numbers)
        if numbers.random() < self.jpeg_probability:
            quality = numbers.integers(*self.jpeg_quality, endpoint=True)
            damaged = _compressed(damaged, int(quality))
        return damaged


def _with_grain(image: Image.Image, sigma: float, numbers: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32)
    grain = numbers.normal(0, sigma, pixels.shape[:2]).astype(np.float32)
    noisy = pixels + grain.reshape(grain.shape + (1,) * (pixels.ndim - 2))
    return Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))


def _with_defect(image: Image.Image, numbers: np.random.Generator) -> Image.Image:
    """One speck or one scratch more, of a random tone, soft at its border."""
    opacity = Image.new("L", image.size)
    draw = ImageDraw.Draw(opacity)
    x, y = (numbers.uniform(0, side) for side in image.size)
    strength = int(numbers.integers(100, 255))
    side = max(image.size)
    if numbers.random() < 0.5:
        width, height = numbers.uniform(0.5, 1 + 0.01 * side, 2)
        draw.ellipse((x - width, y - height, x + width, y + height), fill=strength)
    else:  # scratches run along the video, nearly straight
        length, slant = numbers.uniform(0.1, 1) * side, numbers.uniform(-0.05, 0.05)
        draw.line((x, y, x + slant * length, y + length), fill=strength, width=1 + side // 512)
    opacity = opacity.filter(ImageFilter.GaussianBlur(0.5))
    tone = int(numbers.choice([numbers.integers(0, 40), numbers.integers(215, 256)]))
    damaged = image.copy()
    damaged.paste(tone if image.mode == "L" else (tone,) * 3, mask=opacity)
    return damaged


def _compressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    with Image.open(buffer) as compressed:
        return compressed.convert(image.mode)
