"""Numbers of results of the truth's size.

A metric computes plain numbers for each image, which can be kept in a file, and then summarizes
those of all images.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from scsnet_hf.color import denormalize_lab, lab_to_srgb, normalize_lab
from scsnet_hf.data.colorfulness import colorfulness
from scsnet_hf.metrics.per_image import SSIM_WINDOW, perceptual_distance, psnr, ssim
from scsnet_hf.training.losses import PerceptualLoss
from scsnet_hf.training.vgg import VGG16Features

from .pixels import Pixels
from .samples import Sample

Numbers = dict[str, float | list[float] | np.ndarray]  # of one result
Row = dict[str, float]  # of all results of a method

TRUTH = "truth"

_COLORED = 12.0  # CIE Lab chroma above which a pixel is clearly colored
_GRAY = 4.0  # and below which it is clearly not
_MOMENTS = ("sums", "squares")  # of a and b over the pixels of an image


class Metric(ABC):
    """A metric of `evaluate`."""

    definitions: dict[str, str]  # meaning of each number of a row, by its name

    @abstractmethod
    def compute(self, sample: Sample | None, images: dict[str, Pixels]) -> dict[str, Numbers]:
        """Compute the numbers of one image, by method.

        Args:
            sample: what was reconstructed; None where two folders are compared.
            images: the truth, and every method's result of the truth's size.
        """

    def summarize(self, images: Sequence[dict[str, Numbers]]) -> dict[str, Row]:
        """Summarize the numbers of at least one image, by method and by name; means by default.

        A method need not have been applied to every image.
        """
        return {
            name: {
                key: float(np.mean([one[key] for one in numbers if key in one]))
                for key in dict.fromkeys(key for one in numbers for key in one)
            }
            for name, numbers in group_by_method(images).items()
        }


def group_by_method(images: Sequence[dict[str, Numbers]]) -> dict[str, list[Numbers]]:
    """Group the numbers by method, over the images that it was applied to."""
    names = dict.fromkeys(name for numbers in images for name in numbers)
    return {name: [numbers[name] for numbers in images if name in numbers] for name in names}


class Fidelity(Metric):
    """How close results are to the truth; see `definitions`."""

    definitions = {
        "psnr_rgb": "PSNR of R, G and B together, peak 255, dB; mean over images",
        "psnr_l": "PSNR of CIE L, peak 100, dB; mean over images",
        "ssim": "SSIM of Wang et al. (2004), mean of R, G and B; mean over images of at least "
        f"{SSIM_WINDOW} pixels a side",
        "gray_share": "of all pixels of all images whose true CIE Lab chroma is above 12, the "
        "share whose chroma in the result is below 4; 0 where the truth has no such pixels",
        "ab_error": "distance sqrt(da^2 + db^2) in CIE Lab; mean over pixels and images",
        "ab_error_edges": "the same over bands of 3 pixels around edges: the tenth of the pixels "
        "with the strongest gradient of the truth's L (Sobel)",
    }

    def compute(self, sample: Sample | None, images: dict[str, Pixels]) -> dict[str, Numbers]:
        truth = images[TRUTH]
        return {name: _fidelity(image, truth) for name, image in images.items() if name != TRUTH}

    def summarize(self, images: Sequence[dict[str, Numbers]]) -> dict[str, Row]:
        rows = super().summarize(images)
        for row in rows.values():
            left_gray, colored = (row.pop(key) for key in ("left_gray", "colored"))
            row["gray_share"] = left_gray / colored if colored else 0.0
        return rows


def _fidelity(result: Pixels, truth: Pixels) -> Numbers:
    levels = [np.asarray(pixels.image) for pixels in (result, truth)]
    colored = _chroma(truth) > _COLORED
    ab_error = (result.lab - truth.lab)[1:].norm(dim=0)
    numbers = {
        "psnr_rgb": psnr(*levels, peak=255),
        "psnr_l": psnr(result.lab[0].numpy(), truth.lab[0].numpy(), peak=100),
        "colored": int(colored.sum()),
        "left_gray": int((colored & (_chroma(result) < _GRAY)).sum()),
        "ab_error": ab_error.mean().item(),
        "ab_error_edges": ab_error[torch.from_numpy(_edges(truth.lab[0].numpy()))].mean().item(),
    }
    if min(truth.image.size) >= SSIM_WINDOW:
        numbers["ssim"] = ssim(*levels, peak=255)
    return numbers


def _edges(lightness: np.ndarray) -> np.ndarray:
    """Return where edges are, bool (H, W), see `Fidelity.definitions`."""
    strength = np.hypot(*(ndimage.sobel(lightness, axis) for axis in (0, 1)))
    return ndimage.maximum_filter(strength >= np.quantile(strength, 0.9), size=3)


class PerceptualDistance(Metric):
    """VGG16 distances of results and truth: `PerceptualLoss` and `perceptual_distance`.

    Args:
        features: the VGG16, on the device where it is to run.
    """

    definitions = {
        "perceptual": "VGG16 distance of Eq. 6, with the given weights; mean over images",
        "perceptual_l": "the same of both images with a = b = 0: sharpness without color",
        "perceptual_unit": "VGG16 distance by the formula of LPIPS (Zhang et al. 2018) without its "
        "learned weights: activations have length 1 at each position; mean over images",
        "perceptual_unit_l": "the same of both images with a = b = 0",
    }

    def __init__(self, features: VGG16Features):
        self._device = features.mean.device
        self._features = _CachedFeatures(features)
        self._loss = PerceptualLoss(self._features)

    @torch.no_grad()
    def compute(self, sample: Sample | None, images: dict[str, Pixels]) -> dict[str, Numbers]:
        colored, gray = (self._distances(images, saturation) for saturation in (1, 0))
        return {
            name: colored[name] | {f"{key}_l": value for key, value in gray[name].items()}
            for name in colored
        }

    def _distances(self, images: dict[str, Pixels], saturation: int) -> dict[str, Numbers]:
        """Distances to the truth by method, after multiplying a and b by `saturation`."""
        factors = torch.tensor((1, saturation, saturation))[:, None, None]
        inputs = {
            name: normalize_lab(factors * pixels.lab)[None].to(self._device)
            for name, pixels in images.items()
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


class _CachedFeatures(nn.Module):
    """VGG16 features of the last two images are kept: the truth comes again with each result."""

    def __init__(self, features: VGG16Features):
        super().__init__()
        self.features = features
        self.recent: list[tuple[torch.Tensor, tuple[torch.Tensor, ...]]] = []

    def forward(self, rgb: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cached = next((one for one in self.recent if torch.equal(one[0], rgb)), None)
        current = cached or (rgb, self.features(rgb))
        self.recent = [current, *(one for one in self.recent if one is not current)][:2]
        return current[1]


class ColorStatistics(Metric):
    """How much color there is, in results and truth; see `definitions`."""

    definitions = {
        "chroma": "mean over pixels of sqrt(a^2 + b^2) in CIE Lab; mean over images",
        "colorfulness": "Hasler and Suesstrunk (2003), not the paper's CN; mean over images",
        "std_a": "standard deviation of CIE a over all pixels of all images together: one tint "
        "for all has none, even if it is strong",
        "std_b": "the same of CIE b",
    }

    def compute(self, sample: Sample | None, images: dict[str, Pixels]) -> dict[str, Numbers]:
        return {name: _color_statistics(pixels) for name, pixels in images.items()}

    def summarize(self, images: Sequence[dict[str, Numbers]]) -> dict[str, Row]:
        return {name: _pool(numbers) for name, numbers in group_by_method(images).items()}


def _color_statistics(pixels: Pixels) -> Numbers:
    a_and_b = pixels.lab[1:].flatten(1).double()
    return {
        "chroma": _chroma(pixels).mean().item(),
        "colorfulness": colorfulness(255 * pixels.rgb).item(),
        "pixels": a_and_b.shape[1],
        "sums": a_and_b.sum(dim=1).tolist(),
        "squares": a_and_b.square().sum(dim=1).tolist(),
    }


def _pool(numbers: list[Numbers]) -> Row:
    count = sum(one["pixels"] for one in numbers)
    mean, square = (np.sum([one[key] for one in numbers], axis=0) / count for key in _MOMENTS)
    std_a, std_b = np.sqrt((square - mean**2).clip(min=0))  # rounding may make it negative
    row = {key: float(np.mean([one[key] for one in numbers])) for key in ("chroma", "colorfulness")}
    return {**row, "std_a": float(std_a), "std_b": float(std_b)}


def _chroma(pixels: Pixels) -> torch.Tensor:
    return pixels.lab[1:].norm(dim=0)
