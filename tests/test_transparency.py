"""Transparent images: hidden colors have no effect, and alpha of any size."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from helpers.images import make_image
from scsnet_hf.image_processing_scsnet import fill_transparent, resize_alpha

SIZES = [{"scale": 0.5}, {"scale": 1}, {"scale": 2.7}, {"size": (31, 90)}, {"long_side": 33}]


def visible_mask(height: int = 22, width: int = 29) -> torch.Tensor:
    """(1, 1, H, W) bool: a disc."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((rows - 9) ** 2 + (columns - 12) ** 2 < 40)[None, None]


def cut_out(image: Image.Image, hidden) -> Image.Image:
    """A disc of an image with a soft edge; `hidden` lies under all that is fully transparent."""
    large = Image.new("L", (4 * image.width, 4 * image.height))
    ImageDraw.Draw(large).ellipse((20, 12, 90, 80), fill=255)
    alpha = large.resize(image.size, Image.Resampling.BOX)
    under = Image.new(image.mode, image.size, hidden)
    under.paste(image, mask=alpha.point(lambda level: 255 * (level > 0)))
    under.putalpha(alpha)
    return under


# What is hidden


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (22, 29), (64, 64)])
def test_visible_values_stay_exactly(size):
    values = torch.rand(1, 3, *size)
    visible = torch.rand(1, 1, *size) < 0.4
    filled = fill_transparent(values, visible)
    assert filled.shape == values.shape
    assert torch.equal(filled[visible.expand_as(values)], values[visible.expand_as(values)])


def test_hidden_values_do_not_matter():
    values, visible = torch.rand(1, 3, 22, 29), visible_mask()
    other = torch.where(visible, values, torch.rand(1, 3, 22, 29))
    assert torch.equal(fill_transparent(values, visible), fill_transparent(other, visible))


def test_filled_values_lie_between_the_visible_ones():
    values, visible = torch.rand(1, 1, 22, 29), visible_mask()
    filled, seen = fill_transparent(values, visible), values[visible]
    assert seen.min() - 1e-6 <= filled.min()
    assert filled.max() <= seen.max() + 1e-6


def test_even_surroundings_fill_evenly():
    values, visible = torch.zeros(1, 1, 22, 29), visible_mask()
    values[visible] = 0.75
    torch.testing.assert_close(fill_transparent(values, visible), torch.full_like(values, 0.75))


def test_filled_values_are_those_of_the_nearest_side():
    values = torch.zeros(1, 1, 16, 64)
    values[..., 32:] = 1
    visible = torch.zeros(1, 1, 16, 64, dtype=torch.bool)
    visible[..., :4] = visible[..., -4:] = True
    filled = fill_transparent(values, visible)
    assert filled[..., 4:8].max() < 0.2
    assert filled[..., -8:-4].min() > 0.8


@pytest.mark.parametrize("shown", [True, False])
def test_all_or_nothing_visible_leaves_everything(shown):
    values = torch.rand(1, 3, 5, 7)
    visible = torch.full((1, 1, 5, 7), shown)
    assert torch.equal(fill_transparent(values, visible), values)


# Alpha


@pytest.mark.parametrize("level", [0, 1, 77, 254, 255])
@pytest.mark.parametrize("size", [(1, 1), (7, 90), (100, 3)])
def test_even_alpha_stays_exact(level, size):
    resized = resize_alpha(Image.new("L", (29, 22), level), size)
    assert resized.size == size
    assert resized.getextrema() == (level, level)


def test_alpha_of_the_same_size_stays_exact():
    alpha = make_image(29, 22, "L")
    assert resize_alpha(alpha, (29, 22)).tobytes() == alpha.tobytes()


@pytest.mark.parametrize("size", [(58, 44), (14, 11), (40, 10)])
def test_alpha_keeps_its_shape(size):
    alpha = Image.new("L", (29, 22))
    alpha.paste(255, (0, 0, 15, 22))
    resized = resize_alpha(alpha, size)
    assert resized.getpixel((0, size[1] // 2)) == 255
    assert resized.getpixel((size[0] - 1, size[1] // 2)) == 0


# Through the pipeline


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("luminance", ["network", "source"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_hidden_colors_change_nothing_in_a_result(tiny_pipe, size, luminance, mode):
    image = make_image(29, 22, mode)
    black, white = (cut_out(image, color) for color in ("black", "white"))
    assert black.tobytes() != white.tobytes()
    results = [tiny_pipe(source, luminance=luminance, **size) for source in (black, white)]
    assert results[0].mode == "RGBA"
    assert results[0].tobytes() == results[1].tobytes()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("depth", [8, 16])
def test_alpha_of_a_result_is_that_of_the_source_in_its_size(tiny_pipe, size, depth):
    source = cut_out(make_image(29, 22), "black")
    result = np.asarray(tiny_pipe(source, depth=depth, **size))
    height, width = result.shape[:2]
    expected = np.asarray(resize_alpha(source.getchannel("A"), (width, height)), dtype=int)
    assert np.array_equal(result[..., 3], expected * (257 if depth == 16 else 1))


@pytest.mark.parametrize("level", [0, 77, 255])
def test_even_alpha_of_an_image_stays_exact(tiny_pipe, level):
    source = make_image(29, 22, "LA")
    source.putalpha(level)
    assert tiny_pipe(source, scale=2.7).getchannel("A").getextrema() == (level, level)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("hidden", ["black", "white"])
@pytest.mark.parametrize("background", [0, 255])
def test_edges_have_no_fringe_on_any_background(tiny_pipe, size, hidden, background):
    gray = Image.new("L", (29, 22), 128)
    result = tiny_pipe(cut_out(gray, hidden), luminance="source", saturation=0, **size)
    below = Image.new("RGBA", result.size, (background,) * 3 + (255,))
    seen = np.asarray(Image.alpha_composite(below, result))[..., :3]
    low, high = sorted((background, 128))
    assert low - 1 <= seen.min()
    assert seen.max() <= high + 1
