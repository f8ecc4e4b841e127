"""The same change of colors for labels and reference, so that only the reference shows them."""

import torch


def recolor(
    normalized_lab: torch.Tensor, angle: torch.Tensor, chroma: torch.Tensor
) -> torch.Tensor:
    """Rotate all hues of an image by one angle and scale all chromas by one factor.

    Lightness does not change.

    Args:
        normalized_lab: normalized Lab (B, 3, H, W), or its a and b alone (B, 2, H, W).
        angle: rotation in the a, b plane in radians, (B,).
        chroma: factors of the chroma, (B,).

    Returns:
        The recolored images, of the same shape. Strong colors may leave sRGB.
    """
    lightness, colors = normalized_lab.split((normalized_lab.shape[1] - 2, 2), dim=1)
    a, b = colors.unbind(1)
    cosine, sine = ((chroma * f(angle)).view(-1, 1, 1) for f in (torch.cos, torch.sin))
    turned = torch.stack((cosine * a - sine * b, sine * a + cosine * b), dim=1)
    return torch.cat((lightness, turned), dim=1)
