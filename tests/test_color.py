"""sRGB, CIE Lab and the normalized Lab of the network."""

import pytest
import torch

from scsnet_hf.color import (
    denormalize_lab,
    fit_gamut,
    lab_to_fitted_srgb,
    lab_to_srgb,
    normalize_lab,
    scale_chroma,
    srgb_to_lab,
)


def pixel(*values: float) -> torch.Tensor:
    """One pixel, (3, 1, 1)."""
    return torch.tensor(values, dtype=torch.float32).reshape(3, 1, 1)


def random_rgb(*shape: int) -> torch.Tensor:
    """8-bit sRGB as float in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, generator=generator) / 255


def out_of_gamut_lab() -> torch.Tensor:
    """CIE Lab of any lightness, nearly all of it outside sRGB."""
    generator = torch.Generator().manual_seed(1)
    lab = torch.rand(1, 3, 32, 32, generator=generator) * 400 - 200
    lab[:, 0] = lab[:, 0] / 4 + 50
    return lab


GRAYS = (torch.arange(256) / 255).expand(3, 1, 256)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((0, 255, 255), (91.11, -48.09, -14.13)),
        ((255, 0, 255), (60.32, 98.23, -60.82)),
        ((255, 255, 0), (97.14, -21.55, 94.48)),
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_lab_of_a_color_is_the_published_one(rgb, lab):
    actual = srgb_to_lab(pixel(*rgb) / 255)
    torch.testing.assert_close(actual, pixel(*lab), atol=0.1, rtol=0)


def test_round_trip_keeps_every_level():
    rgb = random_rgb(2, 3, 64, 64)
    back = lab_to_srgb(denormalize_lab(normalize_lab(srgb_to_lab(rgb))))
    assert (back - rgb).abs().max() < 0.5 / 255


def test_every_gray_has_exactly_zero_chroma():
    assert srgb_to_lab(GRAYS)[1:].abs().max() == 0


def test_every_gray_has_equal_channels_after_a_round_trip():
    red, green, blue = lab_to_srgb(denormalize_lab(normalize_lab(srgb_to_lab(GRAYS))))
    assert torch.equal(red, green)
    assert torch.equal(green, blue)


def test_lightness_grows_with_every_gray_level():
    assert (srgb_to_lab(GRAYS)[0].diff() > 0).all()


def test_normalized_lab_has_its_documented_units():
    torch.testing.assert_close(normalize_lab(pixel(75, 55, -110)), pixel(0.5, 0.5, -1))
    torch.testing.assert_close(denormalize_lab(pixel(0.5, 0.5, -1)), pixel(75, 55, -110))


def test_normalized_lightness_is_from_minus_one_to_one():
    lab = torch.zeros(3, 1, 3)
    lab[0] = torch.tensor([0.0, 50.0, 100.0])
    assert normalize_lab(lab)[0].flatten().tolist() == [-1, 0, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    "convert", [srgb_to_lab, lab_to_srgb, normalize_lab, denormalize_lab, fit_gamut]
)
def test_conversion_runs_in_float32(convert, dtype):
    assert convert(torch.rand(3, 2, 2).to(dtype)).dtype == torch.float32


@pytest.mark.parametrize("convert", [srgb_to_lab, lab_to_srgb])
def test_gradient_is_finite_at_black(convert):
    black = torch.zeros(3, 1, 1, requires_grad=True)
    convert(black).sum().backward()
    assert black.grad.isfinite().all()
    assert black.grad.abs().sum() > 0


def test_colors_outside_srgb_are_clipped():
    rgb = lab_to_srgb(out_of_gamut_lab())
    assert rgb.min() >= 0
    assert rgb.max() <= 1


def test_fit_gamut_keeps_the_lightness():
    lab = out_of_gamut_lab()
    assert torch.equal(fit_gamut(lab)[:, 0], lab[:, 0].clamp(0, 100))


def test_fit_gamut_keeps_the_hue():
    (_, a, b), (_, fitted_a, fitted_b) = out_of_gamut_lab()[0], fit_gamut(out_of_gamut_lab())[0]
    torch.testing.assert_close(a * fitted_b, b * fitted_a, atol=1e-2, rtol=0)
    assert (a * fitted_a + b * fitted_b >= 0).all()


def test_fitted_colors_lie_within_srgb():
    fitted = fit_gamut(out_of_gamut_lab())
    # Nothing is clipped in the conversion to sRGB, so the inverse finds the same color.
    torch.testing.assert_close(srgb_to_lab(lab_to_srgb(fitted)), fitted, atol=0.2, rtol=0)


def test_fit_gamut_removes_no_more_chroma_than_necessary():
    lab = out_of_gamut_lab()
    fitted = fit_gamut(lab)
    reduced = (fitted[:, 1:] != lab[:, 1:]).any(dim=1)
    rgb = lab_to_srgb(scale_chroma(fitted, 1.1))
    at_the_edge = ((rgb < 1e-6) | (rgb > 1 - 1e-6)).any(dim=1)
    colorful = fitted[:, 1:].norm(dim=1) > 5  # a tenth of less is below the step of the bisection
    assert at_the_edge[reduced & colorful].all()


def test_fit_gamut_keeps_colors_inside_srgb():
    lab = srgb_to_lab(random_rgb(1, 3, 64, 64))
    torch.testing.assert_close(fit_gamut(lab), lab, atol=1e-4, rtol=0)


def test_fitted_srgb_is_the_srgb_of_fitted_colors():
    for lab in (out_of_gamut_lab(), out_of_gamut_lab()[0], torch.zeros(3, 1, 1)):
        torch.testing.assert_close(lab_to_fitted_srgb(lab), lab_to_srgb(fit_gamut(lab)))


def test_fit_gamut_does_not_change_its_argument():
    lab = out_of_gamut_lab()
    fit_gamut(lab)
    assert torch.equal(lab, out_of_gamut_lab())


@pytest.mark.parametrize(("lightness", "expected"), [(0, 0), (100, 1), (-30, 0), (140, 1)])
def test_black_stays_black_and_white_stays_white(lightness, expected):
    rgb = lab_to_srgb(fit_gamut(pixel(lightness, 90, -150)))
    torch.testing.assert_close(rgb, torch.full((3, 1, 1), float(expected)), atol=1e-3, rtol=0)


def test_scale_chroma_multiplies_a_and_b_only():
    assert torch.equal(scale_chroma(pixel(40, 10, -20), 1.5), pixel(40, 15, -30))


def test_scale_chroma_by_zero_is_gray():
    red, green, blue = lab_to_srgb(scale_chroma(srgb_to_lab(random_rgb(3, 8, 8)), 0))
    assert torch.equal(red, green)
    assert torch.equal(green, blue)


def test_scale_chroma_by_one_changes_nothing():
    assert torch.equal(scale_chroma(out_of_gamut_lab(), 1.0), out_of_gamut_lab())
