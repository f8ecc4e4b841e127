"""How results change with the reference, the magnification and the source's size.

These measures run the pipeline beyond the methods; see `measures.Measure` for what they answer.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from .measures import Means, Row
from .methods import AUTOMATIC
from .pixels import Pixels
from .samples import Sample, shrink, without_colors

_MAGNIFICATIONS = (1.0, 2.0, 3.3)  # compared with that of the automatic method


class HueFollowing:
    """Whether the result takes the hues of a reference whose hues were turned at random.

    A picture's mean hue is the angle of its mean (a, b) vector in CIE Lab, 0 if that vanishes. Over
    pictures, between mean hue of the result and mean hue of the recolored reference:

    - `hue_correlation`: `circular_correlation`; 1 also if all hues are off by one angle.
    - `hue_cosine`: mean cosine of the difference; 1 for the reference's hues, -1 for opposite ones.

    Args:
        pipe: a `scs-colorize-sr` pipeline.
    """

    def __init__(self, pipe: Callable):
        self._pipe = pipe
        self._hues: list[tuple[float, float]] = []  # of result and reference

    def add(self, sample: Sample, outcomes: dict[str, Pixels]) -> None:
        """See `Measure`."""
        result = self._pipe(sample.gray, reference=sample.recolored, size=sample.truth.size)
        self._hues.append((_mean_hue(result), _mean_hue(sample.recolored)))

    def rows(self) -> dict[str, Row]:
        """See `Measure`."""
        result, reference = np.array(self._hues).T
        row = {
            "hue_correlation": circular_correlation(result, reference),
            "hue_cosine": float(np.cos(result - reference).mean()),
        }
        return {"recolored reference": row}


def circular_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Circular correlation coefficient of Jammalamadaka and SenGupta (2001), Sec. 8.2.

    sum(sin(x - m) sin(y - n)) / sqrt(sum(sin(x - m)^2) sum(sin(y - n)^2)). For angles all around
    the circle the mean directions are chance, and with them as m and n the coefficient would be.
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


class Stability:
    """How much the automatic colours change where only sizes do.

    Numbers are distances sqrt(da^2 + db^2) in CIE Lab, mean over pixels and pictures (CIE76
    without its lightness):

    - `shift_magnification`: between the results at magnifications 1, 2 and 3.3 and the automatic
      method's, at 4 unless another was asked for; mean over these three pairs. Results are brought
      to the source's size by area averages of R, G and B.
    - `shift_source`: between the automatic method's result and that of a source with twice the
      sides (256 px for 128 px), both at the truth's size.

    Args:
        pipe: a `scs-colorize-sr` pipeline.
    """

    def __init__(self, pipe: Callable):
        self._pipe = pipe
        self._means = Means()

    def add(self, sample: Sample, outcomes: dict[str, Pixels]) -> None:
        """See `Measure`."""
        automatic = outcomes[AUTOMATIC]
        row = {
            "shift_magnification": self._across_magnifications(sample, automatic.picture),
            "shift_source": _shift(self._from_larger_source(sample), automatic),
        }
        self._means.add(AUTOMATIC, row)

    def rows(self) -> dict[str, Row]:
        """See `Measure`."""
        return self._means.rows()

    def _across_magnifications(self, sample: Sample, automatic: Image.Image) -> float:
        def at_source_size(picture: Image.Image) -> Pixels:
            return Pixels(picture.resize(sample.gray.size, Image.Resampling.BOX))

        results = (at_source_size(self._pipe(sample.gray, scale=p)) for p in _MAGNIFICATIONS)
        expected = at_source_size(automatic)
        return float(np.mean([_shift(result, expected) for result in results]))

    def _from_larger_source(self, sample: Sample) -> Pixels:
        width, height = sample.gray.size
        source = without_colors(shrink(sample.truth, (2 * width, 2 * height)))
        return Pixels(self._pipe(source, size=sample.truth.size))


def _mean_hue(picture: Image.Image) -> float:
    a, b = Pixels(picture).lab[1:].double().mean(dim=(1, 2)).tolist()
    return float(np.arctan2(b, a))


def _direction(angles: np.ndarray) -> float:
    return float(np.angle(np.exp(1j * angles).sum()))


def _shift(first: Pixels, second: Pixels) -> float:
    return (first.lab - second.lab)[1:].norm(dim=0).mean().item()
