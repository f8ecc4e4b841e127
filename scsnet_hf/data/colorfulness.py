"""How colorful an image is: the measure of Hasler and Suesstrunk (2003)."""

import torch


def colorfulness(rgb: torch.Tensor) -> torch.Tensor:
    """Compute the colorfulness of sRGB images (Hasler and Suesstrunk 2003).

    This is "Measuring colorfulness in natural images", section 7: the spread and the mean of the
    opponent colors red - green and (red + green) / 2 - blue. Their observers called 15 slightly, 33
    moderately, 59 quite and 82 highly colorful. It is not CN of the paper, a learned network.

    Args:
        rgb: (..., 3, H, W), uint8 or float, in [0, 255].

    Returns:
        (...,), in 8-bit levels, 0 for gray; float64 for float64, otherwise float32.

    Raises:
        ValueError: if `rgb` has another shape or no pixels.
    """
    if rgb.ndim < 3 or rgb.shape[-3] != 3 or 0 in rgb.shape[-2:]:
        raise ValueError(f"rgb has shape {tuple(rgb.shape)}; accepted is (..., 3, H, W)")
    pixels = rgb if rgb.dtype == torch.float64 else rgb.float()
    red, green, blue = pixels.unbind(-3)
    opponents = torch.stack((red - green, (red + green) / 2 - blue), dim=-3).flatten(-2)
    spread = opponents.var(dim=-1, correction=0).sum(dim=-1).sqrt()
    return spread + 0.3 * opponents.mean(dim=-1).norm(dim=-1)
