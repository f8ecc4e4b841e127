"""The evaluation: samples, methods and metrics."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.images import make_image
from research.evaluation.consistency import HueTransfer, Stability, circular_correlation
from research.evaluation.methods import BOUNDS, Method, pipeline_methods
from research.evaluation.metrics import ColorStatistics, Fidelity, PerceptualDistance, psnr
from research.evaluation.report import evaluation_tables
from research.evaluation.run import evaluate
from research.evaluation.samples import make_samples
from scsnet_hf.color import lab_to_srgb, srgb_to_lab
from scsnet_hf.metrics import metric as load_metric
from scsnet_hf.training.vgg import VGG16Features


def lab_of(image: Image.Image) -> torch.Tensor:
    return srgb_to_lab(torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255)


def plain(lightness: float, a: float, b: float, size: tuple[int, int] = (32, 32)) -> Image.Image:
    """An image of one color, given in CIE Lab."""
    rgb = lab_to_srgb(torch.tensor([lightness, a, b])[:, None, None])
    return Image.new("RGB", size, tuple((255 * rgb).round().int().flatten().tolist()))


def samples_of(*images: Image.Image, seed: int = 0) -> list:
    return list(make_samples(images, scale=4, seed=seed))


class FakePipe:
    """What the evaluation uses of a pipeline: its call, and facts about its network."""

    def __init__(self, call, cross_attention: str = "basic"):
        self.call = call
        config = SimpleNamespace(cross_attention=cross_attention)
        self.model = SimpleNamespace(
            config=config, automatic_parameters=1, num_parameters=lambda: 2
        )

    def __call__(self, *args, **kwargs):
        return self.call(*args, **kwargs)


def numbers(metric, results: list[Image.Image], truths: list[Image.Image]) -> dict[str, float]:
    """The numbers of one metric for these results, in order."""
    remaining = iter(results)
    methods = {"it": Method(lambda sample: next(remaining))}
    return evaluate(samples_of(*truths), methods, [metric]).rows["it"]


@pytest.fixture(scope="module")
def images():
    return [make_image(64, 48, seed=seed) for seed in range(3)]


@pytest.fixture(scope="module")
def samples(images):
    return samples_of(*images)


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    return VGG16Features()


class TestSamples:
    def test_are_a_quarter_of_the_truth_at_scale_4(self, samples, images):
        assert [sample.truth for sample in samples] == images
        for sample in samples:
            assert sample.gray.mode == "L"
            for small in (sample.low, sample.gray, sample.reference, sample.recolored):
                assert small.size == (16, 12)

    def test_have_the_reference_of_the_next_image_in_a_circle(self, samples):
        own = [sample.reference for sample in samples]
        assert [sample.unrelated for sample in samples] == [*own[1:], own[0]]

    def test_follow_the_seed(self, samples, images):
        again, other = samples_of(*images), samples_of(*images, seed=1)
        for attribute in ("reference", "recolored"):
            first = getattr(samples[0], attribute)
            assert first == getattr(again[0], attribute)
            assert first != getattr(other[0], attribute)

    def test_of_recolored_references_keep_lightness_and_chroma(self):
        muted = [plain(60, 10, 5), plain(50, -8, 9), plain(40, 12, 0)]
        angles = []
        for sample in samples_of(*muted):
            before, after = lab_of(sample.reference), lab_of(sample.recolored)
            torch.testing.assert_close(after[0], before[0], rtol=0, atol=0.6)
            chroma = [lab[1:].norm(dim=0) for lab in (after, before)]
            torch.testing.assert_close(*chroma, rtol=0, atol=1.2)
            hues = [math.atan2(*lab[1:, 0, 0].flip(0).tolist()) for lab in (after, before)]
            angles.append((hues[0] - hues[1]) % (2 * math.pi))
        assert max(angles) - min(angles) > 0.3  # each image has its own

    def test_of_no_images_are_none(self):
        assert samples_of() == []


class TestMethods:
    def test_give_images_of_the_truths_size(self, tiny_pipe, samples):
        for method in {**BOUNDS, **pipeline_methods(tiny_pipe)}.values():
            result = method(samples[0])
            assert (result.mode, result.size) == ("RGB", (64, 48))

    def test_gray_bicubic_is_gray(self, samples):
        red, green, blue = BOUNDS["gray bicubic"](samples[0]).split()
        assert red == green == blue

    def test_sepia_is_one_tint(self, samples):
        _, a, b = lab_of(BOUNDS["sepia"](samples_of(plain(50, 30, 30))[0]))
        assert a.mean().item() == pytest.approx(3, abs=0.5)
        assert b.mean().item() == pytest.approx(8, abs=0.5)

    def test_true_colors_lose_nothing_of_a_plain_image(self):
        truth = plain(50, 20, -15)
        result = BOUNDS["true colors, bicubic"](samples_of(truth)[0])
        assert np.abs(np.array(result, int) - np.array(truth, int)).max() <= 1

    def test_hand_the_network_the_reference_of_their_name(self, samples):
        sample, methods = (
            samples[0],
            pipeline_methods(FakePipe(lambda source, **given: (source, given))),
        )
        size = {"size": sample.truth.size}
        assert methods["automatic"](sample) == (sample.gray, size)
        for name, reference in (
            ("self-reference", sample.reference),
            ("unrelated reference", sample.unrelated),
        ):
            assert methods[name](sample) == (sample.gray, size | {"reference": reference})

    def test_of_a_network_without_references_are_automatic_only(self):
        assert list(pipeline_methods(FakePipe(None, cross_attention="none"))) == ["automatic"]

    def test_know_how_many_parameters_they_use(self, tiny_pipe):
        methods = pipeline_methods(tiny_pipe)
        assert methods["self-reference"].parameters == tiny_pipe.model.num_parameters()
        assert 0 < methods["automatic"].parameters < methods["self-reference"].parameters


class TestFidelity:
    def test_of_the_truth_itself_is_perfect(self, images):
        row = numbers(Fidelity(), images, images)
        errors = {"gray_share": 0, "ab_error": 0, "ab_error_edges": 0}
        assert row == {"psnr_rgb": math.inf, "psnr_l": math.inf, "ssim": 1, **errors}

    def test_errors_of_color_at_edges_and_elsewhere(self):
        truth = plain(30, 0, 0, (16, 40))
        truth.paste(plain(70, 0, 0, (8, 40)), (0, 0))  # an edge at x = 8
        result = truth.copy()
        result.paste(plain(30, 20, 0, (1, 40)), (8, 0))  # its dark side is red
        row = numbers(Fidelity(), [result], [truth])
        assert row["ab_error"] == pytest.approx(20 / 16, abs=0.1)
        assert row["ab_error_edges"] == pytest.approx(20 / 4, abs=0.5)  # a band of 4 pixels

    def test_of_a_gray_result_leaves_all_gray(self, images):
        row = numbers(Fidelity(), [p.convert("L").convert("RGB") for p in images], images)
        assert row["gray_share"] == 1

    def test_counts_only_what_is_colored_in_truth(self):
        truth, result = plain(50, 30, 0), plain(50, 30, 0)
        truth.paste(plain(50, 0, 0, (32, 16)), (0, 0))  # above gray, below red
        result.paste(plain(50, 0, 0, (8, 32)), (0, 0))  # a quarter of either
        assert numbers(Fidelity(), [result], [truth])["gray_share"] == 0.25

    def test_counts_pixels_and_not_images(self):
        truths = [plain(50, 30, 0, (32, 96)), plain(50, 30, 0, (32, 32))]
        results = [truths[0], plain(50, 0, 0, (32, 32))]
        assert numbers(Fidelity(), results, truths)["gray_share"] == 0.25

    def test_has_no_share_where_nothing_is_colored(self):
        gray = plain(50, 0, 0)
        assert numbers(Fidelity(), [gray], [gray])["gray_share"] == 0

    def test_of_one_level_is_48_db(self):
        result, truth = (Image.new("RGB", (32, 32), (level,) * 3) for level in (100, 101))
        row = numbers(Fidelity(), [result], [truth])
        assert row["psnr_rgb"] == pytest.approx(48.13, abs=0.005)

    def test_is_per_image(self):
        levels = [np.zeros(4), np.full(4, 10.0)]
        assert psnr(*levels, peak=100) == pytest.approx(20)
        assert psnr(*levels, peak=10) == pytest.approx(0)


class TestColorStatistics:
    def test_of_the_truth_itself_are_the_truths(self, samples):
        rows = evaluate(
            samples, {"it": Method(lambda sample: sample.truth)}, [ColorStatistics()]
        ).rows
        assert rows["it"] == rows["truth"]
        assert min(rows["truth"].values()) > 0

    def test_of_gray_are_nothing(self, images):
        row = numbers(ColorStatistics(), [p.convert("L").convert("RGB") for p in images], images)
        assert row == {"chroma": 0, "colorfulness": 0, "std_a": 0, "std_b": 0}

    def test_of_a_tint_have_chroma_and_no_spread(self):
        gray = [plain(lightness, 0, 0) for lightness in (40, 60, 80)]
        methods = {"sepia": BOUNDS["sepia"]}
        row = evaluate(samples_of(*gray), methods, [ColorStatistics()]).rows["sepia"]
        assert row["chroma"] == pytest.approx(math.hypot(3, 8), abs=0.5)
        assert max(row["std_a"], row["std_b"]) < 0.5  # what 8 bits leave

    def test_spread_over_all_images_together(self):
        tints = [plain(50, 20, 0), plain(50, -20, 0)]
        row = numbers(ColorStatistics(), tints, tints)
        assert row["std_a"] == pytest.approx(20, abs=0.5)
        assert row["std_b"] == pytest.approx(0, abs=0.5)


class TestPerceptualDistance:
    def test_distance_of_the_truth_itself_is_zero(self, vgg, images):
        row = numbers(PerceptualDistance(vgg), images, images)
        assert row == dict.fromkeys(
            ("perceptual", "perceptual_l", "perceptual_unit", "perceptual_unit_l"), 0
        )

    @pytest.mark.parametrize("distance", ["perceptual", "perceptual_unit"])
    def test_distance_of_lightness_does_not_see_colors(self, vgg, distance):
        row = numbers(PerceptualDistance(vgg), [plain(50, 40, 20)], [plain(50, -40, 20)])
        assert row[f"{distance}_l"] < row[distance] / 20

    @pytest.mark.parametrize("distance", ["perceptual_l", "perceptual_unit_l"])
    def test_distance_of_lightness_sees_blur(self, vgg, images, distance):
        blurred = [p.resize((8, 6)).resize(p.size) for p in images]
        assert numbers(PerceptualDistance(vgg), blurred, images)[distance] > 0

    def test_unit_distance_is_that_of_the_metric(self, vgg, images):
        blurred = [p.resize((8, 6)).resize(p.size) for p in images]
        row = numbers(PerceptualDistance(vgg), blurred, images)
        expected = load_metric("perceptual").compute(
            predictions=blurred, references=images, weights=vgg
        )
        assert row["perceptual_unit"] == pytest.approx(expected["perceptual"], rel=1e-4)

    def test_looks_at_every_image_once(self, vgg, samples):
        looks = []
        hook = vgg.register_forward_hook(lambda *_: looks.append(1))
        methods = {
            name: Method(lambda sample, side=side: sample.truth.resize((side, 8)).resize((64, 48)))
            for name, side in (("a", 4), ("b", 8), ("c", 12))
        }
        evaluate(samples[:1], methods, [PerceptualDistance(vgg)])
        hook.remove()
        assert len(looks) == 2 * (3 + 1)  # three results and the truth, with colors and without


def hue_transfer(pipe, samples) -> dict[str, float]:
    return evaluate(samples, {}, [HueTransfer(pipe)]).rows["recolored reference"]


class TestHueTransfer:
    def test_is_one_where_the_result_has_the_references_hues(self, images):
        def pipe(source, reference, size):
            return reference.resize(size, Image.Resampling.NEAREST)

        row = hue_transfer(pipe, samples_of(*images))
        assert row["hue_correlation"] == pytest.approx(1, abs=0.01)
        assert row["hue_cosine"] == pytest.approx(1, abs=0.01)

    def test_is_zero_where_the_result_has_always_one_tint(self, samples):
        def pipe(source, reference, size):
            return plain(50, 3, 8, size)

        row = hue_transfer(pipe, samples)
        assert row["hue_correlation"] == 0

    def test_correlation_is_of_the_angles(self):
        angles, others = np.random.default_rng(0).uniform(-np.pi, np.pi, (2, 2000))
        assert circular_correlation(angles, angles) == pytest.approx(1)
        assert circular_correlation(angles, angles + 2 * np.pi) == pytest.approx(1)
        assert circular_correlation(angles, angles + 1.2) == pytest.approx(1)
        assert circular_correlation(angles, -angles) == pytest.approx(-1)
        assert circular_correlation(angles, others) == pytest.approx(0, abs=0.06)
        assert circular_correlation(angles, np.full(2000, 0.7)) == 0

    def test_correlation_of_noisy_angles_does_not_depend_on_chance(self):
        # Around the whole circle the mean direction means nothing, and is not to be relied on.
        rng = np.random.default_rng(0)
        for _ in range(50):
            angles = rng.uniform(-np.pi, np.pi, 200)
            assert circular_correlation(angles, angles + rng.normal(0, 0.3, 200)) > 0.9


class TestStability:
    def shifts(self, pipe) -> dict[str, float]:
        """Of 64-px images, whose sources are 16 px."""
        images = [make_image(64, 64, seed=seed) for seed in range(2)]
        automatic = {"automatic": pipeline_methods(FakePipe(pipe))["automatic"]}
        return evaluate(samples_of(*images), automatic, [Stability(pipe)]).rows["automatic"]

    @staticmethod
    def size_of(source, scale=None, size=None) -> tuple[int, int]:
        return size or tuple(round(scale * side) for side in source.size)

    def test_is_zero_for_one_color_everywhere(self):
        def pipe(source, **asked):
            return plain(50, 20, 10, self.size_of(source, **asked))

        assert set(self.shifts(pipe).values()) == {0}

    def test_measures_colors_that_change_with_the_magnification(self):
        def pipe(source, **asked):
            size = self.size_of(source, **asked)
            return plain(50, 30 if size == source.size else 0, 0, size)  # red at magnification 1

        shifts = self.shifts(pipe)
        assert shifts["shift_magnification"] == pytest.approx(30 / 3, abs=0.3)
        assert shifts["shift_source"] == 0

    def test_measures_colors_that_change_with_the_source(self):
        def pipe(source, **asked):
            return plain(50, 0, 30 if source.width == 32 else 0, self.size_of(source, **asked))

        shifts = self.shifts(pipe)
        assert shifts["shift_magnification"] == 0
        assert shifts["shift_source"] == pytest.approx(30, abs=0.5)

    def test_measures_colors_that_depend_on_the_side(self):
        def pipe(source, **asked):
            result = plain(50, 0, 0, self.size_of(source, **asked))
            half = result.width // 2
            result.paste(plain(50, 30, 0, (half, result.height)), (0, 0))  # red on the left
            return result

        assert self.shifts(pipe)["shift_mirrored"] == pytest.approx(30, abs=0.5)

    def test_runs_no_result_twice(self, tiny_pipe):
        runs = []

        def pipe(source, **asked):
            runs.append((source.tobytes(), self.size_of(source, **asked)))
            return tiny_pipe(source, **asked)

        self.shifts(pipe)
        assert len(runs) == len(set(runs))


def test_nothing_to_evaluate_on_is_an_error():
    with pytest.raises(ValueError, match="no images"):
        evaluate([], {}, [ColorStatistics(), HueTransfer(None)])


def test_tables_show_what_was_measured():
    rows = {
        "truth": {"chroma": 20.94},
        "automatic": {"chroma": 8.5, "psnr_rgb": 19.834, "shift_source": 0.5},
    }
    assert evaluation_tables(rows).splitlines() == [
        "| | RGB PSNR (dB) | mean chroma |",
        "|---|---:|---:|",
        "| truth | - | 20.9 |",
        "| automatic | 19.83 | 8.5 |",
        "",
        "| | ab shift between source sizes |",
        "|---|---:|",
        "| automatic | 0.50 |",
    ]
