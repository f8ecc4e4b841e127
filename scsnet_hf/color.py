"""sRGB, CIE Lab (D65) and the network's unit, *normalized Lab*: L/50 - 1, a/110, b/110.

All conversions run in float32 whatever the input's dtype, on any device and any shape
(..., 3, H, W), and keep the neutral axis exact: R = G = B gives a = b = 0 and vice versa.
"""

import numpy as np
import torch

# Linear sRGB -> XYZ (IEC 61966-2-1), each row divided by the white point's X, Y or Z, so that
# white is (1, 1, 1) and every row sums to 1.
_RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_RGB_TO_XYZ /= _RGB_TO_XYZ.sum(axis=1, keepdims=True)
_XYZ_TO_RGB = np.linalg.inv(_RGB_TO_XYZ)

_DELTA = 6 / 29  # where CIE Lab's cube root continues as a line
_CHROMA_UNIT = 110.0
_GAMUT_STEPS = 10  # of bisection, to 1/1024 of the chroma, which is less than an 8-bit level


def srgb_to_lab(rgb: torch.Tensor) -> torch.Tensor:
    """Convert sRGB in [0, 1], (..., 3, H, W), to CIE Lab, float32.

    L is in [0, 100], a and b are about -110 to 110.
    """
    red, green, blue = _linearize(rgb.float()).unbind(-3)
    # As differences from green: the weights sum to 1, so equal channels stay bit-equal.
    x, y, z = (
        green + float(row[0]) * (red - green) + float(row[2]) * (blue - green)
        for row in _RGB_TO_XYZ
    )
    fx, fy, fz = _f(x), _f(y), _f(z)
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=-3)


def lab_to_srgb(lab: torch.Tensor) -> torch.Tensor:
    """Convert CIE Lab (..., 3, H, W) to sRGB clipped to [0, 1], float32; differentiable."""
    return _compand(_lab_to_linear(lab).clamp(0, 1))


def lab_to_fitted_srgb(lab: torch.Tensor) -> torch.Tensor:
    """Compute `lab_to_srgb(fit_gamut(lab))` with a single conversion to linear sRGB."""
    channels_first = lab.float().movedim(-3, 0)
    _, linear = _fit_pixels(channels_first.reshape(3, -1, 1))
    return _compand(linear.clamp(0, 1)).reshape(channels_first.shape).movedim(0, -3)


def normalize_lab(lab: torch.Tensor) -> torch.Tensor:
    """Convert CIE Lab (..., 3, H, W) to normalized Lab, float32."""
    lightness, chroma = lab.float().split((1, 2), dim=-3)
    return torch.cat((lightness / 50 - 1, chroma / _CHROMA_UNIT), dim=-3)


def denormalize_lab(normalized: torch.Tensor) -> torch.Tensor:
    """Convert normalized Lab (..., 3, H, W) to CIE Lab, float32."""
    lab = normalized.float() * _per_channel(normalized, 50, _CHROMA_UNIT, _CHROMA_UNIT)
    return lab.add_(_per_channel(normalized, 50, 0, 0))


def scale_chroma(lab: torch.Tensor, saturation: float) -> torch.Tensor:
    """Multiply a and b of CIE Lab (..., 3, H, W) by `saturation`: 0 is gray, 1 no change."""
    return lab * _per_channel(lab, 1, saturation, saturation)


def fit_gamut(lab: torch.Tensor) -> torch.Tensor:
    """Reduce the chroma of CIE Lab (..., 3, H, W) until it is in the sRGB gamut.

    L and the hue are kept, unlike when R, G and B are clipped, so black stays black and white stays
    white. L itself is clipped to [0, 100].
    """
    channels_first = lab.float().movedim(-3, 0)
    pixels, _ = _fit_pixels(channels_first.reshape(3, -1, 1))
    return pixels.reshape(channels_first.shape).movedim(0, -3)


def _per_channel(like: torch.Tensor, *values: float) -> torch.Tensor:
    """One value per channel, float32, on the device of `like`: (C, 1, 1)."""
    return torch.tensor(values, device=like.device)[:, None, None]


def _linearize(srgb: torch.Tensor) -> torch.Tensor:
    return torch.where(
        srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    )


def _compand(linear: torch.Tensor) -> torch.Tensor:
    # The clamp keeps the curve above the line where the line applies, and its gradient finite at 0.
    curve = linear.clamp(min=0.0031308) ** (1 / 2.4) * 1.055 - 0.055
    return torch.minimum(linear * 12.92, curve)


def _f(t: torch.Tensor) -> torch.Tensor:
    """CIE Lab's function of X, Y and Z."""
    cube_root = t.clamp(min=_DELTA**3) ** (1 / 3)
    return torch.where(t > _DELTA**3, cube_root, t / (3 * _DELTA**2) + 4 / 29)


def _f_inverse(t: torch.Tensor) -> torch.Tensor:
    # The line is the cube's tangent at delta; t^3 exceeds it by (t - delta)^2 (t + 2 delta).
    line, beyond = 3 * _DELTA**2 * (t - 4 / 29), (t - _DELTA).relu()
    return torch.addcmul(line, beyond.square(), beyond + 3 * _DELTA)


def _split_lab(lab: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """f(Y), (..., 1, H, W), and f(X) - f(Y) and f(Z) - f(Y), (..., 2, H, W), of CIE Lab."""
    lightness, chroma = lab.float().split((1, 2), dim=-3)
    return (lightness + 16) / 116, chroma * _per_channel(lab, 1 / 500, -1 / 200)


def _join_linear(f_y: torch.Tensor, differences: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Linear sRGB (..., 3, H, W) of the results of `_split_lab`, and of Y."""
    x_y, z_y = (_f_inverse(f_y + differences) - y).split(1, dim=-3)
    rows = [
        torch.add(y, x_y, alpha=float(row[0])).add_(z_y, alpha=float(row[2])) for row in _XYZ_TO_RGB
    ]
    return torch.cat(rows, dim=-3)


def _lab_to_linear(lab: torch.Tensor) -> torch.Tensor:
    f_y, differences = _split_lab(lab)
    return _join_linear(f_y, differences, _f_inverse(f_y))


def _fit_pixels(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """CIE Lab pixels (3, N, 1) fitted to the gamut, and the same in linear sRGB."""
    pixels = torch.cat((pixels[:1].clamp(0, 100), pixels[1:]))
    linear = _lab_to_linear(pixels)
    outside = _is_out_of_gamut(linear).nonzero()[:, 0]
    excessive = pixels[:, outside]
    fitted = torch.cat((excessive[:1], excessive[1:] * _largest_chroma_factor(excessive)))
    pixels[:, outside] = fitted
    linear[:, outside] = _lab_to_linear(fitted)
    return pixels, linear


def _is_out_of_gamut(linear: torch.Tensor) -> torch.Tensor:
    """Whether linear pixels (3, N, 1) exceed [0, 1] by more than rounding: (N, 1)."""
    return (linear - 0.5).abs_().amax(dim=0) > 0.5 + 1e-5


def _largest_chroma_factor(pixels: torch.Tensor) -> torch.Tensor:
    """The factor (N, 1) that brings the chroma of CIE Lab pixels (3, N, 1) to the gamut's edge."""
    f_y, differences = _split_lab(pixels)
    y = _f_inverse(f_y)
    factor, step = torch.zeros_like(pixels[0]), 0.5
    for _ in range(_GAMUT_STEPS):
        larger = factor + step
        outside = _is_out_of_gamut(_join_linear(f_y, differences * larger, y))
        factor = torch.where(outside, factor, larger)
        step /= 2
    return factor
