"""Captioned pictures side by side."""

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image

from scsnet_hf.panels import draw_panels, rendered

COLOURS = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255)}


def plain(colour: str, size=(20, 10)) -> Image.Image:
    return Image.new("RGB", size, colour)


def places(figure: Image.Image, colour: str) -> np.ndarray:
    """Which pixels have this colour, bool (H, W)."""
    return (np.asarray(figure) == COLOURS[colour]).all(axis=-1)


def box(figure: Image.Image, colour: str) -> tuple[int, int, int, int]:
    """left, top, right, bottom of a panel of this colour, which has to be a full rectangle."""
    rows, columns = places(figure, colour).nonzero()
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
        for colour, proportion in (("red", 0.5), ("green", 3)):
            left, top, right, bottom = box(figure, colour)
            assert right - left == width
            assert bottom - top == round(width * proportion)

    def test_panels_of_a_row_stand_side_by_side(self):
        figure = draw_panels([{colour: plain(colour) for colour in COLOURS}], 30)
        red, green, blue = (box(figure, colour) for colour in COLOURS)
        assert red[2] < green[0] < green[2] < blue[0]
        assert red[1] == green[1] == blue[1]

    def test_rows_stand_below_each_other_in_the_same_columns(self):
        rows = [{"a": plain("red", (10, 30)), "b": plain("green")}, {"a": plain("blue")}]
        figure = draw_panels(rows, 30)
        red, green, blue = (box(figure, colour) for colour in COLOURS)
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


class TestPictures:
    CHECKERS = Image.fromarray(np.array([[0, 255], [255, 0]], dtype=np.uint8))

    def levels(self, mode: str) -> int:
        figure = draw_panels([{"": self.CHECKERS.convert(mode)}], 40)
        return len(np.unique(np.asarray(figure)))

    def test_inputs_are_enlarged_without_interpolation(self):
        assert self.levels("L") == 2

    def test_others_are_enlarged_smoothly(self):
        assert self.levels("RGB") > 10

    def test_a_picture_of_the_asked_width_is_shown_as_it_is(self):
        picture = make_picture(30, 20)
        left, top, *_ = box(draw_panels([{"": plain("red", (30, 20))}], 30), "red")
        figure = draw_panels([{"": picture}], 30)
        assert figure.crop((left, top, left + 30, top + 20)).tobytes() == picture.tobytes()

    def test_the_pictures_are_left_as_they_were(self):
        picture = make_picture(30, 20)
        before = picture.tobytes()
        draw_panels([{"a": picture}], 64)
        assert picture.tobytes() == before


def test_a_figure_is_rendered_at_its_size_and_color():
    figure = pytest.importorskip("matplotlib.figure").Figure((2, 1), dpi=30, facecolor="red")
    picture = rendered(figure)
    assert (picture.mode, picture.size) == ("RGB", (60, 30))
    assert picture.getcolors() == [(60 * 30, COLOURS["red"])]
