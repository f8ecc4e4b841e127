"""Captioned images side by side."""

import numpy as np
import pytest
from PIL import Image

from helpers.images import make_image
from scsnet_hf.io.panels import draw_panels

COLORS = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255)}


def plain(color: str, size=(20, 10)) -> Image.Image:
    return Image.new("RGB", size, color)


def places(figure: Image.Image, color: str) -> np.ndarray:
    """Which pixels have this color, bool (H, W)."""
    return (np.asarray(figure) == COLORS[color]).all(axis=-1)


def box(figure: Image.Image, color: str) -> tuple[int, int, int, int]:
    """left, top, right, bottom of a panel of this color, which has to be a full rectangle."""
    rows, columns = places(figure, color).nonzero()
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert len(rows) == (right - left) * (bottom - top)
    return left, top, right, bottom


class TestLayout:
    def test_it_is_rgb_on_white(self):
        figure = draw_panels([{"a": plain("red")}], 40)
        assert figure.mode == "RGB"
        assert {figure.getpixel((x, y)) for x in (0, figure.width - 1) for y in (0, 1)} == {
            (255, 255, 255)
        }

    @pytest.mark.parametrize("width", [10, 20, 45])
    def test_every_panel_has_the_asked_width_and_its_own_proportions(self, width):
        panels = {"a": plain("red", (20, 10)), "b": plain("green", (7, 21))}
        figure = draw_panels([panels], width)
        for color, proportion in (("red", 0.5), ("green", 3)):
            left, top, right, bottom = box(figure, color)
            assert right - left == width
            assert bottom - top == round(width * proportion)

    def test_panels_of_a_row_stand_side_by_side(self):
        figure = draw_panels([{color: plain(color) for color in COLORS}], 30)
        red, green, blue = (box(figure, color) for color in COLORS)
        assert red[2] < green[0] < green[2] < blue[0]
        assert red[1] == green[1] == blue[1]

    def test_rows_stand_below_each_other_in_the_same_columns(self):
        rows = [{"a": plain("red", (10, 30)), "b": plain("green")}, {"a": plain("blue")}]
        figure = draw_panels(rows, 30)
        red, green, blue = (box(figure, color) for color in COLORS)
        assert max(red[3], green[3]) < blue[1]
        assert red[0] == blue[0]

    def test_a_row_with_fewer_panels_leaves_white(self):
        rows = [{"a": plain("red"), "b": plain("red")}, {"a": plain("blue")}]
        figure = draw_panels(rows, 30)
        assert places(figure, "red").sum() == 2 * places(figure, "blue").sum()

    def test_captions_stand_above_their_panel(self):
        figure, without = (
            draw_panels([{caption: plain("red"), " ": plain("green")}], 60)
            for caption in ("input", "")
        )
        ink = (np.asarray(figure) != np.asarray(without)).any(axis=-1).nonzero()
        left, top, right, _ = box(figure, "red")
        assert ink[0].max() < top
        assert left <= ink[1].min() <= ink[1].max() < right


class TestImages:
    CHECKERS = Image.fromarray(np.array([[0, 255], [255, 0]], dtype=np.uint8))

    def levels(self, mode: str) -> int:
        figure = draw_panels([{"": self.CHECKERS.convert(mode)}], 40)
        return len(np.unique(np.asarray(figure)))

    def test_inputs_are_enlarged_without_interpolation(self):
        assert self.levels("L") == 2

    def test_others_are_enlarged_smoothly(self):
        assert self.levels("RGB") > 10

    def test_a_image_of_the_asked_width_is_shown_as_it_is(self):
        image = make_image(30, 20)
        left, top, *_ = box(draw_panels([{"": plain("red", (30, 20))}], 30), "red")
        figure = draw_panels([{"": image}], 30)
        assert figure.crop((left, top, left + 30, top + 20)).tobytes() == image.tobytes()

    def test_the_images_are_left_as_they_were(self):
        image = make_image(30, 20)
        before = image.tobytes()
        draw_panels([{"a": image}], 64)
        assert image.tobytes() == before
