"""Windows at any magnification are parts of the whole output; a zoom ends where it should."""

import numpy as np
import pytest
from PIL import Image

from helpers.images import make_image
from scsnet_hf import ImageError, ZoomView
from scsnet_hf.guidance.zoom import save_animation

IMAGE = make_image(60, 40)


@pytest.fixture(scope="module")
def view(tiny_pipe):
    return ZoomView(tiny_pipe, IMAGE)


def whole(pipe, scale: float, **kwargs) -> np.ndarray:
    """The complete output, as the network draws it."""
    model, processor = pipe.model, pipe.image_processor
    outputs = model(processor.source_tensor(IMAGE), scale=scale, **kwargs)
    return np.asarray(processor.post_process(outputs.reconstruction.detach())[0], dtype=int)


class TestDraw:
    @pytest.mark.parametrize("scale", [1.0, 2.7, 7.3])
    @pytest.mark.parametrize("center", [(0, 0), (0.3, 0.6), (1, 1)])
    def test_a_window_is_part_of_the_whole(self, tiny_pipe, view, scale, center):
        complete = whole(tiny_pipe, scale)
        height, width = complete.shape[:2]
        left, top = (
            min(max(0, round(share * side - part / 2)), side - part)
            for share, side, part in zip(center, (width, height), (32, 20), strict=True)
        )
        window = np.asarray(view.draw(scale, center, (32, 20)), dtype=int)
        assert np.abs(window - complete[top : top + 20, left : left + 32]).max() <= 1

    def test_the_whole_image_is_a_window_too(self, tiny_pipe, view):
        window = np.asarray(view.draw(2, (0.5, 0.5), (120, 80)), dtype=int)
        assert np.abs(window - whole(tiny_pipe, 2)).max() <= 1

    def test_no_saturation_is_gray(self, view):
        window = np.asarray(view.draw(2, (0.5, 0.5), (32, 20), saturation=0))
        assert np.ptp(window, axis=2).max() == 0

    def test_a_reference_changes_colors_and_strength_zero_does_not(self, tiny_pipe, view):
        automatic = view.draw(2, (0.5, 0.5), (32, 20))
        reference = make_image(30, 30, seed=5)
        drawn = [
            ZoomView(tiny_pipe, IMAGE, reference, strength).draw(2, (0.5, 0.5), (32, 20))
            for strength in (0, 1)
        ]
        assert drawn[0] == automatic
        assert drawn[1] != automatic

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((2, (0.5, 1.2), (32, 20)), "from 0 to 1"),
            ((2, (0.5, 0.5), (121, 20)), "121x20 is larger than .* 120x80"),
        ],
    )
    def test_wrong_arguments_are_refused(self, view, arguments, message):
        with pytest.raises(ValueError, match=message):
            view.draw(*arguments)

    def test_a_file_that_is_no_image_is_named(self, tiny_pipe, tmp_path):
        (tmp_path / "a.png").write_text("no image")
        with pytest.raises(ImageError, match=r"a\.png"):
            ZoomView(tiny_pipe, tmp_path / "a.png")


class TestZoomIn:
    def test_it_starts_where_the_image_fills_the_window_and_ends_at_scale(self, view):
        frames = list(view.zoom_in((0.2, 0.7), (90, 60), scale=6, count=5))
        assert [frame.size for frame in frames] == [(90, 60)] * 5
        assert frames[0] == view.draw(1.5, (0.2, 0.7), (90, 60))
        assert frames[-1] == view.draw(6, (0.2, 0.7), (90, 60))

    def test_it_never_starts_below_magnification_one(self, view):
        assert view.smallest_scale((30, 20)) == 1
        assert view.smallest_scale((30, 80)) == 2

    @pytest.mark.parametrize(
        ("change", "message"),
        [({"scale": 1.5}, "above 1.50"), ({"scale": 17}, "at most 16"), ({"count": 1}, "count=1")],
    )
    def test_wrong_arguments_are_refused_before_the_first_window(self, view, change, message):
        with pytest.raises(ValueError, match=message):
            view.zoom_in((0.5, 0.5), (90, 60), **change)


def test_a_comparison_doubles_up_to_the_last_magnification(view):
    images = view.compare_scales((0.5, 0.5), 6, 60)
    assert {caption: image.size for caption, image in images.items()} == {
        "x1": (10, 10),
        "x2": (20, 20),
        "x4": (40, 40),
        "x6": (60, 60),
    }


def test_a_square_is_drawn_at_every_magnification(view):
    images = view.draw_square((0.5, 0.5), 8, (1, 2.5))
    assert {caption: image.size for caption, image in images.items()} == {
        "x1": (8, 8),
        "x2.5": (20, 20),
    }


def test_an_animation_holds_every_frame(tmp_path):
    frames = [make_image(24, 16, seed=seed) for seed in range(4)]
    save_animation(iter(frames), tmp_path / "zoom.webp")
    with Image.open(tmp_path / "zoom.webp") as animation:
        assert (animation.format, animation.n_frames, animation.size) == ("WEBP", 4, (24, 16))
        assert animation.info["loop"] == 0
