"""One training sample from one photograph: `PairMaker`."""

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .degradation import Degradation


@dataclass(frozen=True)
class PairMaker:
    """Makes one training sample from one photograph.

    A random square view of the image is resized to the high resolution round(source_size p), and
    from that to the source, both by Pillow's antialiased bicubic kernel and over exactly the same
    region. The magnification p is drawn for each sample, and lowered where the view has too few
    pixels. The labels are a random window of the high resolution, so that samples of different p
    fit into one batch.

    Args:
        source_size: side of the low-resolution source in pixels.
        label_size: side of the label window in pixels, at most that of the smallest output.
        reference_size: side of the reference in pixels.
        scale_range: smallest and largest p; the smallest is at least 1.
        view_range: smallest and largest side of the view, as a share of the image's short side.
        mirror: mirror half of the views; not in the paper.
        enlarge: also take images with too few pixels, enlarged. At the paper's 512 pixels most
            of ImageNet is too small.
        degradation: applied to the lightness of the source; None (the paper) for none.
        other_view_probability: probability that the reference shows another view of the same
            image; not in the paper.
        other_reference_probability: probability that the reference shows another image; not in
            the paper. `training_stream` makes the exchange.

    Raises:
        ValueError: if a range or a probability is impossible.

    Example:
        >>> make_pair = PairMaker(source_size=64, label_size=64, reference_size=64)
        >>> make_pair(Image.open("photo.jpg").convert("RGB"), random.Random(0))["source"].shape
        (3, 64, 64)
    """

    source_size: int = 128
    label_size: int = 128
    reference_size: int = 128
    scale_range: tuple[float, float] = (1.0, 4.0)
    view_range: tuple[float, float] = (0.5, 1.0)
    mirror: bool = True
    enlarge: bool = False
    degradation: Degradation | None = None
    other_view_probability: float = 0.0
    other_reference_probability: float = 0.0

    def __post_init__(self):
        if not 1 <= self.scale_range[0] <= self.scale_range[1] < float("inf"):
            raise ValueError(f"scale_range {self.scale_range} must be 1 <= low <= high")
        if not 0 < self.view_range[0] <= self.view_range[1] <= 1:
            raise ValueError(f"view_range {self.view_range} must be 0 < low <= high <= 1")
        if not 1 <= self.label_size <= self.smallest_output:
            raise ValueError(
                f"label_size {self.label_size} must be from 1 to {self.smallest_output}, "
                "source_size times the smallest scale"
            )
        if self.reference_size < 1:
            raise ValueError(f"reference_size {self.reference_size} must be at least 1")
        for name in ("other_view_probability", "other_reference_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)} must be from 0 to 1")

    @property
    def smallest_output(self) -> int:
        """Side of the smallest high resolution in pixels."""
        return round(self.source_size * self.scale_range[0])

    def __call__(self, image: Image.Image, rng: random.Random) -> dict[str, np.ndarray]:
        """Make a sample.

        Args:
            image: mode RGB, of any size.
            rng: source of the randomness.

        Returns:
            `source`, `labels`, `reference`: uint8 sRGB (3, side, side); `output_size`: int64 (2,),
            height and width of the whole output in pixels; `output_start`: int64 (2,), row and
            column of the labels in it; `own_reference`: bool, whether the reference shows this
            image; `seed`: int64, seed of what the trainer draws for this sample.

        Raises:
            ValueError: if the image's short side is below source_size * scale_range[0] and
                images are not enlarged.
        """
        short = min(image.size)
        if short < self.smallest_output and not self.enlarge:
            raise ValueError(
                f"{image.width}x{image.height} is too small: "
                f"training at these settings needs a short side of {self.smallest_output} pixels"
            )
        region = self._view(image, rng)
        high = round(self.source_size * rng.uniform(*self.scale_range))
        if not self.enlarge:
            high = min(region[2] - region[0], high)
        target = image.resize((high, high), Image.Resampling.BICUBIC, box=region)
        if self.mirror and rng.random() < 0.5:
            target = target.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        row, column = (rng.randint(0, high - self.label_size) for _ in range(2))
        labels = target.crop((column, row, column + self.label_size, row + self.label_size))
        source = _square(target, self.source_size)
        if self.degradation is not None:
            # The color readout learns from the source's colors, so these stay clean.
            lightness, *colors = source.convert("YCbCr").split()
            lightness = self.degradation(lightness, rng)
            source = Image.merge("YCbCr", (lightness, *colors)).convert("RGB")
        reference = target
        if rng.random() < self.other_view_probability:
            reference = image.crop(self._view(image, rng))
        return {
            "source": _channels_first(source),
            "labels": _channels_first(labels),
            "reference": _channels_first(_square(reference, self.reference_size)),
            "output_size": np.array([high, high]),
            "output_start": np.array([row, column]),
            "own_reference": np.array(True),
            "seed": np.array(rng.getrandbits(62)),
        }

    def _view(self, image: Image.Image, rng: random.Random) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of a random square of the image."""
        short = min(image.size)
        wanted = max(self.smallest_output, round(short * rng.uniform(*self.view_range)))
        view = min(short, wanted)
        left, top = (rng.randint(0, side - view) for side in image.size)
        return left, top, left + view, top + view


def _square(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BICUBIC)


def _channels_first(image: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
