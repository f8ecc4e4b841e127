"""Numbers of results of the truth's size.

A measure says what one image tells, as plain numbers that can be kept in a file, and later makes
rows of what all images told.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import nn

from scsnet_hf.color import denormalize_lab, lab_to_srgb, normalize_lab
from scsnet_hf.data.colorfulness import colorfulness
from scsnet_hf.metrics.per_image import (
    SSIM_WINDOW,
    perceptual_distance,
    psnr,
    ssim,
)
from scsnet_hf.training.losses import PerceptualLoss
from scsnet_hf.training.vgg import VGG16Features

from .pixels import Pixels
from .samples import Sample

Numbers = dict[str, float | list[float]]  # of one result
Row = dict[str, float]  # of all results of a method

TRUTH = "truth"

_COLORED = 12.0  # CIE Lab chroma from which a place is plainly colored
_GRAY = 4.0  # and below which it is plainly not
_MOMENTS = ("sums", "squares")  # of a and b over the pixels of an image


class Measure(Protocol):
    """What `evaluate` asks of a measure."""

    definitions: dict[str, str]  # what each number of a row means, by its name

    def of(self, sample: Sample | None, outcomes: dict[str, Pixels]) -> dict[str, Numbers]:
        """Numbers of one image, by method.

        Args:
            sample: what was restored; None where two folders are compared.
            outcomes: the truth, and every method's result of the truth's size.
        """

    def rows(self, told: Sequence[dict[str, Numbers]]) -> dict[str, Row]:
        """Numbers by method and by name, of what `of` said of at least one image.

        A method need not have been applied to every image.
        """


def by_method(told: Sequence[dict[str, Numbers]]) -> dict[str, list[Numbers]]:
    """The numbers of every method, over the images that it was applied to."""
    names = dict.fromkeys(name for numbers in told for name in numbers)
    return {name: [numbers[name] for numbers in told if name in numbers] for name in names}


def means(told: Sequence[dict[str, Numbers]]) -> dict[str, Row]:
    """Every number averaged in float64 over the images that have it, by method."""

    def mean(key: str, numbers: list[Numbers]) -> float:
        return float(np.mean([one[key] for one in numbers if key in one]))

    return {
        name: {key: mean(key, numbers) for key in dict.fromkeys(k for one in numbers for k in one)}
        for name, numbers in by_method(told).items()
    }


class Closeness:
    """How close results are to the truth; see `definitions`."""

    definitions = {
        "psnr_rgb": "PSNR of R, G and B together, peak 255, dB; mean over images",
        "psnr_l": "PSNR of CIE L, peak 100, dB; mean over images",
        "ssim": "SSIM of Wang et al. (2004), mean of R, G and B; mean over images of at least "
        f"{SSIM_WINDOW} pixels a side",
        "gray_share": "of all pixels of all images whose true CIE Lab chroma is above 12, the "
        "share whose chroma in the result is below 4; 0 where the truth has no such pixels",
    }

    def of(self, sample: Sample | None, outcomes: dict[str, Pixels]) -> dict[str, Numbers]:
        """See `Measure`."""
        truth = outcomes[TRUTH]
        return {name: _closeness(result, truth) for name, result in _results(outcomes).items()}

    def rows(self, told: Sequence[dict[str, Numbers]]) -> dict[str, Row]:
        """See `Measure`."""
        rows = means(told)
        for row in rows.values():
            left_gray, colored = (row.pop(key) for key in ("left_gray", "colored"))
            row["gray_share"] = left_gray / colored if colored else 0.0
        return rows


def _closeness(result: Pixels, truth: Pixels) -> Numbers:
    levels = [np.asarray(pixels.image) for pixels in (result, truth)]
    colored = _chroma(truth) > _COLORED
    numbers = {
        "psnr_rgb": psnr(*levels, peak=255),
        "psnr_l": psnr(result.lab[0].numpy(), truth.lab[0].numpy(), peak=100),
        "colored": int(colored.sum()),
        "left_gray": int((colored & (_chroma(result) < _GRAY)).sum()),
    }
    if min(truth.image.size) >= SSIM_WINDOW:
        numbers["ssim"] = ssim(*levels, peak=255)
    return numbers


class Perceptual:
    """VGG16 distances of results and truth: `PerceptualLoss` and `perceptual_distance`.

    Args:
        features: the VGG16, on the device where it is to run.
    """

    definitions = {
        "perceptual": "VGG16 distance of Eq. 6, with the weights that were given; mean over images",
        "perceptual_l": "the same of both images with a = b = 0, which tells sharpness without "
        "color",
        "perceptual_unit": "VGG16 distance by the formula of LPIPS (Zhang et al. 2018) without its "
        "learned weights: activations have length 1 at each position; mean over images",
        "perceptual_unit_l": "the same of both images with a = b = 0",
    }

    def __init__(self, features: VGG16Features):
        self._device = features.mean.device
        self._features = _Remembering(features)
        self._loss = PerceptualLoss(self._features)

    @torch.no_grad()
    def of(self, sample: Sample | None, outcomes: dict[str, Pixels]) -> dict[str, Numbers]:
        """See `Measure`."""
        colored, gray = (self._distances(outcomes, chroma) for chroma in (1, 0))
        return {
            name: colored[name] | {f"{key}_l": value for key, value in gray[name].items()}
            for name in colored
        }

    def rows(self, told: Sequence[dict[str, Numbers]]) -> dict[str, Row]:
        """See `Measure`."""
        return means(told)

    def _distances(self, outcomes: dict[str, Pixels], chroma: int) -> dict[str, Numbers]:
        """Distances to the truth by method, after multiplying a and b by `chroma`."""
        factors = torch.tensor((1, chroma, chroma))[:, None, None]
        inputs = {
            name: normalize_lab(factors * pixels.lab)[None].to(self._device)
            for name, pixels in outcomes.items()
        }
        rgb = {name: lab_to_srgb(denormalize_lab(lab)) for name, lab in inputs.items()}
        truth, true_rgb = inputs.pop(TRUTH), rgb.pop(TRUTH)
        return {
            name: {
                "perceptual": self._loss(result, truth).item(),
                "perceptual_unit": perceptual_distance(self._features, rgb[name], true_rgb).item(),
            }
            for name, result in inputs.items()
        }


class _Remembering(nn.Module):
    """A VGG16 that knows the last two images: the loss shows the truth again with each result."""

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
    """How much color there is, in results and truth; see `definitions`."""

    definitions = {
        "chroma": "mean over pixels of sqrt(a^2 + b^2) in CIE Lab; mean over images",
        "colorfulness": "Hasler and Suesstrunk (2003), not the paper's CN; mean over images",
        "std_a": "standard deviation of CIE a over all pixels of all images together: one tint "
        "for all has none, even if it is strong",
        "std_b": "the same of CIE b",
    }

    def of(self, sample: Sample | None, outcomes: dict[str, Pixels]) -> dict[str, Numbers]:
        """See `Measure`."""
        return {name: _colors(pixels) for name, pixels in outcomes.items()}

    def rows(self, told: Sequence[dict[str, Numbers]]) -> dict[str, Row]:
        """See `Measure`."""
        return {name: _colors_together(numbers) for name, numbers in by_method(told).items()}


def _colors(pixels: Pixels) -> Numbers:
    a_and_b = pixels.lab[1:].flatten(1).double()
    return {
        "chroma": _chroma(pixels).mean().item(),
        "colorfulness": colorfulness(255 * pixels.rgb).item(),
        "pixels": a_and_b.shape[1],
        "sums": a_and_b.sum(dim=1).tolist(),
        "squares": a_and_b.square().sum(dim=1).tolist(),
    }


def _colors_together(numbers: list[Numbers]) -> Row:
    count = sum(one["pixels"] for one in numbers)
    mean, square = (np.sum([one[key] for one in numbers], axis=0) / count for key in _MOMENTS)
    std_a, std_b = np.sqrt((square - mean**2).clip(min=0))  # rounding may leave less
    row = {key: float(np.mean([one[key] for one in numbers])) for key in ("chroma", "colorfulness")}
    return {**row, "std_a": float(std_a), "std_b": float(std_b)}


def _results(outcomes: dict[str, Pixels]) -> dict[str, Pixels]:
    return {name: pixels for name, pixels in outcomes.items() if name != TRUTH}


def _chroma(pixels: Pixels) -> torch.Tensor:
    return pixels.lab[1:].norm(dim=0)
