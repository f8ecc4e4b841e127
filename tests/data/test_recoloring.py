"""Other colors, the same for truth and reference."""

import math

import pytest
import torch

from scsnet_hf.data import recolor

IMAGES = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) - 0.5


def turned(angle, chroma=1.0, images=IMAGES):
    return recolor(images, torch.full((2,), angle), torch.full((2,), chroma))


def chroma_of(images):
    return images[:, 1:].norm(dim=1)


def test_a_turn_by_nothing_changes_nothing():
    torch.testing.assert_close(turned(0.0), IMAGES)


def test_lightness_stays():
    assert torch.equal(turned(1.0, 0.7)[:, 0], IMAGES[:, 0])


def test_half_a_turn_gives_the_opposite_colors():
    torch.testing.assert_close(turned(math.pi)[:, 1:], -IMAGES[:, 1:])


def test_a_quarter_turn_makes_red_yellow():
    red = torch.zeros(2, 3, 1, 1)
    red[:, 1] = 0.5
    yellow = turned(math.pi / 2, images=red)
    torch.testing.assert_close(yellow[0].flatten(), torch.tensor([0.0, 0.0, 0.5]))


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.4])
def test_the_factor_is_that_of_the_chroma(factor):
    torch.testing.assert_close(chroma_of(turned(2.0, factor)), factor * chroma_of(IMAGES))


def test_every_image_has_its_own_angle():
    result = recolor(IMAGES, torch.tensor([0.0, math.pi]), torch.ones(2))
    torch.testing.assert_close(result[0], IMAGES[0])
    torch.testing.assert_close(result[1, 1:], -IMAGES[1, 1:])


def test_colors_alone_are_turned_like_those_of_a_image():
    torch.testing.assert_close(turned(0.8, 1.2, IMAGES[:, 1:]), turned(0.8, 1.2)[:, 1:])
