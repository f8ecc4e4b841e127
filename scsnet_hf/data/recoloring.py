"""Other colors for truth and reference alike, so that only the reference tells them."""

import torch


def recolor(
    normalized_lab: torch.Tensor, angle: torch.Tensor, chroma: torch.Tensor
) -> torch.Tensor:
    """Turn every hue by one angle and scale every chroma by one factor; lightness stays.

    Args:
        normalized_lab: (B, 3, H, W) normalized Lab, or a and b alone (B, 2, H, W).
        angle: (B,) radians in the a, b plane.
        chroma: (B,) factors.

    Returns:
        The same shape. Strong colors may leave sRGB.
    """
    lightness, colors = normalized_lab.split((normalized_lab.shape[1] - 2, 2), dim=1)
    a, b = colors.unbind(1)
    cosine, sine = ((chroma * f(angle)).view(-1, 1, 1) for f in (torch.cos, torch.sin))
    turned = torch.stack((cosine * a - sine * b, sine * a + cosine * b), dim=1)
    return torch.cat((lightness, turned), dim=1)
