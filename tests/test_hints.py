"""Color hints in calls of the pipeline."""

import logging
from copy import deepcopy

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from helpers.images import make_image
from helpers.tiny_models import build_tiny_model
from scsnet_hf import SCSNetImageProcessor, pipeline_scsnet
from scsnet_hf.image_processing_scsnet import read_hints

RED, BLUE, GREEN = "#b03020", (32, 60, 176), "hsl(120, 60%, 40%)"
HINTS = [(5, 6, RED), (30, 20, BLUE)]


def equal(one, other) -> bool:
    return one.size == other.size and one.mode == other.mode and one.tobytes() == other.tobytes()


def largest_difference(one, other) -> int:
    return np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).max()


@pytest.fixture(scope="module")
def image():
    return make_image(48, 32)


@pytest.fixture(scope="module")
def strokes(image):
    """A red square on the left, and nothing else."""
    strokes = Image.new("RGBA", image.size)
    strokes.paste(Image.new("RGB", (8, 8), RED), (8, 12))
    return strokes


@pytest.fixture(scope="module")
def images():
    return [make_image(48, 32, seed=seed) for seed in range(4)]


class TestOneImage:
    def test_hints_change_the_image_by_their_color_and_place(self, tiny_pipe, image):
        automatic, red, blue, elsewhere = (
            tiny_pipe(image, hints=hints)
            for hints in (None, [(5, 6, RED)], [(5, 6, BLUE)], [(30, 20, RED)])
        )
        for one in (red, blue, elsewhere):
            assert not equal(one, automatic)
        assert not equal(red, blue)
        assert not equal(red, elsewhere)

    @pytest.mark.parametrize("none", [None, [], (), Image.new("RGBA", (48, 32))])
    def test_no_hints_are_the_automatic_image(self, tiny_pipe, image, none):
        assert equal(tiny_pipe(image, hints=none), tiny_pipe(image))

    def test_strength_zero_is_the_automatic_image(self, tiny_pipe, image):
        result = tiny_pipe(image, hints=HINTS, reference_strength=0)
        assert equal(result, tiny_pipe(image))

    def test_every_way_to_write_a_hint_is_the_same(self, tiny_pipe, image):
        hints = (
            [(5, 6, "#ff0000")],
            [(5.0, 6.0, "red")],
            ((np.int64(5), 6, np.array([255, 0, 0])),),
            [[5, 6, [255, 0, 0]]],
            [{"x": 5, "y": 6, "color": "rgb(255, 0, 0)"}],
        )
        first, *others = (tiny_pipe(image, hints=one) for one in hints)
        assert all(equal(first, other) for other in others)

    def test_the_lightness_of_a_gray_does_not_count(self, tiny_pipe, image):
        black, white = (tiny_pipe(image, hints=[(5, 6, gray)]) for gray in ("black", "#fff"))
        assert equal(black, white)

    def test_the_order_of_hints_does_not_matter(self, tiny_pipe, image):
        results = [tiny_pipe(image, hints=HINTS[::step]) for step in (1, -1)]
        assert largest_difference(*results) <= 1

    @pytest.mark.parametrize("as_tokens", [False, True])
    def test_a_reference_and_hints_both_count(self, tiny_pipe, image, as_tokens):
        modern = make_image(24, 24, seed=3)
        reference = (
            {"reference_tokens": tiny_pipe.encode_reference(modern)}
            if as_tokens
            else {"reference": modern}
        )
        both = tiny_pipe(image, hints=HINTS, **reference)
        assert equal(both, tiny_pipe(image, reference=modern, hints=HINTS))
        assert not equal(both, tiny_pipe(image, hints=HINTS))
        assert not equal(both, tiny_pipe(image, **reference))

    def test_maps_show_the_attention_to_every_hint(self, tiny_pipe, image):
        result = tiny_pipe(image, hints=HINTS, return_attention=True)
        assert [level.shape[-1] for level in result["attentions"]] == [2] * len(result["valves"])

    def test_strips_and_encoded_colors_take_them_too(self, tiny_pipe, image):
        modern = make_image(24, 24, seed=3)
        result = tiny_pipe(image, hints=HINTS, reference=modern)
        assert equal(tiny_pipe.strips(image, modern, HINTS).to_image(), result)
        with_hints, without = (tiny_pipe.encode_color(image, hints=one) for one in (HINTS, None))
        assert not torch.equal(with_hints.features, without.features)

    def test_they_are_given_in_pixels_of_the_source_however_small_the_result(self, tiny_pipe):
        # One flat and one patterned half, so that the halves have different features.
        left = make_image(64, 64)
        left.paste("white", (32, 0, 64, 64))
        small = tiny_pipe(
            left.resize((32, 32), Image.Resampling.BICUBIC), scale=1, hints=[(4, 8, RED)]
        )
        assert equal(tiny_pipe(left, scale=0.5, hints=[(8, 16, RED)]), small)


class TestStrokes:
    def test_one_cell_is_the_hint_in_its_middle(self, tiny_pipe, image):
        strokes = Image.new("RGBA", image.size)
        strokes.paste(Image.new("RGB", (4, 4), RED), (8, 12))
        assert equal(tiny_pipe(image, hints=strokes), tiny_pipe(image, hints=[(10, 14, RED)]))

    def test_a_file_is_read(self, tiny_pipe, image, strokes, tmp_path):
        strokes.save(tmp_path / "strokes.png")
        result = tiny_pipe(image, hints=str(tmp_path / "strokes.png"))
        assert equal(result, tiny_pipe(image, hints=strokes))
        assert not equal(result, tiny_pipe(image))

    def test_what_is_invisible_has_no_color(self, tiny_pipe, image, strokes):
        hidden = Image.new("RGBA", image.size, (0, 255, 0, 0))
        hidden.paste(strokes, mask=strokes.getchannel("A"))
        assert equal(tiny_pipe(image, hints=hidden), tiny_pipe(image, hints=strokes))

    def test_a_large_image_has_a_hint_for_every_covered_cell(self):
        strokes = Image.new("RGBA", (400, 200))
        strokes.paste(Image.new("RGB", (40, 20), "red"), (100, 60))  # 2x1 cells of 25 pixels each
        strokes.paste(Image.new("RGB", (2, 2), "red"), (300, 150))  # too little to count
        found = read_hints(strokes, (400, 200), (400, 200), (32, 64))
        assert found.positions.tolist() == [[[112.5, 62.5], [137.5, 62.5]]]

    def test_thin_lines_alone_count(self):
        strokes = Image.new("RGBA", (400, 200))
        strokes.paste(Image.new("RGB", (50, 1), "red"), (100, 60))
        found = read_hints(strokes, (400, 200), (400, 200), (32, 64))
        assert found.positions[0, :, 0].tolist() == [112.5, 137.5]


def test_a_model_that_has_not_learned_them_says_so(tiny_pipe, image, monkeypatch):
    said = []
    monkeypatch.setattr(pipeline_scsnet.logger, "warning_once", said.append)
    for learned in (True, False):
        monkeypatch.setattr(tiny_pipe.model.config, "color_hints", learned)
        tiny_pipe(image, hints=HINTS, scale=1)
        assert any("has not learned color hints" in line for line in said) != learned


class TestMany:
    @pytest.mark.parametrize("batch_size", [1, 4])
    @pytest.mark.parametrize("kind", ["list", "rows", "generator"])
    def test_each_image_gets_its_own(self, tiny_pipe, images, batch_size, kind):
        own = [HINTS, HINTS[::-1], None, [(1, 2, GREEN)]]
        rows = [{"image": i, "hints": h} for i, h in zip(images, own, strict=True)]
        arguments = {"scale": 2, "batch_size": batch_size}
        results = {
            "list": lambda: tiny_pipe(images, hints=own, **arguments),
            "rows": lambda: tiny_pipe(rows, **arguments),
            "generator": lambda: tiny_pipe((row for row in rows), **arguments),
        }[kind]()
        for result, image, hints in zip(results, images, own, strict=True):
            assert largest_difference(result, tiny_pipe(image, hints=hints, scale=2)) <= 1

    def test_rows_of_a_data_set_bring_theirs(self, tiny_pipe, images):
        hints = [[{"x": 5, "y": 6, "color": "red"}], [{"x": 9, "y": 1, "color": "blue"}]]
        rows = datasets.Dataset.from_dict({"image": images[:2], "hints": hints})
        for result, image, own in zip(tiny_pipe(rows, scale=1), images[:2], hints, strict=True):
            assert equal(result, tiny_pipe(image, hints=own, scale=1))

    @pytest.mark.parametrize("batch_size", [1, 2])
    def test_one_reference_serves_all(self, tiny_pipe, images, batch_size):
        modern = make_image(24, 24, seed=3)
        hints, two = [[(5, 6, RED)], [(9, 9, BLUE)]], images[:2]
        results = tiny_pipe(two, modern, hints=hints, scale=1, batch_size=batch_size)
        for result, image, own in zip(results, two, hints, strict=True):
            assert largest_difference(result, tiny_pipe(image, modern, hints=own, scale=1)) <= 1

    def test_sources_with_equally_many_run_together(self, tiny_pipe, images, monkeypatch):
        batches, encode = [], tiny_pipe.model.encode_hints
        monkeypatch.setattr(
            tiny_pipe.model,
            "encode_hints",
            lambda pixels, *hints: (batches.append(len(pixels)), encode(pixels, *hints))[1],
        )
        list(tiny_pipe(images, hints=[HINTS, HINTS, HINTS[:1], HINTS], scale=1, batch_size=4))
        assert batches == [2, 1, 1]


class TestErrors:
    @pytest.mark.parametrize(
        ("hints", "message"),
        [
            ([(48, 3, "red")], r"\(48, 3\) is outside the image, which has 48x32 pixels"),
            ([(3, -0.5, "red")], "outside the image"),
            ([(3, 3, "redd")], "'redd' is no color; give one such as"),
            ([(3, 3, (1, 2))], "is no color"),
            ([(3, 3, (300, 0, 0))], "from 0 to 255"),
            ([(3, 3, None)], "is no color"),
            ([(3, 3)], r"\(3, 3\) is no hint; give \(x, y, color\)"),
            ([("3", 3, "red")], "is no hint"),
            ([(float("nan"), 3, "red")], "is no hint"),
            (7, "7 is neither a list of"),
            ("missing.png", "missing.png: no such file"),
            (Image.new("RGB", (48, 32)), "has no transparency"),
            (Image.new("RGBA", (32, 48)), "32x48 pixels, but the source 48x32"),
        ],
    )
    def test_they_say_what_was_given_and_what_is_accepted(self, tiny_pipe, image, hints, message):
        with pytest.raises(ValueError, match=message):
            tiny_pipe(image, hints=hints)

    @pytest.mark.parametrize("hints", [HINTS, HINTS[:1], Image.new("RGBA", (48, 32))])
    def test_several_images_need_an_entry_each(self, tiny_pipe, image, hints):
        with pytest.raises(ValueError, match="hints for 3 images: give a list with one for each"):
            tiny_pipe([image] * 3, hints=hints)

    def test_a_generator_brings_them_in_rows(self, tiny_pipe, image):
        for many in ((image for _ in range(2)), datasets.Dataset.from_dict({"image": [image]})):
            with pytest.raises(ValueError, match="dicts with the keys 'image' and 'hints'"):
                tiny_pipe(many, hints=HINTS)

    def test_a_model_without_references_takes_none(self, image):
        pipe = pipeline(
            "scs-colorize-sr",
            model=build_tiny_model(cross_attention="none"),
            image_processor=SCSNetImageProcessor(),
            device="cpu",
        )
        with pytest.raises(ValueError, match="cross_attention='none'"):
            pipe(image, hints=HINTS)


def test_of_two_in_one_position_the_later_counts_and_a_warning_says_so(tiny_pipe, image, caplog):
    logger = logging.getLogger("transformers")
    logger.propagate = True
    # Positions of features are 4x4 pixels here.
    both = tiny_pipe(image, hints=[(4, 4, RED), (20, 20, GREEN), (7, 7, BLUE)])
    logger.propagate = False
    assert equal(both, tiny_pipe(image, hints=[(20, 20, GREEN), (7, 7, BLUE)]))
    assert "1 of 3 hints are within 4 pixels of a later one" in caplog.text


def test_other_number_formats_take_them(tiny_model, image):
    pipe = pipeline(
        "scs-colorize-sr",
        model=deepcopy(tiny_model).bfloat16(),
        image_processor=SCSNetImageProcessor(),
        device="cpu",
    )
    assert not equal(pipe(image, hints=HINTS), pipe(image))
