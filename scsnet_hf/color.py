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


def _channels(like: torch.Tensor, *values: float) -> torch.Tensor:
    """A value for each channel, float32, on the device of `like`: (C, 1, 1)."""
    return torch.tensor(values, device=like.device)[:, None, None]


def _linearize(srgb: torch.Tensor) -> torch.Tensor:
    return torch.where(
        srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    )


def _companded(linear: torch.Tensor) -> torch.Tensor:
    # Where the line counts, the clamp keeps the curve above it, and its gradient finite at black.
    curve = linear.clamp(min=0.0031308) ** (1 / 2.4) * 1.055 - 0.055
    return torch.minimum(linear * 12.92, curve)


def _f(t: torch.Tensor) -> torch.Tensor:
    cube_root = t.clamp(min=_DELTA**3) ** (1 / 3)
    return torch.where(t > _DELTA**3, cube_root, t / (3 * _DELTA**2) + 4 / 29)


def _f_inverse(t: torch.Tensor) -> torch.Tensor:
    # The line is the cube's tangent at delta: beyond, t^3 is (t - delta)^2 (t + 2 delta) more.
    line, beyond = 3 * _DELTA**2 * (t - 4 / 29), (t - _DELTA).relu()
    return torch.addcmul(line, beyond.square(), beyond + 3 * _DELTA)


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


def _f_of_lab(lab: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """f(Y), (..., 1, H, W), and what chroma adds to it for f(X) and f(Z), (..., 2, H, W)."""
    lightness, chroma = lab.float().split((1, 2), dim=-3)
    return (lightness + 16) / 116, chroma * _channels(lab, 1 / 500, -1 / 200)


def _f_to_linear(f_y: torch.Tensor, added: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Linear sRGB (..., 3, H, W) of what `_f_of_lab` returns, and of Y."""
    x_y, z_y = (_f_inverse(f_y + added) - y).split(1, dim=-3)
    rows = [
        torch.add(y, x_y, alpha=float(row[0])).add_(z_y, alpha=float(row[2])) for row in _XYZ_TO_RGB
    ]
    return torch.cat(rows, dim=-3)


def _lab_to_linear(lab: torch.Tensor) -> torch.Tensor:
    f_y, added = _f_of_lab(lab)
    return _f_to_linear(f_y, added, _f_inverse(f_y))


def lab_to_srgb(lab: torch.Tensor) -> torch.Tensor:
    """CIE Lab (..., 3, H, W) to sRGB in [0, 1], float32, clipped; differentiable."""
    return _companded(_lab_to_linear(lab).clamp(0, 1))


def normalize_lab(lab: torch.Tensor) -> torch.Tensor:
    """CIE Lab to normalized Lab, the network's unit; shape (..., 3, H, W), float32."""
    lightness, chroma = lab.float().split((1, 2), dim=-3)
    return torch.cat((lightness / 50 - 1, chroma / _CHROMA_UNIT), dim=-3)


def denormalize_lab(normalized: torch.Tensor) -> torch.Tensor:
    """Normalized Lab to CIE Lab; shape (..., 3, H, W), float32."""
    lab = normalized.float() * _channels(normalized, 50, _CHROMA_UNIT, _CHROMA_UNIT)
    return lab.add_(_channels(normalized, 50, 0, 0))


def scale_chroma(lab: torch.Tensor, saturation: float) -> torch.Tensor:
    """Multiply a and b of CIE Lab by `saturation`: 0 is gray, 1 changes nothing."""
    return lab * _channels(lab, 1, saturation, saturation)


def _out_of_gamut(linear: torch.Tensor) -> torch.Tensor:
    """Which linear pixels, (3, N, 1), leave sRGB by more than rounding: (N, 1)."""
    return (linear - 0.5).abs_().amax(dim=0) > 0.5 + 1e-5


def _most_chroma(pixels: torch.Tensor) -> torch.Tensor:
    """The factor, (N, 1), that brings the chroma of Lab pixels (3, N, 1) to the gamut's border."""
    f_y, added = _f_of_lab(pixels)
    y = _f_inverse(f_y)
    factor, step = torch.zeros_like(pixels[0]), 0.5
    for _ in range(_GAMUT_STEPS):
        larger = factor + step
        outside = _out_of_gamut(_f_to_linear(f_y, added * larger, y))
        factor = torch.where(outside, factor, larger)
        step /= 2
    return factor


def _fitted(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lab pixels (3, N, 1) brought into the gamut, and the same as linear sRGB."""
    pixels = torch.cat((pixels[:1].clamp(0, 100), pixels[1:]))
    linear = _lab_to_linear(pixels)
    outside = _out_of_gamut(linear).nonzero()[:, 0]
    wild = pixels[:, outside]
    fitted = torch.cat((wild[:1], wild[1:] * _most_chroma(wild)))
    pixels[:, outside] = fitted
    linear[:, outside] = _lab_to_linear(fitted)
    return pixels, linear


def fit_gamut(lab: torch.Tensor) -> torch.Tensor:
    """Bring CIE Lab (..., 3, H, W) into the sRGB gamut at constant L and hue, by less chroma.

    Clipping R, G and B would change the lightness; this keeps it, so black stays black and white
    stays white. L is clipped to [0, 100].
    """
    channels_first = lab.float().movedim(-3, 0)
    pixels, _ = _fitted(channels_first.reshape(3, -1, 1))
    return pixels.reshape(channels_first.shape).movedim(0, -3)


def lab_to_fitted_srgb(lab: torch.Tensor) -> torch.Tensor:
    """`lab_to_srgb(fit_gamut(lab))`, which would go to linear sRGB twice."""
    channels_first = lab.float().movedim(-3, 0)
    _, linear = _fitted(channels_first.reshape(3, -1, 1))
    return _companded(linear.clamp(0, 1)).reshape(channels_first.shape).movedim(0, -3)
