"""What a person sees while they edit hints."""

import numpy as np
import pytest
from PIL import Image, ImageColor

from helpers.images import make_image
from scsnet_hf.guidance.hint_preview import HintPreview, draw_hints

HINTS = [(40, 50, "#b03020"), (200, 100, "#2050b0")]


def pixels(image) -> np.ndarray:
    return np.asarray(image).astype(int)


@pytest.fixture(scope="module")
def image():
    return make_image(240, 160, "L")


@pytest.fixture(scope="module")
def preview(tiny_pipe, image):
    return HintPreview(tiny_pipe, image)


@pytest.mark.parametrize("hints", [[], HINTS])
def test_it_shows_what_the_pipeline_computes(preview, tiny_pipe, image, hints):
    result = tiny_pipe(image, scale=1, luminance="source", hints=hints)
    assert np.abs(pixels(preview.draw(hints)) - pixels(result)).max() <= 1


def test_a_large_image_is_previewed_small_with_hints_in_its_own_pixels(tiny_pipe, preview, image):
    large = image.resize((480, 320), Image.Resampling.BICUBIC)
    reduced = HintPreview(tiny_pipe, large, long_side=240)
    assert reduced.size == (480, 320)
    result = reduced.draw([(2 * x, 2 * y, color) for x, y, color in HINTS])
    assert result.size == (240, 160)
    assert np.abs(pixels(result) - pixels(preview.draw(HINTS))).mean() < 2


def test_the_automatic_color_is_the_one_of_the_result(preview):
    automatic = pixels(preview.draw())[60:65, 100:105].mean(axis=(0, 1))
    assert np.abs(ImageColor.getrgb(preview.automatic_color(102, 62)) - automatic).max() < 25


def test_likely_colors_start_with_the_automatic_one_and_are_as_light(preview):
    colors = preview.likely_colors(40, 50)
    assert next(iter(colors.items())) == ("automatic", preview.automatic_color(40, 50))
    grays = [
        Image.new("RGB", (1, 1), color).convert("L").getpixel((0, 0)) for color in colors.values()
    ]
    assert np.ptp(grays) < 30
    assert len(set(colors.values())) > 8


@pytest.mark.parametrize("hints", [HINTS, [*HINTS, (41, 51, "teal")]])
def test_reach_is_shown_on_the_image(preview, hints):
    reach, shown = pixels(preview.draw_reach(hints, 0)), pixels(preview.draw(hints))
    assert (reach <= shown + 1).all()
    assert reach.mean() < shown.mean()


def test_hints_are_drawn_in_their_colors_where_they_are(image):
    gray = image.convert("RGB")
    drawn = draw_hints(gray, (480, 320), [(80, 100, "#b03020")], selected=0)
    assert drawn.getpixel((40, 50)) == (176, 48, 32)
    assert drawn.getpixel((200, 100)) == gray.getpixel((200, 100))
