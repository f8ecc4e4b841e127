"""Effects of the reference, the magnification and the source's size on the results.

These metrics call the pipeline beyond the methods.
"""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageOps

from .methods import AUTOMATIC
from .metrics import Metric, Numbers, Row, group_by_method
from .pixels import Pixels
from .samples import Sample, remove_colors, shrink

RECOLORED = "recolored reference"

_MAGNIFICATIONS = (1.0, 2.0, 3.3)  # compared with that of the automatic method


class HueTransfer(Metric):
    """Whether the result takes the hues of a reference whose hues were rotated at random.

    The mean hue of an image is the angle of its mean (a, b) vector in CIE Lab, 0 if that vanishes.

    Args:
        pipe: a `scs-colorize-sr` pipeline.
    """

    definitions = {
        "hue_correlation": "`circular_correlation` over images of the mean hues of result and "
        "recolored reference; 1 also if all are off by one angle",
        "hue_cosine": "mean cosine of the difference of these hues; 1 for the reference's hues, "
        "-1 for opposite ones",
    }

    def __init__(self, pipe: Callable):
        self._pipe = pipe

    def compute(self, sample: Sample | None, images: dict[str, Pixels]) -> dict[str, Numbers]:
        result = self._pipe(sample.gray, reference=sample.recolored, size=sample.truth.size)
        hues = {"result": _mean_hue(result), "reference": _mean_hue(sample.recolored)}
        return {RECOLORED: hues}

    def summarize(self, images: Sequence[dict[str, Numbers]]) -> dict[str, Row]:
        hues = group_by_method(images)[RECOLORED]
        result, reference = (np.array([one[key] for one in hues]) for key in hues[0])
        row = {
            "hue_correlation": circular_correlation(result, reference),
            "hue_cosine": float(np.cos(result - reference).mean()),
        }
        return {RECOLORED: row}


def circular_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the circular correlation coefficient (Jammalamadaka and SenGupta 2001, Sec. 8.2).

    sum(sin(x - m) sin(y - n)) / sqrt(sum(sin(x - m)^2) sum(sin(y - n)^2)). For angles all around
    the circle the mean directions are random, and so would be the coefficient with them as m and n.
    So m and n are the directions that the authors give for this case: m - n is the mean direction
    of x - y, m + n that of x + y; the numerator is then (R(x - y) - R(x + y)) / 2 with R the length
    of the sum of unit vectors.

    Args:
        first: x, (N,) radians.
        second: y, (N,) radians.

    Returns:
        From -1 to 1: 1 for equal angles, or angles that differ by a constant; about 0 for unrelated
        ones; 0 if either hardly varies.
    """
    difference, total = _direction(first - second), _direction(first + second)
    x = np.sin(first - (total + difference) / 2)
    y = np.sin(second - (total - difference) / 2)
    spread = np.sqrt(np.square(x).mean() * np.square(y).mean())
    return float((x * y).mean() / spread) if spread > 1e-9 else 0.0


class Stability(Metric):
    """How much the automatic colors change where only sizes do.

    Numbers are distances sqrt(da^2 + db^2) in CIE Lab, mean over pixels and images (CIE76
    without its lightness).

    Args:
        pipe: a `scs-colorize-sr` pipeline.
    """

    definitions = {
        "shift_magnification": "distance of a and b between the results at magnifications 1, 2 and "
        "3.3 and the automatic method's, all resized to the source's size by area averages of R, "
        "G and B; mean over the three",
        "shift_source": "distance of a and b between the automatic method's result and that of a "
        "source with twice the sides, both at the truth's size",
        "shift_mirrored": "distance of a and b between the automatic method's result and the "
        "mirrored result of the mirrored source",
    }

    def __init__(self, pipe: Callable):
        self._pipe = pipe

    def compute(self, sample: Sample | None, images: dict[str, Pixels]) -> dict[str, Numbers]:
        if AUTOMATIC not in images:
            return {}
        automatic = images[AUTOMATIC]
        numbers = {
            "shift_magnification": self._across_magnifications(sample, automatic.image),
            "shift_source": _color_distance(self._from_larger_source(sample), automatic),
            "shift_mirrored": _color_distance(self._from_mirrored_source(sample), automatic),
        }
        return {AUTOMATIC: numbers}

    def _across_magnifications(self, sample: Sample, automatic: Image.Image) -> float:
        def at_source_size(image: Image.Image) -> Pixels:
            return Pixels(image.resize(sample.gray.size, Image.Resampling.BOX))

        results = (at_source_size(self._pipe(sample.gray, scale=p)) for p in _MAGNIFICATIONS)
        expected = at_source_size(automatic)
        return float(np.mean([_color_distance(result, expected) for result in results]))

    def _from_larger_source(self, sample: Sample) -> Pixels:
        width, height = sample.gray.size
        source = remove_colors(shrink(sample.truth, (2 * width, 2 * height)))
        return Pixels(self._pipe(source, size=sample.truth.size))

    def _from_mirrored_source(self, sample: Sample) -> Pixels:
        result = self._pipe(ImageOps.mirror(sample.gray), size=sample.truth.size)
        return Pixels(ImageOps.mirror(result))


def _mean_hue(image: Image.Image) -> float:
    a, b = Pixels(image).lab[1:].double().mean(dim=(1, 2)).tolist()
    return float(np.arctan2(b, a))


def _direction(angles: np.ndarray) -> float:
    return float(np.angle(np.exp(1j * angles).sum()))


def _color_distance(first: Pixels, second: Pixels) -> float:
    return (first.lab - second.lab)[1:].norm(dim=0).mean().item()
