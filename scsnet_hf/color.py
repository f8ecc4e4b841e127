"""sRGB, CIE Lab (D65) and the network's unit, *normalized Lab*: L/50 - 1, a/110, b/110.

Everything runs in float32 whatever it is given, works on any device and on any shape
(..., 3, H, W), and keeps the neutral axis exact: R = G = B gives a = b = 0 and back.
"""

import numpy as np
import torch

# Linear sRGB -> XYZ (IEC 61966-2-1), each row divided by the white point's X, Y or Z, so that
# white is (1, 1, 1) and rows sum to 1.
_RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_RGB_TO_XYZ /= _RGB_TO_XYZ.sum(axis=1, keepdims=True)
_XYZ_TO_RGB = np.linalg.inv(_RGB_TO_XYZ)

_DELTA = 6 / 29  # where CIE Lab's cube root turns into a line
_CHROMA_UNIT = 110.0
_GAMUT_STEPS = 10  # bisection to 1/1024 of the chroma, below one 8-bit level


def _linearize(srgb: torch.Tensor) -> torch.Tensor:
    return torch.where(
        srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    )


def _companded(linear: torch.Tensor) -> torch.Tensor:
    # The clamp inside keeps the gradient finite at black.
    return torch.where(
        linear <= 0.0031308,
        linear * 12.92,
        1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055,
    )


def _f(t: torch.Tensor) -> torch.Tensor:
    cube_root = t.clamp(min=_DELTA**3) ** (1 / 3)
    return torch.where(t > _DELTA**3, cube_root, t / (3 * _DELTA**2) + 4 / 29)


def _f_inverse(t: torch.Tensor) -> torch.Tensor:
    return torch.where(t > _DELTA, t**3, 3 * _DELTA**2 * (t - 4 / 29))


def srgb_to_lab(rgb: torch.Tensor) -> torch.Tensor:
    """sRGB in [0, 1], (..., 3, H, W), to CIE Lab, float32: L in [0, 100], a and b in own units."""
    red, green, blue = _linearize(rgb.float()).unbind(-3)
    # Written around green: the weights sum to 1, so equal channels stay equal to the last bit.
    x, y, z = (
        green + float(row[0]) * (red - green) + float(row[2]) * (blue - green)
        for row in _RGB_TO_XYZ
    )
    fx, fy, fz = _f(x), _f(y), _f(z)
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=-3)


def _lab_to_linear(lab: torch.Tensor) -> torch.Tensor:
    lightness, a, b = lab.float().unbind(-3)
    fy = (lightness + 16) / 116
    x, y, z = _f_inverse(torch.stack((fy + a / 500, fy, fy - b / 200), dim=-3)).unbind(-3)
    x_y, z_y = x - y, z - y
    rows = [
        torch.add(y, x_y, alpha=float(row[0])).add(z_y, alpha=float(row[2])) for row in _XYZ_TO_RGB
    ]
    return torch.stack(rows, dim=-3)


def lab_to_srgb(lab: torch.Tensor) -> torch.Tensor:
    """CIE Lab (..., 3, H, W) to sRGB in [0, 1], float32, clipped; differentiable."""
    return _companded(_lab_to_linear(lab).clamp(0, 1))


def normalize_lab(lab: torch.Tensor) -> torch.Tensor:
    """CIE Lab to normalized Lab, the network's unit; shape (..., 3, H, W), float32."""
    lightness, chroma = lab.float().split((1, 2), dim=-3)
    return torch.cat((lightness / 50 - 1, chroma / _CHROMA_UNIT), dim=-3)


def denormalize_lab(normalized: torch.Tensor) -> torch.Tensor:
    """Normalized Lab to CIE Lab; shape (..., 3, H, W), float32."""
    lightness, chroma = normalized.float().split((1, 2), dim=-3)
    return torch.cat(((lightness + 1) * 50, chroma * _CHROMA_UNIT), dim=-3)


def scale_chroma(lab: torch.Tensor, saturation: float) -> torch.Tensor:
    """Multiply a and b of CIE Lab by `saturation`: 0 is gray, 1 changes nothing."""
    lightness, chroma = lab.split((1, 2), dim=-3)
    return torch.cat((lightness, chroma * saturation), dim=-3)


def _out_of_gamut(linear: torch.Tensor) -> torch.Tensor:
    """Which of the (3, N) linear pixels leave sRGB by more than rounding: (N,)."""
    return (linear - 0.5).abs().amax(dim=0) > 0.5 + 1e-5


def _pixels_to_linear(pixels: torch.Tensor) -> torch.Tensor:
    return _lab_to_linear(pixels[..., None])[..., 0]


def _fitted(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lab pixels (3, N) brought into the gamut, and the same as linear sRGB."""
    pixels = torch.cat((pixels[:1].clamp(0, 100), pixels[1:]))
    linear = _pixels_to_linear(pixels)
    outside = _out_of_gamut(linear).nonzero()[:, 0]
    lightness, chroma = pixels[:, outside].split((1, 2))
    factor, step = torch.zeros_like(lightness), 0.5
    for _ in range(_GAMUT_STEPS):
        larger = torch.cat((lightness, chroma * (factor + step)))
        factor = torch.where(_out_of_gamut(_pixels_to_linear(larger)), factor, factor + step)
        step /= 2
    pixels[:, outside] = torch.cat((lightness, chroma * factor))
    linear[:, outside] = _pixels_to_linear(pixels[:, outside])
    return pixels, linear


def fit_gamut(lab: torch.Tensor) -> torch.Tensor:
    """Bring CIE Lab (..., 3, H, W) into the sRGB gamut at constant L and hue, by less chroma.

    Clipping R, G and B would change the lightness; this keeps it, so black stays black and white
    stays white. L is clipped to [0, 100].
    """
    channels_first = lab.float().movedim(-3, 0)
    pixels, _ = _fitted(channels_first.reshape(3, -1))
    return pixels.reshape(channels_first.shape).movedim(0, -3)


def lab_to_fitted_srgb(lab: torch.Tensor) -> torch.Tensor:
    """`lab_to_srgb(fit_gamut(lab))`, which would go to linear sRGB twice."""
    channels_first = lab.float().movedim(-3, 0)
    _, linear = _fitted(channels_first.reshape(3, -1))
    return _companded(linear.clamp(0, 1)).reshape(channels_first.shape).movedim(0, -3)
