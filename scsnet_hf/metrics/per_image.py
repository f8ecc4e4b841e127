"""Metrics of a result and its reference."""

import numpy as np
import torch

from ..io.extras import needs_extra
from ..training.vgg import VGG16Features

SSIM_WINDOW = 11  # side in pixels


def psnr(result: np.ndarray, reference: np.ndarray, peak: float = 255.0) -> float:
    """Compute the peak signal-to-noise ratio, 10 log10(peak^2 / mean squared error).

    Args:
        result: array of any shape and type.
        reference: array of the same shape.
        peak: largest possible value.

    Returns:
        The ratio in dB, infinite for equal arrays.

    Raises:
        ValueError: if the shapes differ or `peak` is not positive.
    """
    _check(result, reference, peak)
    error = np.square(result.astype(np.float64) - reference.astype(np.float64)).mean()
    return float(10 * np.log10(peak**2 / error)) if error else float("inf")


def ssim(result: np.ndarray, reference: np.ndarray, peak: float = 255.0) -> float:
    """Compute the structural similarity of Wang et al. (2004), by scikit-image.

    The constants are those of the paper: a Gaussian window of 11x11 with a standard deviation of
    1.5 pixels, K1 = 0.01, K2 = 0.03, moments without Bessel's correction, the mean over windows
    inside the image (torchmetrics includes windows over mirrored borders, so its values differ),
    no downsampling. The paper defines SSIM for one channel; this is the mean over channels.

    Args:
        result: image (H, W, C), sides of at least 11 pixels.
        reference: image of the same shape.
        peak: largest possible value, L in the paper.

    Returns:
        At most 1, the value of equal images.

    Raises:
        ValueError: if the shapes differ or are not (H, W, C), or `peak` is not positive.
        ImportError: if scikit-image is not installed.
    """
    with needs_extra("eval", "metrics"):
        from skimage.metrics import structural_similarity

    _check(result, reference, peak)
    if result.ndim != 3 or min(result.shape[:2]) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM takes (H, W, C) with sides of at least {SSIM_WINDOW} pixels, got {result.shape}"
        )
    similarity = structural_similarity(
        result.astype(np.float64),
        reference.astype(np.float64),
        data_range=peak,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(similarity)


def _check(result: np.ndarray, reference: np.ndarray, peak: float) -> None:
    if result.shape != reference.shape:  # broadcasting would hide the mistake
        raise ValueError(
            "result and reference must have the same shape, got "
            f"{result.shape} and {reference.shape}"
        )
    if not peak > 0:
        raise ValueError(f"the data range is {peak}; accepted are positive numbers")


@torch.no_grad()
def perceptual_distance(
    features: VGG16Features, result: torch.Tensor, reference: torch.Tensor
) -> torch.Tensor:
    """Compute the distance of VGG16 activations: LPIPS (Zhang et al. 2018) without learned weights.

    The activations at each position are divided by their norm over channels; squared differences
    are summed over channels, averaged over positions, and summed over the five activations of
    `VGG16Features`. Values are comparable only for the same weights, and not with LPIPS.

    Args:
        features: the network.
        result: sRGB (B, 3, H, W) in [0, 1], sides of at least 16 pixels.
        reference: sRGB of the same shape.

    Returns:
        Distances (B,), float64, from 0 for equal images to at most 10.

    Raises:
        ValueError: if the shapes differ or are not (B, 3, H, W).
    """
    if result.shape != reference.shape:
        raise ValueError(
            "result and reference must have the same shape, got "
            f"{tuple(result.shape)} and {tuple(reference.shape)}"
        )
    pairs = zip(features(result), features(reference), strict=True)
    return torch.stack([_direction_distance(*pair) for pair in pairs]).sum(dim=0)


def _direction_distance(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the mean squared distance (B,) of the unit vectors of (B, C, H, W)."""
    first, second = (torch.nn.functional.normalize(x.float(), dim=1) for x in (first, second))
    distances = (first - second).square_().sum(dim=1)
    return distances.mean(dim=(1, 2), dtype=torch.float64)
