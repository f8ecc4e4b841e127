"""Degradations of old photographs: blur, film grain, dust and scratches, JPEG artifacts.

They are not in the paper, whose sources are clean. Only sources are degraded; labels and references
stay clean, so that the network learns to restore.
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
    """Degrades images at random: each kind with its own probability, in the order of the fields.

    Args:
        blur: smallest and largest standard deviation of a Gaussian blur, in pixels.
        noise: smallest and largest standard deviation of film grain, in 8-bit levels. The grain
            of an RGB image is gray.
        defects: smallest and largest number of dust specks and scratches, light or dark.
        jpeg_quality: lowest and highest JPEG quality, from 1 to 100.
        blur_probability: probability of blur, from 0 to 1.
        noise_probability: probability of film grain, from 0 to 1.
        defects_probability: probability of dust and scratches, from 0 to 1.
        jpeg_probability: probability of JPEG compression, from 0 to 1.

    Raises:
        ValueError: if a range or a probability is impossible.

    Example:
        >>> degrade = Degradation(noise=(2.0, 6.0), jpeg_probability=0.0)
        >>> degraded = degrade(Image.open("photo.jpg").convert("L"), random.Random(0))
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
        """Return a degraded copy of an image, of the same size and mode.

        Args:
            image: mode L or RGB.
            rng: source of the randomness, of which one number is drawn.

        Raises:
            ValueError: if the image has another mode.
        """
        if image.mode not in ("L", "RGB"):
            raise ValueError(f"the image has mode {image.mode}; accepted are L and RGB")
        numbers = np.random.default_rng(rng.getrandbits(64))
        degraded = image.copy()
        if numbers.random() < self.blur_probability:
            degraded = degraded.filter(ImageFilter.GaussianBlur(numbers.uniform(*self.blur)))
        if numbers.random() < self.noise_probability:
            degraded = _with_grain(degraded, numbers.uniform(*self.noise), numbers)
        if numbers.random() < self.defects_probability:
            for _ in range(numbers.integers(*self.defects, endpoint=True)):
                degraded = _with_defect(degraded, numbers)
        if numbers.random() < self.jpeg_probability:
            quality = numbers.integers(*self.jpeg_quality, endpoint=True)
            degraded = _compressed(degraded, int(quality))
        return degraded


def _with_grain(image: Image.Image, sigma: float, numbers: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32)
    grain = numbers.normal(0, sigma, pixels.shape[:2]).astype(np.float32)
    noisy = pixels + grain.reshape(grain.shape + (1,) * (pixels.ndim - 2))
    return Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))


def _with_defect(image: Image.Image, numbers: np.random.Generator) -> Image.Image:
    """Return a copy with one more speck or scratch, of a random tone and with a soft border."""
    opacity = Image.new("L", image.size)
    draw = ImageDraw.Draw(opacity)
    x, y = (numbers.uniform(0, side) for side in image.size)
    strength = int(numbers.integers(100, 255))
    side = max(image.size)
    if numbers.random() < 0.5:
        width, height = numbers.uniform(0.5, 1 + 0.01 * side, 2)
        draw.ellipse((x - width, y - height, x + width, y + height), fill=strength)
    else:  # scratches run along the film, nearly straight
        length, slant = numbers.uniform(0.1, 1) * side, numbers.uniform(-0.05, 0.05)
        draw.line((x, y, x + slant * length, y + length), fill=strength, width=1 + side // 512)
    opacity = opacity.filter(ImageFilter.GaussianBlur(0.5))
    tone = int(numbers.choice([numbers.integers(0, 40), numbers.integers(215, 256)]))
    degraded = image.copy()
    degraded.paste(tone if image.mode == "L" else (tone,) * 3, mask=opacity)
    return degraded


def _compressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    with Image.open(buffer) as compressed:
        return compressed.convert(image.mode)
