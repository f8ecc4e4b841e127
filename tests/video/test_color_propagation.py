"""Colors stay where the image stays, wherever it went as a whole, and nowhere else."""

import numpy as np
import pytest
import torch

from helpers.images import make_image
from scsnet_hf.color import fit_gamut, lab_to_srgb, srgb_to_lab
from scsnet_hf.video.color_propagation import propagate_colors

WEIGHT = 0.8  # of the previous colors


def rgb_of(width: int, height: int, seed: int = 0, chroma: float = 0.2) -> torch.Tensor:
    """A smooth image (3, H, W) in weak colors, far from the borders of sRGB."""
    levels = torch.from_numpy(np.array(make_image(width, height, seed=seed)))
    lab = srgb_to_lab(0.25 + levels.permute(2, 0, 1) / 510)
    lab[1:] *= chroma
    return lab_to_srgb(lab)


def recolored(rgb: torch.Tensor, a: float, b: float, lighter: float = 0.0) -> torch.Tensor:
    lab = srgb_to_lab(rgb)
    lab[0] += lighter
    lab[1], lab[2] = a, b
    return lab_to_srgb(fit_gamut(lab))


def chroma_of(rgb: torch.Tensor) -> torch.Tensor:
    return srgb_to_lab(rgb)[1:]


def assert_propagated(result: torch.Tensor, previous: torch.Tensor, current: torch.Tensor) -> None:
    expected = WEIGHT * chroma_of(previous) + (1 - WEIGHT) * chroma_of(current)
    assert (chroma_of(result) - expected).abs().max() < 0.5


PREVIOUS = rgb_of(60, 44)


def test_the_same_image_stays():
    assert (propagate_colors(PREVIOUS, PREVIOUS) - PREVIOUS).abs().max() < 1e-4


def test_other_colors_of_the_same_image_give_way():
    current = recolored(PREVIOUS, 8, -6)
    assert_propagated(propagate_colors(PREVIOUS, current), PREVIOUS, current)


def test_the_lightness_is_the_current_one():
    current = recolored(rgb_of(60, 44, seed=3), 8, -6)
    result = srgb_to_lab(propagate_colors(PREVIOUS, current))
    assert (result - srgb_to_lab(current))[0].abs().max() < 0.05


@pytest.mark.parametrize("lighter", [-15.0, 10.0])
def test_a_change_of_exposure_changes_nothing(lighter):
    current = recolored(PREVIOUS, 4, -4, lighter)
    assert_propagated(propagate_colors(PREVIOUS, current), PREVIOUS, current)


@pytest.mark.parametrize(("x", "y"), [(5, 0), (0, 4), (7, 3), (12, 9)])
def test_colors_move_with_the_image(x, y):
    scene = rgb_of(100, 90)
    previous, after = scene[:, 10:70, 10:80], scene[:, 10 + y : 70 + y, 10 + x : 80 + x]
    for first, second in ((previous, after), (after, previous)):
        current = recolored(second, 5, 5)
        result = propagate_colors(first, current)
        truth = WEIGHT * chroma_of(second) + (1 - WEIGHT) * 5
        inside = (slice(None), slice(y + 5, 55 - y), slice(x + 5, 65 - x))
        assert (chroma_of(result) - truth)[inside].abs().max() < 0.5


def test_what_came_into_view_keeps_its_own_colors():
    scene = rgb_of(100, 60)
    previous, current = scene[:, :, :60], recolored(scene[:, :, 20:80], 5, 5)
    assert (chroma_of(propagate_colors(previous, current))[:, :, 40:] - 5).abs().max() < 0.1


def test_what_changed_keeps_its_own_colors():
    current = PREVIOUS.clone()
    current[:, 10:30, 20:44] = rgb_of(60, 44, seed=7)[:, 10:30, 20:44].flip(2).sqrt()
    current = recolored(current, 5, 5)
    changed = (srgb_to_lab(PREVIOUS) - srgb_to_lab(current))[0].abs()
    result = chroma_of(propagate_colors(PREVIOUS, current))
    far = torch.nn.functional.max_pool2d(-changed[None], 5, 1, 2)[0] < -6  # all around it
    assert far.sum() > 50
    assert (result[:, far] - 5).abs().max() < 0.1
    assert_propagated(
        propagate_colors(PREVIOUS, current)[:, :, :15], PREVIOUS[:, :, :15], current[:, :, :15]
    )


def test_noise_does_not_prevent_it():
    noise = 0.012 * torch.randn(3, 44, 60, generator=torch.Generator().manual_seed(0)).mean(0)
    current = recolored((PREVIOUS + noise).clamp(0, 1), 5, 5)
    assert_propagated(propagate_colors(PREVIOUS, current), PREVIOUS, current)


def test_another_size_is_left_as_it_is():
    current = rgb_of(30, 44)
    assert propagate_colors(PREVIOUS, current) is current


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 2)])
def test_any_size(size):
    current = rgb_of(*size)
    assert propagate_colors(current.flip(2), current).shape == current.shape


def test_flat_images():
    flat = torch.full((3, 20, 30), 0.5)
    assert (propagate_colors(flat, flat) - flat).abs().max() < 1e-4
