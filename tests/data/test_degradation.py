"""Damage of old photographs."""

import random

import numpy as np
import pytest
from PIL import Image

from helpers.images import make_image
from scsnet_hf.data.degradation import Degradation

CHANCES = ("blur", "noise", "defects", "jpeg")


def only(name: str | None, chance: float = 1.0, **ranges) -> Degradation:
    """Nothing but one way of damage."""
    chances = {f"{way}_probability": chance if way == name else 0.0 for way in CHANCES}
    return Degradation(**chances, **ranges)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(float)


def roughness(image: Image.Image) -> float:
    return np.abs(np.diff(pixels(image), axis=1)).mean()


def gray(level: int = 128, side: int = 96, mode: str = "L") -> Image.Image:
    return Image.new("L", (side, side), level).convert(mode)


ALL = Degradation(
    blur_probability=1, noise_probability=1, defects_probability=1, jpeg_probability=1
)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(40, 30), (1, 1), (3, 200)])
def test_size_and_mode_are_kept(mode, size):
    for seed in range(5):
        damaged = ALL(make_image(*size, mode), random.Random(seed))
        assert (damaged.size, damaged.mode) == (size, mode)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_same_random_numbers_give_the_same_result(mode):
    one, other = (ALL(make_image(40, 30, mode), random.Random(7)) for _ in range(2))
    assert one.tobytes() == other.tobytes()


def test_other_random_numbers_give_another_result():
    one, other = (ALL(make_image(40, 30), random.Random(seed)) for seed in (1, 2))
    assert one.tobytes() != other.tobytes()


def test_every_setting_draws_equally_from_the_random_numbers():
    following = []
    for degradation in (ALL, only(None)):
        rng = random.Random(3)
        degradation(make_image(20, 20), rng)
        following.append(rng.random())
    assert following[0] == following[1]


def test_the_image_is_left_as_it_was():
    image = make_image(40, 40)
    before = image.tobytes()
    ALL(image, random.Random(0))
    assert image.tobytes() == before


def test_without_a_chance_nothing_happens():
    image = make_image(40, 40)
    assert only(None)(image, random.Random(0)).tobytes() == image.tobytes()


@pytest.mark.parametrize("name", CHANCES)
def test_each_way_alone_damages(name):
    image = make_image(64, 64)
    assert only(name)(image, random.Random(0)).tobytes() != image.tobytes()


@pytest.mark.parametrize("name", CHANCES)
def test_a_chance_of_one_half_damages_about_half(name):
    image = make_image(32, 32)
    results = [only(name, 0.5)(image, random.Random(seed)).tobytes() for seed in range(60)]
    assert 15 < sum(result != image.tobytes() for result in results) < 45


def test_blur_smooths_more_the_wider_it_is():
    image = make_image(64, 64)
    rough = [
        roughness(only("blur", blur=(sigma, sigma))(image, random.Random(0))) for sigma in (0, 1, 3)
    ]
    assert rough == sorted(rough, reverse=True)
    assert rough[0] == roughness(image)


def test_noise_has_the_deviation_asked_for():
    noisy = pixels(only("noise", noise=(8, 8))(gray(), random.Random(0)))
    assert noisy.std() == pytest.approx(8, rel=0.05)
    assert noisy.mean() == pytest.approx(128, abs=0.5)


def test_noise_stays_in_the_range_of_levels():
    noisy = pixels(only("noise", noise=(30, 30))(gray(0), random.Random(0)))
    assert 0 == noisy.min() < noisy.max() < 200


def test_grain_has_no_color():
    red, green, blue = only("noise")(gray(mode="RGB"), random.Random(0)).split()
    assert red.tobytes() == green.tobytes() == blue.tobytes()


def test_defects_leave_most_of_the_image_alone():
    touched = [
        (pixels(only("defects", defects=(1, 1))(gray(), random.Random(seed))) != 128).mean()
        for seed in range(30)
    ]
    assert max(touched) < 0.2
    assert np.mean(touched) > 0


def test_defects_are_light_or_dark():
    changes = [
        pixels(only("defects", defects=(1, 1))(gray(), random.Random(seed))) - 128
        for seed in range(40)
    ]
    assert any(change.max() > 60 for change in changes)
    assert any(change.min() < -60 for change in changes)


def test_a_lower_quality_of_jpeg_damages_more():
    image = make_image(64, 64)
    errors = [
        np.abs(
            pixels(only("jpeg", jpeg_quality=(quality, quality))(image, random.Random(0)))
            - pixels(image)
        ).mean()
        for quality in (95, 50, 10)
    ]
    assert errors == sorted(errors)


@pytest.mark.parametrize("mode", ["RGBA", "P", "I;16"])
def test_other_modes_are_refused(mode):
    with pytest.raises(ValueError, match="accepted are L and RGB"):
        Degradation()(Image.new(mode, (8, 8)), random.Random(0))


@pytest.mark.parametrize(
    "arguments",
    [
        {"blur": (-1, 1)},
        {"blur": (2, 1)},
        {"noise": (0, float("inf"))},
        {"noise": (float("nan"), 1)},
        {"defects": (-1, 3)},
        {"jpeg_quality": (0, 50)},
        {"jpeg_quality": (50, 101)},
        {"blur_probability": 1.5},
        {"jpeg_probability": -0.1},
    ],
)
def test_values_that_cannot_be_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Degradation(**arguments)
