"""A series gives what the pipeline gives with the same reference."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import pipeline

from helpers.images import make_image
from helpers.tiny_models import build_tiny_model
from scsnet_hf import ImageError, SCSNetImageProcessor
from scsnet_hf.video.series import Series

SCENE = make_image(80, 48, "L")
WINDOWS = [SCENE.crop((x, 0, x + 64, 48)) for x in range(0, 8, 2)]  # of one scene
OTHER = make_image(64, 48, "L", seed=4)  # of another
REFERENCE = make_image(40, 40, seed=9)

MODES = {
    "automatic": {},
    "first": {"reference": "first"},
    "propagated": {"propagate": True},
    "first, propagated": {"reference": "first", "propagate": True},
    "given, propagated": {"reference": REFERENCE, "propagate": True},
}


def levels(result) -> np.ndarray:
    return np.asarray(result, dtype=int)


def chroma_of(result: Image.Image) -> np.ndarray:
    """Differences of R and B from G."""
    rgb = levels(result)
    return rgb[..., ::2] - rgb[..., 1:2]


def assert_same(first, second) -> None:
    assert np.array_equal(levels(first), levels(second))


@pytest.fixture
def encoded(tiny_pipe, monkeypatch):
    """Sizes of the references that the model encodes from here on."""
    sizes = []
    original = tiny_pipe.model.encode_reference

    def noting(pixels):
        sizes.append(tuple(pixels.shape[-2:]))
        return original(pixels)

    monkeypatch.setattr(tiny_pipe.model, "encode_reference", noting)
    return sizes


class TestReferences:
    def test_none_is_the_pipeline(self, tiny_pipe):
        series = Series(tiny_pipe, scale=1.5, saturation=2)
        for window in [*WINDOWS, OTHER]:
            assert_same(series(window), tiny_pipe(window, scale=1.5, saturation=2))

    def test_a_given_one_is_encoded_once(self, tiny_pipe, encoded):
        series = Series(tiny_pipe, REFERENCE, scale=1)
        results = [series(window) for window in [*WINDOWS, OTHER]]
        assert encoded == [(40, 40)]
        for window, result in zip([*WINDOWS, OTHER], results, strict=True):
            assert_same(result, tiny_pipe(window, reference=REFERENCE, scale=1))

    def test_several_given_ones(self, tiny_pipe):
        both = [REFERENCE, OTHER.convert("RGB")]
        result = Series(tiny_pipe, both, scale=1)(WINDOWS[0])
        assert_same(result, tiny_pipe(WINDOWS[0], reference=both, scale=1))

    def test_first_is_the_automatic_result_of_the_first_image(self, tiny_pipe, encoded):
        series = Series(tiny_pipe, "first", scale=1)
        results = [series(window) for window in WINDOWS]
        assert len(encoded) == 1
        first = tiny_pipe(WINDOWS[0], scale=1)
        for window, result in zip(WINDOWS, results, strict=True):
            assert_same(result, tiny_pipe(window, reference=first, scale=1))

    def test_hints_are_for_the_first_image_whose_result_is_the_reference(self, tiny_pipe):
        hints = [(10, 10, "red")]
        series = Series(tiny_pipe, "first", hints=hints, scale=1)
        results = [series(image) for image in (*WINDOWS[:2], OTHER)]
        first = tiny_pipe(WINDOWS[0], hints=hints, scale=1)
        assert_same(results[0], tiny_pipe(WINDOWS[0], first, hints=hints, scale=1))
        assert_same(results[1], tiny_pipe(WINDOWS[1], first, scale=1))
        assert_same(results[2], Series(tiny_pipe, "first", scale=1)(OTHER))

    def test_without_a_reference_hints_are_for_the_first_image_alone(self, tiny_pipe):
        hints = [(10, 10, "red")]
        series = Series(tiny_pipe, hints=hints, scale=1)
        assert_same(series(WINDOWS[0]), tiny_pipe(WINDOWS[0], hints=hints, scale=1))
        assert_same(series(WINDOWS[0]), tiny_pipe(WINDOWS[0], scale=1))

    def test_a_resumed_series_does_not_take_the_hints_again(self, tiny_pipe):
        first, resumed = (
            Series(tiny_pipe, "first", hints=[(10, 10, "red")], scale=1) for _ in range(2)
        )
        first(WINDOWS[0])
        resumed.load_state(first.state())
        assert_same(resumed(WINDOWS[1]), first(WINDOWS[1]))

    def test_a_cut_takes_a_new_reference(self, tiny_pipe):
        series = Series(tiny_pipe, "first", scale=1)
        results = [series(image) for image in (*WINDOWS, OTHER, OTHER)]
        alone = Series(tiny_pipe, "first", scale=1)
        for result in results[-2:]:
            assert_same(result, alone(OTHER))

    def test_in_an_album_the_first_image_is_the_reference_of_all(self, tiny_pipe):
        series = Series(tiny_pipe, "first", follow_scenes=False, scale=1)
        results = [series(image) for image in (WINDOWS[0], OTHER)]
        first = tiny_pipe(WINDOWS[0], scale=1)
        assert_same(results[1], tiny_pipe(OTHER, reference=first, scale=1))

    def test_strength_reaches_the_pipeline(self, tiny_pipe):
        series = Series(tiny_pipe, REFERENCE, reference_strength=0, scale=1)
        assert_same(series(OTHER), tiny_pipe(OTHER, scale=1))

    def test_black_images_are_no_scene(self, tiny_pipe):
        black = Image.new("L", (64, 48))
        plain, faded = (Series(tiny_pipe, "first", propagate=True, scale=1) for _ in range(2))
        expected = [plain(window) for window in WINDOWS[:2]]
        faded(black)
        results = [faded(WINDOWS[0])]
        assert_same(faded(black), tiny_pipe(black, scale=1))
        results.append(faded(WINDOWS[1]))
        for result, other in zip(results, expected, strict=True):
            assert_same(result, other)


class TestPropagation:
    def test_colors_of_a_video_change_less(self, tiny_pipe):
        scene = make_image(96, 80, "L")
        frames = [scene.crop((3 * i, i, 3 * i + 64, i + 64)) for i in range(6)]  # a pan
        changes = []
        for propagate in (False, True):
            series = Series(tiny_pipe, propagate=propagate, scale=1)
            chroma = [chroma_of(series(frame)) for frame in frames]
            changes.append(
                np.mean([np.abs(a[1:, 3:] - b[:-1, :-3]).mean() for a, b in pairwise(chroma)])
            )
        assert changes[1] < changes[0] / 2

    def test_nothing_is_propagated_over_a_cut(self, tiny_pipe):
        series = Series(tiny_pipe, propagate=True, scale=1)
        series(WINDOWS[0])
        assert_same(series(OTHER), tiny_pipe(OTHER, scale=1))

    def test_another_size_starts_over(self, tiny_pipe):
        larger = WINDOWS[0].resize((128, 96))
        series = Series(tiny_pipe, propagate=True, scale=1)
        series(WINDOWS[0])
        assert_same(series(larger), tiny_pipe(larger, scale=1))

    def test_depth_and_transparency_stay(self, tiny_pipe):
        series = Series(tiny_pipe, propagate=True, scale=1)
        clear = WINDOWS[0].convert("LA")
        clear.putalpha(Image.linear_gradient("L").resize(clear.size))
        results = [series(clear), series(clear)]
        assert [result.mode for result in results] == ["RGBA", "RGBA"]
        assert results[1].getchannel("A") == results[0].getchannel("A")
        deep = Series(tiny_pipe, propagate=True, scale=1)
        for window in WINDOWS[:2]:
            result = deep(window, depth=16)
            assert (result.dtype, result.shape) == (np.uint16, (48, 64, 3))


class TestState:
    @pytest.mark.parametrize("mode", MODES)
    def test_a_resumed_series_is_bit_exact(self, tiny_pipe, tmp_path, mode):
        images = [*WINDOWS, OTHER, OTHER]
        whole = Series(tiny_pipe, scale=1.5, **MODES[mode])
        expected = [whole(image) for image in images]
        for stop in range(len(images)):
            first, resumed = (Series(tiny_pipe, scale=1.5, **MODES[mode]) for _ in range(2))
            for image in images[:stop]:
                first(image)
            save_file(first.state(), tmp_path / "state.safetensors")
            resumed.load_state(load_file(tmp_path / "state.safetensors"))
            for image, result in zip(images[stop:], expected[stop:], strict=True):
                assert_same(resumed(image), result)

    def test_an_empty_state_starts_over(self, tiny_pipe):
        series = Series(tiny_pipe, "first", propagate=True, scale=1)
        assert series.state() == {}
        first = series(WINDOWS[0])
        series(OTHER)
        series.load_state({})
        assert_same(series(WINDOWS[0]), first)

    def test_a_bad_image_leaves_it_as_it_was(self, tiny_pipe):
        with_bad, without = (Series(tiny_pipe, "first", propagate=True, scale=1) for _ in range(2))
        results = []
        for image in (b"no image", WINDOWS[0], "nowhere.png", WINDOWS[1]):
            try:
                results.append(with_bad(image))
            except ImageError:
                continue
        for result, window in zip(results, WINDOWS[:2], strict=True):
            assert_same(result, without(window))

    def test_the_pipeline_keeps_nothing(self, tiny_pipe):
        before = tiny_pipe(OTHER, scale=1)
        Series(tiny_pipe, "first", propagate=True, scale=1)(WINDOWS[0])
        assert_same(tiny_pipe(OTHER, scale=1), before)


class TestSettings:
    def test_they_are_the_same_for_the_same_series(self, tiny_pipe):
        first, second = (Series(tiny_pipe, REFERENCE, scale=2).settings() for _ in range(2))
        assert json.loads(json.dumps(first)) == second

    def test_they_distinguish_series(self, tiny_pipe):
        other_pipe = pipeline(
            "scs-colorize-sr",
            model=build_tiny_model(seed=1),
            image_processor=SCSNetImageProcessor(),
            device="cpu",
        )
        several = [
            Series(tiny_pipe, scale=2),
            Series(tiny_pipe, scale=3),
            Series(tiny_pipe, size=(40, 40)),
            Series(tiny_pipe, scale=2, saturation=1.5),
            Series(tiny_pipe, "first", scale=2),
            Series(tiny_pipe, REFERENCE, scale=2),
            Series(tiny_pipe, OTHER.convert("RGB").rotate(90), scale=2),
            Series(tiny_pipe, propagate=True, scale=2),
            Series(tiny_pipe, follow_scenes=False, scale=2),
            Series(other_pipe, scale=2),
        ]
        assert len({json.dumps(series.settings()) for series in several}) == len(several)


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"scale": 99}, ValueError, "0.5 to 16"),
            ({"scale": 2, "size": (4, 4)}, ValueError, "only one of"),
            ({"color": 2}, TypeError, "unknown argument color"),
            ({"return_attention": True}, TypeError, "return_attention"),
            ({"reference": "nowhere.jpg"}, ImageError, "nowhere.jpg"),
        ],
    )
    def test_wrong_arguments_are_refused_before_any_image(
        self, tiny_pipe, arguments, error, message
    ):
        with pytest.raises(error, match=message):
            Series(tiny_pipe, **arguments)

    @pytest.mark.parametrize("reference", ["first", REFERENCE])
    def test_a_model_without_references(self, reference):
        pipe = pipeline(
            "scs-colorize-sr",
            model=build_tiny_model(cross_attention="none"),
            image_processor=SCSNetImageProcessor(),
            device="cpu",
        )
        with pytest.raises(ValueError, match="takes no reference"):
            Series(pipe, reference)
        assert isinstance(Series(pipe, propagate=True, scale=1)(OTHER), Image.Image)


def test_state_is_of_plain_tensors(tiny_pipe):
    series = Series(tiny_pipe, "first", propagate=True, scale=1)
    series(WINDOWS[0])
    state = series.state()
    assert {"thumbnail", "reference.0", "last"} <= state.keys()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
