"""Numbers of results of the truth's size.

A measure is told of one picture after the other, and has rows of numbers by name at the end.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import nn

from ..color import normalize_lab
from ..colorfulness import colorfulness
from ..losses import PerceptualLoss
from ..metrics.fidelity import psnr
from ..vgg import VGG16Features
from .pixels import Pixels
from .samples import Sample

Row = dict[str, float]

TRUTH = "truth"

_COLORED = 12.0  # CIE Lab chroma from which a place is plainly coloured
_GRAY = 4.0  # and below which it is plainly not


class Measure(Protocol):
    """What `evaluate` asks of a measure."""

    def add(self, sample: Sample, outcomes: dict[str, Pixels]) -> None:
        """Take in one picture: the truth, and every method's result of the truth's size."""

    def rows(self) -> dict[str, Row]:
        """Numbers by method and by name, over all pictures so far (at least one)."""


class Means:
    """Numbers of each picture, averaged over pictures in float64."""

    def __init__(self):
        self._numbers: dict[str, list[Row]] = defaultdict(list)

    def add(self, name: str, row: Row) -> None:
        """Take in the numbers of one picture."""
        self._numbers[name].append(row)

    def rows(self) -> dict[str, Row]:
        """The means, by the same names."""
        return {
            name: {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
            for name, rows in self._numbers.items()
        }


class Closeness:
    """How close results are to the truth.

    - `psnr_rgb`, `psnr_l`: PSNR in dB, mean over pictures, of R, G and B together (peak 255) or of
      CIE L (peak 100).
    - `gray_share`: of all pixels of all pictures whose true chroma is above 12, the share whose
      chroma in the result is below 4; 0 where the truth has no such pixels.
    """

    def __init__(self):
        self._means = Means()
        self._colored = 0
        self._left_gray: dict[str, int] = defaultdict(int)

    def add(self, sample: Sample, outcomes: dict[str, Pixels]) -> None:
        """See `Measure`."""
        truth = outcomes[TRUTH]
        colored = _chroma(truth) > _COLORED
        self._colored += int(colored.sum())
        for name, result in _results(outcomes).items():
            row = {
                "psnr_rgb": psnr(np.asarray(result.picture), np.asarray(truth.picture), peak=255),
                "psnr_l": psnr(result.lab[0].numpy(), truth.lab[0].numpy(), peak=100),
            }
            self._means.add(name, row)
            self._left_gray[name] += int((colored & (_chroma(result) < _GRAY)).sum())

    def rows(self) -> dict[str, Row]:
        """See `Measure`."""
        return {
            name: {**row, "gray_share": self._left_gray[name] / max(self._colored, 1)}
            for name, row in self._means.rows().items()
        }


class Perceptual:
    """VGG16 distance of results and truth: `PerceptualLoss`, mean over pictures.

    - `perceptual`: of the pictures as they are.
    - `perceptual_l`: of both pictures with a = b = 0, which tells sharpness without colour.

    Args:
        features: the VGG16, on the device where it is to run.
    """

    def __init__(self, features: VGG16Features):
        self._device = features.mean.device
        self._loss = PerceptualLoss(_Remembering(features))
        self._means = Means()

    @torch.no_grad()
    def add(self, sample: Sample, outcomes: dict[str, Pixels]) -> None:
        """See `Measure`."""
        colored, gray = (self._distances(outcomes, chroma) for chroma in (1, 0))
        for name in colored:
            self._means.add(name, {"perceptual": colored[name], "perceptual_l": gray[name]})

    def rows(self) -> dict[str, Row]:
        """See `Measure`."""
        return self._means.rows()

    def _distances(self, outcomes: dict[str, Pixels], chroma: int) -> dict[str, float]:
        """Distance to the truth by method, after multiplying a and b by `chroma`."""
        factors = torch.tensor((1, chroma, chroma))[:, None, None]
        inputs = {
            name: normalize_lab(factors * pixels.lab)[None].to(self._device)
            for name, pixels in outcomes.items()
        }
        truth = inputs.pop(TRUTH)
        return {name: self._loss(result, truth).item() for name, result in inputs.items()}


class _Remembering(nn.Module):
    """A VGG16 that knows the last two pictures: the loss shows the truth again with each result."""

    def __init__(self, features: VGG16Features):
        super().__init__()
        self.features = features
        self.last: list[tuple[torch.Tensor, tuple[torch.Tensor, ...]]] = []

    def forward(self, rgb: torch.Tensor) -> tuple[torch.Tensor, ...]:
        seen = next((one for one in self.last if torch.equal(one[0], rgb)), None)
        known = seen or (rgb, self.features(rgb))
        self.last = [known, *(one for one in self.last if one is not known)][:2]
        return known[1]


class Colors:
    """How much colour there is, in results and truth.

    - `chroma`: mean over pixels of sqrt(a^2 + b^2) in CIE Lab, mean over pictures.
    - `colorfulness`: of Hasler and Suesstrunk (2003), see colorfulness.py, mean over pictures.
    - `std_a`, `std_b`: standard deviations of a and b in CIE Lab over all pixels of all pictures
      together: one tint for all has none, even if it is strong.
    """

    def __init__(self):
        self._means = Means()
        self._spreads: dict[str, _Spread] = defaultdict(_Spread)

    def add(self, sample: Sample, outcomes: dict[str, Pixels]) -> None:
        """See `Measure`."""
        for name, pixels in outcomes.items():
            row = {
                "chroma": _chroma(pixels).mean().item(),
                "colorfulness": colorfulness(255 * pixels.rgb).item(),
            }
            self._means.add(name, row)
            self._spreads[name].add(pixels.lab[1:])

    def rows(self) -> dict[str, Row]:
        """See `Measure`."""
        rows = self._means.rows()
        for name, spread in self._spreads.items():
            rows[name]["std_a"], rows[name]["std_b"] = spread.std().tolist()
        return rows


@dataclass
class _Spread:
    """Standard deviations of two channels over all pixels so far, by float64 sums."""

    count: int = 0
    total: torch.Tensor = field(default_factory=lambda: torch.zeros(2, dtype=torch.float64))
    squares: torch.Tensor = field(default_factory=lambda: torch.zeros(2, dtype=torch.float64))

    def add(self, channels: torch.Tensor) -> None:
        """Take in (2, H, W)."""
        values = channels.flatten(1).double()
        self.count += values.shape[1]
        self.total += values.sum(dim=1)
        self.squares += values.square().sum(dim=1)

    def std(self) -> torch.Tensor:
        """(2,), float64."""
        variance = self.squares / self.count - (self.total / self.count).square()
        return variance.clamp(min=0).sqrt()  # rounding may leave a constant below 0


def _results(outcomes: dict[str, Pixels]) -> dict[str, Pixels]:
    return {name: pixels for name, pixels in outcomes.items() if name != TRUTH}


def _chroma(pixels: Pixels) -> torch.Tensor:
    return pixels.lab[1:].norm(dim=0)
