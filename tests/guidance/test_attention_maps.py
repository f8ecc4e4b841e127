"""Attention maps: their shapes, their sums, and how they are drawn."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from helpers.images import make_image
from helpers.tiny_models import build_tiny_model
from scsnet_hf import AttentionMaps, SCSNetImageProcessor
from scsnet_hf.guidance.points import draw_point

SOURCE, REFERENCE = make_image(61, 42), make_image(50, 33, seed=1)


@pytest.fixture(scope="module")
def maps(tiny_pipe):
    return AttentionMaps.from_images(tiny_pipe, SOURCE, REFERENCE)


def test_every_cell_of_every_level_has_a_map_of_the_reference(maps):
    # Sides of a quarter, then halves of that, all rounded up.
    assert [tuple(level.shape) for level in maps.attentions] == [
        (11, 16, 9, 13),
        (6, 8, 5, 7),
        (3, 4, 3, 4),
    ]
    assert [tuple(level.shape) for level in maps.valves] == [(2, 11, 16), (2, 6, 8), (2, 3, 4)]


def test_attention_sums_to_one_and_valves_are_between_closed_and_open(maps):
    for level in maps.attentions:
        assert torch.allclose(level.sum(dim=(2, 3)), torch.ones(level.shape[:2]), atol=1e-4)
    for level in maps.valves:
        assert ((level > 0) & (level < 1)).all()


def test_a_point_selects_its_cell(maps):
    for level, weights in enumerate(maps.attentions):
        assert torch.equal(maps.at((0, 0))[level], weights[0, 0])
        assert torch.equal(maps.at((1, 1))[level], weights[-1, -1])
    # 30 of 61 pixels across is in the 8th cell of 4 pixels, 11 of 42 down in the 3rd.
    assert torch.equal(maps.at((30 / 61, 11 / 42))[0], maps.attentions[0][2, 7])


def test_a_point_outside_is_refused(maps):
    with pytest.raises(ValueError, match="from 0 to 1"):
        maps.at((0.5, -0.1))


def test_the_brightest_cell_is_the_one_with_the_most_attention():
    attention = torch.full((1, 1, 4, 4), 0.01)
    attention[0, 0, 3, 1] = 0.85
    maps = AttentionMaps((4, 4), (16, 16), (attention,), ())
    (drawn,) = maps.draw_attention(Image.new("RGB", (64, 64), "white"), (0.5, 0.5))
    light = np.asarray(drawn.convert("L"))
    assert drawn.size == (64, 64)
    assert light[56, 24] == 255
    assert light[8, 8] < 80


def test_padding_is_not_drawn():
    """A reference of 6x6 has 2x2 cells of 4x4 pixels, of which the last ones are cropped."""
    attention = torch.tensor([[0.0, 0.0], [0.0, 1.0]]).view(1, 1, 2, 2)
    maps = AttentionMaps((4, 4), (6, 6), (attention,), ())
    (drawn,) = maps.draw_attention(Image.new("RGB", (60, 60), "white"), (0, 0))
    light = np.asarray(drawn.convert("L"))
    assert light[50, 50] == 255
    assert light[30, 30] < 80


def test_valves_are_drawn_on_the_gray_source_a_pair_for_every_level(maps):
    drawn = maps.draw_valves(SOURCE)
    assert len(drawn) == 3
    for image in (image for pair in drawn for image in pair):
        assert image.size == SOURCE.size
        assert np.ptp(np.asarray(image), axis=2).max() == 0


@pytest.mark.parametrize("point", [(0, 0), (0.25, 0.75), (1, 1)])
def test_a_point_is_drawn_where_it_is(point):
    drawn = draw_point(make_image(60, 30), point)
    assert drawn.size == (640, 320)
    x, y = (round(share * (side - 1)) for share, side in zip(point, drawn.size, strict=True))
    assert drawn.getpixel((x, y)) == (255, 0, 0)
    pixels = np.asarray(drawn, dtype=int)
    red = np.argwhere(pixels[..., 0] - pixels[..., 1] > 100)
    assert np.abs(red - (y, x)).max() < 40


@pytest.fixture
def build_pipe():
    def build(**config):
        return pipeline(
            "scs-colorize-sr",
            model=build_tiny_model(**config),
            image_processor=SCSNetImageProcessor(),
            device="cpu",
        )

    return build


def test_large_images_are_mapped_as_the_color_branch_sees_them(build_pipe):
    pipe = build_pipe(color_size=32)
    maps = AttentionMaps.from_images(pipe, make_image(100, 50), make_image(300, 400))
    assert maps.source_size == (16, 32)
    assert maps.reference_size == (32, 24)
    assert tuple(maps.attentions[0].shape) == (4, 8, 8, 6)


def test_a_model_without_valves_has_none(build_pipe):
    maps = AttentionMaps.from_images(build_pipe(cross_attention="basic"), SOURCE, REFERENCE)
    assert len(maps.attentions) == 1
    assert maps.draw_valves(SOURCE) == []


def test_a_model_without_references_says_so(build_pipe):
    with pytest.raises(ValueError, match="cross_attention"):
        AttentionMaps.from_images(build_pipe(cross_attention="none"), SOURCE, REFERENCE)
