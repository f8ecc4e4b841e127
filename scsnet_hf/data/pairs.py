"""What one photograph becomes in training: `PairMaker`."""

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class PairMaker:
    """Makes one training sample of one photograph.

    A square view of the picture is cut out at random, reduced (never enlarged) to the high
    resolution round(source_size p), and from that to the source, both by Pillow's antialiased
    bicubic kernel. The magnification p is drawn per sample, and lowered where the view has too few
    pixels. The labels are a random window of the high resolution, so samples of different p batch.

    Args:
        source_size: side of the low-resolution source in pixels.
        label_size: side of the labels' window in pixels, at most source_size.
        reference_size: side of the reference in pixels.
        scale_range: smallest and largest p; the smallest is at least 1.
        view_range: side of the view as a share of the picture's short side.
    """

    source_size: int = 128
    label_size: int = 128
    reference_size: int = 128
    scale_range: tuple[float, float] = (1.0, 4.0)
    view_range: tuple[float, float] = (0.5, 1.0)

    def __post_init__(self):
        if not 1 <= self.scale_range[0] <= self.scale_range[1]:
            raise ValueError(f"scale_range {self.scale_range} must be 1 <= low <= high")
        if not 0 < self.view_range[0] <= self.view_range[1] <= 1:
            raise ValueError(f"view_range {self.view_range} must be 0 < low <= high <= 1")
        if not 1 <= self.label_size <= self.source_size:
            raise ValueError(
                f"label_size {self.label_size} must be from 1 to source_size {self.source_size}"
            )
        if self.reference_size < 1:
            raise ValueError(f"reference_size {self.reference_size} must be at least 1")

    def __call__(self, picture: Image.Image, rng: random.Random) -> dict[str, np.ndarray]:
        """The sample of `picture`, RGB.

        Returns:
            `source`, `labels`, `reference`: uint8 sRGB (3, side, side); `output_size`,
            `output_start`: int64 (2,), the whole output and where in it the labels lie.

        Raises:
            ValueError: if the picture's short side is below source_size * scale_range[0].
        """
        smallest = round(self.source_size * self.scale_range[0])
        if min(picture.size) < smallest:
            raise ValueError(
                f"{picture.width}x{picture.height} is too small: "
                f"training at these settings needs a short side of {smallest} pixels"
            )
        view = max(smallest, round(min(picture.size) * rng.uniform(*self.view_range)))
        left, top = (rng.randint(0, side - view) for side in picture.size)
        high = min(view, round(self.source_size * rng.uniform(*self.scale_range)))
        flip = rng.random() < 0.5
        region = (left, top, left + view, top + view)
        target = picture.resize((high, high), Image.Resampling.BICUBIC, box=region)
        if flip:
            target = target.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        start = [rng.randint(0, high - self.label_size) for _ in range(2)]
        row, column = start
        labels = target.crop((column, row, column + self.label_size, row + self.label_size))
        return {
            "source": _channels_first(_square(target, self.source_size)),
            "labels": _channels_first(labels),
            "reference": _channels_first(_square(target, self.reference_size)),
            "output_size": np.array([high, high]),
            "output_start": np.array(start),
        }


def _square(picture: Image.Image, side: int) -> Image.Image:
    return picture.resize((side, side), Image.Resampling.BICUBIC)


def _channels_first(picture: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))
