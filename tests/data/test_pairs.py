"""What one photograph becomes: aligned source, labels and reference."""

import random

import numpy as np
import pytest
from PIL import Image

from helpers.images import make_image
from scsnet_hf.data import Degradation, PairMaker

SMALL = PairMaker(source_size=16, label_size=12, reference_size=20)
NAMES = {"source", "labels", "reference", "output_size", "output_start", "own_reference", "seed"}


def sample(make_pair=SMALL, seed=0, size=(80, 60)):
    return make_pair(make_image(*size, seed=seed), random.Random(seed))


def equal(one: dict, other: dict) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


class TestSample:
    @pytest.mark.parametrize(("name", "side"), [("source", 16), ("labels", 12), ("reference", 20)])
    def test_images_are_uint8_of_the_asked_size(self, name, side):
        made = sample()[name]
        assert made.dtype == np.uint8
        assert made.shape == (3, side, side)

    @pytest.mark.parametrize("name", ["output_size", "output_start"])
    def test_positions_are_two_whole_numbers(self, name):
        made = sample()[name]
        assert made.dtype == np.int64
        assert made.shape == (2,)

    def test_the_seed_is_one_whole_number(self):
        made = sample()["seed"]
        assert made.dtype == np.int64
        assert made.shape == ()
        assert made >= 0

    def test_each_sample_has_its_own_seed(self):
        image = make_image(40, 40)
        seeds = {int(SMALL(image, random.Random(seed))["seed"]) for seed in range(20)}
        assert len(seeds) == 20

    def test_nothing_else_is_made(self):
        assert set(sample()) == NAMES

    def test_the_same_random_numbers_make_the_same_sample(self):
        assert equal(sample(), sample())

    def test_other_random_numbers_make_another_sample(self):
        image = make_image(80, 60)
        one, other = (SMALL(image, random.Random(seed)) for seed in (0, 1))
        assert not equal(one, other)

    def test_the_image_is_left_as_it_was(self):
        image = make_image(40, 40)
        before = image.tobytes()
        SMALL(image, random.Random(0))
        assert image.tobytes() == before


class TestGeometry:
    def test_the_output_lies_in_the_scale_range(self):
        make_pair = PairMaker(16, 12, 16, scale_range=(1.5, 2.5))
        sizes = {tuple(sample(make_pair, seed)["output_size"]) for seed in range(60)}
        assert all(24 <= height == width <= 40 for height, width in sizes)
        assert len(sizes) > 5

    def test_a_image_is_not_enlarged(self):
        for seed in range(30):
            assert max(sample(seed=seed, size=(90, 20))["output_size"]) <= 20

    def test_one_scale_gives_one_size(self):
        make_pair = PairMaker(8, 8, 8, scale_range=(4, 4), view_range=(1, 1))
        assert {tuple(sample(make_pair, s)["output_size"]) for s in range(10)} == {(32, 32)}

    @pytest.mark.parametrize("enlarge", [True, False])
    @pytest.mark.parametrize(
        ("label_size", "scale_range"), [(12, (1, 4)), (16, (1, 4)), (32, (2, 4)), (1, (1, 1))]
    )
    def test_the_window_lies_inside_the_output(self, label_size, scale_range, enlarge):
        make_pair = PairMaker(16, label_size, 16, scale_range, enlarge=enlarge)
        for seed in range(40):
            made = sample(make_pair, seed, size=(50, 40))
            assert made["labels"].shape == (3, label_size, label_size)
            assert (made["output_start"] >= 0).all()
            assert (made["output_start"] + label_size <= made["output_size"]).all()

    def test_the_window_takes_every_place(self):
        make_pair = PairMaker(8, 8, 8, scale_range=(1.25, 1.25))
        places = {tuple(sample(make_pair, seed)["output_start"]) for seed in range(150)}
        assert places == {(row, column) for row in range(3) for column in range(3)}

    @pytest.mark.parametrize("scale_range", [(1, 1), (2, 2), (4, 4), (1, 4)])
    @pytest.mark.parametrize("axis", [0, 1], ids=["vertical", "horizontal"])
    def test_source_and_labels_lie_on_one_ramp(self, axis, scale_range):
        """Nothing shifts: on a ramp, a level is a position."""
        ramp = np.broadcast_to(np.arange(256, dtype=np.uint8), (256, 256))
        image = Image.fromarray(np.ascontiguousarray(ramp if axis else ramp.T)).convert("RGB")
        make_pair = PairMaker(64, 64, 32, scale_range, view_range=(1, 1))
        for seed in range(8):
            made = make_pair(image, random.Random(seed))
            source, labels = (
                np.moveaxis(made[name][0], axis, 0).mean(axis=1) for name in ("source", "labels")
            )
            size, start = made["output_size"][axis], made["output_start"][axis]
            centers = (start + np.arange(64) + 0.5) * 64 / size - 0.5  # of labels, in the source
            inside = (centers > 3) & (centers < 60)  # the kernel bends the ramp at the border
            expected = np.interp(centers, np.arange(64), source)
            assert np.abs(labels - expected)[inside].max(initial=0) < 1

    def test_the_reference_is_the_whole_output_and_not_a_window(self):
        image = make_image(64, 64)
        make_pair = PairMaker(64, 8, 64, (1, 1), view_range=(1, 1))
        made = make_pair(image, random.Random(0))
        assert np.array_equal(made["reference"], made["source"])

    @staticmethod
    def rising_ramps(**arguments) -> int:
        """Of 60 samples of a ramp that rises to one side, how many rise to the right."""
        ramp = Image.linear_gradient("L").rotate(90).convert("RGB").resize((32, 32))
        make_pair = PairMaker(32, 8, 8, (1, 1), **arguments)
        return sum(
            np.diff(make_pair(ramp, random.Random(seed))["source"][0].astype(int)).mean() > 0
            for seed in range(60)
        )

    def test_about_half_of_the_images_are_mirrored(self):
        assert 15 < self.rising_ramps() < 45

    def test_none_is_mirrored_on_request(self):
        assert self.rising_ramps(mirror=False) in (0, 60)


class TestOtherViews:
    def reference_of(self, other_view_probability):
        views = PairMaker(
            16,
            16,
            16,
            (1.0, 1.0),
            (0.3, 0.4),
            mirror=False,
            other_view_probability=other_view_probability,
        )
        made = sample(views, size=(160, 120))
        return np.abs(made["reference"].astype(int) - made["source"]).mean(), made

    def test_at_0_the_reference_shows_the_same_view(self):
        assert self.reference_of(0.0)[0] < 2

    def test_at_1_it_shows_another_view_of_the_same_image(self):
        difference, made = self.reference_of(1.0)
        assert difference > 5
        assert made["own_reference"]


class TestSmallImages:
    NEEDS_32 = {"source_size": 16, "label_size": 32, "reference_size": 16, "scale_range": (2, 4)}

    @pytest.mark.parametrize("size", [(31, 100), (100, 31), (1, 1)])
    def test_a_image_that_is_too_small_is_refused(self, size):
        with pytest.raises(ValueError, match=f"{size[0]}x{size[1]} is too small.* 32 pixels"):
            PairMaker(**self.NEEDS_32)(make_image(*size), random.Random(0))

    def test_a_image_just_large_enough_is_taken(self):
        made = PairMaker(**self.NEEDS_32)(make_image(32, 32), random.Random(0))
        assert tuple(made["output_size"]) == (32, 32)

    @pytest.mark.parametrize("size", [(31, 100), (100, 31), (1, 1)])
    def test_it_is_taken_if_images_are_enlarged(self, size):
        make_pair = PairMaker(**self.NEEDS_32, enlarge=True)
        sizes = {int(sample(make_pair, seed, size)["output_size"][0]) for seed in range(40)}
        assert 32 <= min(sizes) < 40
        assert 56 < max(sizes) <= 64

    def test_enlarging_changes_nothing_for_large_images(self):
        image = make_image(200, 200)
        for seed in range(10):
            one, other = (
                PairMaker(16, 12, 16, enlarge=enlarge)(image, random.Random(seed))
                for enlarge in (False, True)
            )
            assert equal(one, other)


class TestDegradation:
    WORN = Degradation(noise=(20, 20), noise_probability=1)

    @pytest.fixture
    def both(self):
        """The same sample without and with damage."""
        return [
            sample(PairMaker(16, 12, 16, degradation=degradation))
            for degradation in (None, self.WORN)
        ]

    @pytest.mark.parametrize("name", ["labels", "reference", "output_size", "output_start"])
    def test_labels_and_reference_stay_clean(self, both, name):
        assert np.array_equal(*(made[name] for made in both))

    def test_the_source_is_damaged(self, both):
        clean, worn = (made["source"].astype(float) for made in both)
        assert 5 < (worn - clean).std() < 40

    def test_damage_too_follows_from_the_random_numbers(self):
        make_pair = PairMaker(16, 12, 16, degradation=Degradation())
        assert all(equal(sample(make_pair, s), sample(make_pair, s)) for s in range(10))


class TestArguments:
    @pytest.mark.parametrize(
        "arguments",
        [
            {"scale_range": (0.5, 4)},
            {"scale_range": (3, 2)},
            {"scale_range": (float("nan"), 2)},
            {"label_size": 17, "source_size": 16},
            {"label_size": 33, "source_size": 16, "scale_range": (2, 4)},
            {"label_size": 0},
            {"label_size": 0, "source_size": 0},
            {"reference_size": 0},
            {"view_range": (0.5, 1.5)},
            {"view_range": (1.0, 0.5)},
            {"view_range": (0, 1)},
            {"other_reference_probability": -0.1},
            {"other_reference_probability": 1.1},
            {"other_reference_probability": float("nan")},
        ],
    )
    def test_values_that_cannot_be_are_refused(self, arguments):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            PairMaker(**arguments)

    def test_too_large_a_window_is_refused_with_the_largest(self):
        with pytest.raises(ValueError, match="label_size 40 must be from 1 to 32"):
            PairMaker(16, 40, 16, scale_range=(2, 4))

    @pytest.mark.parametrize(("source_size", "scale", "side"), [(16, 1, 16), (16, 2.5, 40)])
    def test_the_smallest_output_is_the_source_at_the_smallest_scale(
        self, source_size, scale, side
    ):
        make_pair = PairMaker(source_size, 8, 8, scale_range=(scale, 4))
        assert make_pair.smallest_output == side

    def test_the_defaults_are_those_of_the_paper(self):
        assert PairMaker() == PairMaker(128, 128, 128, (1, 4), enlarge=False, degradation=None)
