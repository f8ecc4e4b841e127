"""A cut is another image; motion, exposure and noise are none."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from helpers.images import make_image
from scsnet_hf.video.scenes import is_blank, is_cut, thumbnail_of

IMAGE = make_image(200, 160)


def cut_between(before: Image.Image, after: Image.Image) -> bool:
    return is_cut(thumbnail_of(before), thumbnail_of(after))


def test_another_image_is_a_cut():
    others = [make_image(200, 160, seed=seed) for seed in range(1, 9)]
    assert all(cut_between(IMAGE, other) for other in others)


def test_the_negative_is_a_cut():
    assert cut_between(IMAGE, ImageOps.invert(IMAGE))


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.2])
def test_exposure_is_no_cut(factor):
    assert not cut_between(IMAGE, IMAGE.point(lambda level: min(255, factor * level)))


def test_noise_is_no_cut():
    noise = np.random.default_rng(0).normal(0, 20, (160, 200, 3))
    noisy = (np.asarray(IMAGE) + noise).clip(0, 255).astype(np.uint8)
    assert not cut_between(IMAGE, Image.fromarray(noisy))


def test_slow_motion_is_no_cut():
    windows = [IMAGE.crop((x, 0, x + 150, 150)) for x in range(0, 50, 3)]
    assert not any(map(cut_between, windows, windows[1:]))


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_flat_image_is_blank(level):
    assert is_blank(thumbnail_of(Image.new("L", (64, 48), level)))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_an_image_is_not_blank_in_any_mode(mode):
    assert not is_blank(thumbnail_of(IMAGE.convert(mode)))


def test_faint_noise_on_black_is_blank():
    levels = np.random.default_rng(0).integers(0, 12, (160, 200), dtype=np.uint8)
    assert is_blank(thumbnail_of(Image.fromarray(levels)))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (7, 5)])
def test_any_size_has_a_thumbnail(size):
    thumbnail = thumbnail_of(Image.new("RGB", size, "gray"))
    assert thumbnail.shape == (8, 8)
    assert thumbnail.min() == thumbnail.max()
