"""Numbers of a result and its truth."""

import numpy as np
import torch

from ..training.vgg import VGG16Features

SSIM_WINDOW = 11  # pixels a side


def psnr(result: np.ndarray, truth: np.ndarray, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio, 10 log10(peak^2 / mean squared error).

    Args:
        result: any shape and type.
        truth: of the same shape.
        peak: the largest value that is possible.

    Returns:
        In dB; infinite for equal arrays.

    Raises:
        ValueError: if the shapes differ or `peak` is not positive.
    """
    _check(result, truth, peak)
    error = np.square(result.astype(np.float64) - truth.astype(np.float64)).mean()
    return float(10 * np.log10(peak**2 / error)) if error else float("inf")


def ssim(result: np.ndarray, truth: np.ndarray, peak: float = 255.0) -> float:
    """Structural similarity of Wang et al. (2004), by scikit-image.

    Their constants: a Gaussian window of 11x11 with a standard deviation of 1.5 pixels, K1 = 0.01,
    K2 = 0.03, moments without Bessel's correction, the mean over windows that lie wholly inside
    (torchmetrics also counts windows over mirrored borders, and so has other numbers). Nothing is
    shrunk first. Their SSIM is of one channel; of several it is the mean here.

    Args:
        result: (H, W, C), sides of at least 11 pixels.
        truth: of the same shape.
        peak: the largest value that is possible, their L.

    Returns:
        At most 1, which equal images have.

    Raises:
        ValueError: if the shapes differ or are others, or `peak` is not positive.
    """
    from skimage.metrics import structural_similarity

    _check(result, truth, peak)
    if result.ndim != 3 or min(result.shape[:2]) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM takes (H, W, C) with sides of at least {SSIM_WINDOW} pixels, got {result.shape}"
        )
    similarity = structural_similarity(
        result.astype(np.float64),
        truth.astype(np.float64),
        data_range=peak,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(similarity)


def _check(result: np.ndarray, truth: np.ndarray, peak: float) -> None:
    if result.shape != truth.shape:  # broadcasting would hide the mistake
        raise ValueError(
            f"result and truth must have one shape, got {result.shape} and {truth.shape}"
        )
    if not peak > 0:
        raise ValueError(f"the data range is {peak}; accepted are positive numbers")


@torch.no_grad()
def perceptual_distance(
    features: VGG16Features, result: torch.Tensor, truth: torch.Tensor
) -> torch.Tensor:
    """Distance of VGG16 activations, as LPIPS (Zhang et al. 2018) but without its learned weights.

    Each position's activations are divided by their norm over channels; squared differences are
    summed over channels, averaged over positions, and summed over the five activations of
    `VGG16Features`. Numbers are comparable only with those of the same weights, and not with LPIPS.

    Args:
        features: the network.
        result: (B, 3, H, W), sRGB in [0, 1], sides of at least 16 pixels.
        truth: of the same shape.

    Returns:
        (B,), float64: from 0, for equal images, to at most 10.

    Raises:
        ValueError: if the shapes differ or are others.
    """
    if result.shape != truth.shape:
        raise ValueError(
            "result and truth must have one shape, got "
            f"{tuple(result.shape)} and {tuple(truth.shape)}"
        )
    pairs = zip(features(result), features(truth), strict=True)
    return torch.stack([_distance_of_directions(*pair) for pair in pairs]).sum(dim=0)


def _distance_of_directions(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(B,) of (B, C, H, W): mean squared distance of the unit vectors at each position."""
    first, second = (torch.nn.functional.normalize(x.float(), dim=1) for x in (first, second))
    distances = (first - second).square_().sum(dim=1)
    return distances.mean(dim=(1, 2), dtype=torch.float64)
