"""PSNR, SSIM, perceptual distance and colorfulness beside independent implementations."""

import math
from pathlib import Path

import numpy as np
import pytest
import skimage.metrics
import torch
from PIL import Image

from helpers.images import make_image
from scsnet_hf.metrics import metric
from scsnet_hf.metrics.per_image import perceptual_distance, psnr, ssim
from scsnet_hf.training.vgg import VGG16Features

EXAMPLES = Path(__file__).parent.parent.parent / "space" / "examples"


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    images = [Image.open(EXAMPLES / f"{name}.jpg") for name in ("astronaut", "chelsea")]
    sizes = ((121, 96), (90, 128))
    return [
        np.array(image.convert("RGB").resize(size))
        for image, size in zip(images, sizes, strict=True)
    ]


@pytest.fixture(scope="module")
def results(photographs) -> list[np.ndarray]:
    """The same from a quarter of the size: blurred, as after super-resolution."""
    blurred = []
    for photograph in photographs:
        image = Image.fromarray(photograph)
        blurred.append(np.array(image.reduce(4).resize(image.size, Image.Resampling.BICUBIC)))
    return blurred


@pytest.fixture(scope="module")
def vgg() -> VGG16Features:
    torch.manual_seed(0)
    return VGG16Features()


@pytest.fixture
def compute(tmp_path):
    def run(name: str, predictions: list, references: list | None = None, **options) -> list[float]:
        result = metric(name, cache_dir=str(tmp_path)).compute(
            predictions=predictions, references=references, per_image=True, **options
        )
        assert result[name] == pytest.approx(np.mean(result["scores"]))
        return result["scores"]

    return run


def luma(rgb: np.ndarray) -> np.ndarray:
    """By scikit-image, whose YCbCr is BT.601 in studio range."""
    return skimage.color.rgb2ycbcr(rgb)[..., 0]


class TestPsnr:
    def test_agrees_with_scikit_image(self, compute, results, photographs):
        expected = [
            skimage.metrics.peak_signal_noise_ratio(truth, result)
            for result, truth in zip(results, photographs, strict=True)
        ]
        assert compute("psnr", results, photographs) == pytest.approx(expected, abs=1e-9)

    def test_of_luma_inside_a_border_agrees_with_scikit_image(self, compute, results, photographs):
        inside = (slice(4, -4), slice(4, -4))
        expected = [
            skimage.metrics.peak_signal_noise_ratio(
                luma(truth)[inside], luma(result)[inside], data_range=255
            )
            for result, truth in zip(results, photographs, strict=True)
        ]
        scores = compute("psnr", results, photographs, color="y", border=4)
        assert scores == pytest.approx(expected, abs=1e-4)

    def test_of_one_level_is_48_db(self, compute):
        flat = [np.full((8, 8, 3), level, np.uint8) for level in (100, 101)]
        assert compute("psnr", flat[:1], flat[1:]) == pytest.approx([48.1308], abs=1e-4)
        assert compute("psnr", flat[:1], flat[1:], data_range=1) == pytest.approx([0])

    def test_of_black_and_white_is_zero(self, compute):
        black, white = (np.full((8, 8, 3), level, np.uint8) for level in (0, 255))
        assert compute("psnr", [black], [white]) == pytest.approx([0])

    def test_of_equal_images_is_infinite(self, compute, photographs, results):
        scores = compute("psnr", [photographs[0], results[1]], photographs)
        assert scores[0] == math.inf
        assert scores[1] < 40

    @pytest.mark.parametrize(
        ("shape", "peak", "message"),
        [((3, 4), 255, "same shape"), ((1, 4), 255, "same shape"), ((4, 4), 0, "positive numbers")],
    )
    def test_refuses_other_arrays(self, shape, peak, message):
        with pytest.raises(ValueError, match=message):
            psnr(np.zeros(shape), np.zeros((4, 4)), peak)


class TestSsim:
    def torchmetrics(self, result: np.ndarray, truth: np.ndarray) -> float:
        from torchmetrics.functional.image import structural_similarity_index_measure

        first, second = (torch.tensor(x).permute(2, 0, 1)[None].double() for x in (result, truth))
        _, windows = structural_similarity_index_measure(
            first, second, sigma=1.5, data_range=255.0, return_full_image=True
        )
        return windows[..., 5:-5, 5:-5].mean().item()  # the others see mirrored borders

    def by_hand(self, result: np.ndarray, truth: np.ndarray) -> float:
        """The paper's formula over every window of one channel."""
        offsets = np.arange(-5, 6)
        window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
        window /= window.sum()

        def mean(values: np.ndarray) -> np.ndarray:
            return np.einsum(
                "ijkl,kl->ij", np.lib.stride_tricks.sliding_window_view(values, (11, 11)), window
            )

        x, y = result.astype(float), truth.astype(float)
        mx, my = mean(x), mean(y)
        covariance, squares = mean(x * y) - mx * my, mean(x * x) + mean(y * y) - mx**2 - my**2
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        ratio = (2 * mx * my + c1) * (2 * covariance + c2)
        return (ratio / ((mx**2 + my**2 + c1) * (squares + c2))).mean()

    @pytest.mark.slow
    def test_agrees_with_torchmetrics(self, compute, results, photographs):
        expected = [self.torchmetrics(*pair) for pair in zip(results, photographs, strict=True)]
        assert compute("ssim", results, photographs) == pytest.approx(expected, abs=1e-4)

    def test_agrees_with_the_papers_formula(self, compute, results, photographs):
        pairs = [
            (luma(a)[4:-4, 4:-4], luma(b)[4:-4, 4:-4])
            for a, b in zip(results, photographs, strict=True)
        ]
        expected = [self.by_hand(*pair) for pair in pairs]
        scores = compute("ssim", results, photographs, color="y", border=4)
        assert scores == pytest.approx(expected, abs=1e-4)

    def test_of_rgb_is_the_mean_of_channels(self, results, photographs):
        pair = results[0], photographs[0]
        channels = [ssim(*(x[..., c : c + 1] for x in pair)) for c in range(3)]
        assert ssim(*pair) == pytest.approx(np.mean(channels))

    def test_of_equal_images_is_one(self, compute, photographs):
        assert compute("ssim", photographs, photographs) == pytest.approx([1, 1])

    def test_of_flat_images_compares_their_levels(self, compute):
        flat = [np.full((16, 16, 3), level, np.uint8) for level in (100, 150)]
        c1 = (0.01 * 255) ** 2
        expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
        assert compute("ssim", flat[:1], flat[1:]) == pytest.approx([expected])

    def test_takes_images_that_hold_a_window(self, compute):
        image = np.array(make_image(15, 13))
        assert compute("ssim", [image], [image], border=1) == pytest.approx([1])
        with pytest.raises(ValueError, match="sides of at least 11 pixels, got"):
            compute("ssim", [image], [image], border=2)


class TestPerceptual:
    def by_hand(self, vgg: VGG16Features, result: np.ndarray, truth: np.ndarray) -> float:
        """One position after the other, in numpy."""
        pair = [
            [layer[0].numpy() for layer in vgg(torch.tensor(x).permute(2, 0, 1)[None] / 255)]
            for x in (result, truth)
        ]
        total = 0.0
        for first, second in zip(*pair, strict=True):
            _, height, width = first.shape
            squares = []
            for y in range(height):
                for x in range(width):
                    u, v = (
                        a[:, y, x].astype(float) / max(np.linalg.norm(a[:, y, x]), 1e-12)
                        for a in (first, second)
                    )
                    squares.append(((u - v) ** 2).sum())
            total += np.mean(squares)
        return total

    def test_agrees_with_the_formula(self, compute, vgg, results, photographs):
        expected = [self.by_hand(vgg, *pair) for pair in zip(results, photographs, strict=True)]
        scores = compute("perceptual", results, photographs, weights=vgg)
        assert scores == pytest.approx(expected, abs=1e-6)
        assert min(scores) > 0

    def test_of_equal_images_is_zero(self, compute, vgg, photographs):
        assert compute("perceptual", photographs, photographs, weights=vgg) == [0, 0]

    def test_grows_with_blur(self, compute, vgg, photographs):
        image = Image.fromarray(photographs[0])
        blurred = [image.reduce(factor).resize(image.size) for factor in (2, 4, 8)]
        scores = compute("perceptual", blurred, [image] * 3, weights=vgg)
        assert scores == sorted(scores)

    def test_reads_weights_of_a_file(self, compute, tmp_path, vgg, results, photographs):
        from safetensors.torch import save_file

        save_file(vgg.state_dict(), tmp_path / "vgg.safetensors")
        from_file = compute(
            "perceptual", results, photographs, weights=tmp_path / "vgg.safetensors"
        )
        assert from_file == compute("perceptual", results, photographs, weights=vgg)

    def test_names_weights_that_are_not_there(self, compute, photographs):
        with pytest.raises(ValueError, match=r"absent\.safetensors: no such file"):
            compute("perceptual", photographs, photographs, weights="absent.safetensors")

    def test_refuses_other_shapes(self, vgg):
        with pytest.raises(ValueError, match="same shape"):
            perceptual_distance(vgg, torch.zeros(1, 3, 16, 16), torch.zeros(2, 3, 16, 16))
        with pytest.raises(ValueError, match="sides of at least 16 p"):
            perceptual_distance(vgg, torch.zeros(1, 3, 8, 16), torch.zeros(1, 3, 8, 16))


class TestColorfulness:
    def by_hand(self, rgb: np.ndarray) -> float:
        red, green, blue = rgb.reshape(-1, 3).astype(np.float64).T
        rg, yb = red - green, 0.5 * (red + green) - blue
        return math.hypot(rg.std(), yb.std()) + 0.3 * math.hypot(rg.mean(), yb.mean())

    def test_agrees_with_the_formula(self, compute, results, photographs):
        images = [*results, *photographs]
        expected = [self.by_hand(image) for image in images]
        assert compute("colorfulness", images) == pytest.approx(expected, abs=1e-9)

    def test_of_gray_images_is_zero(self, compute, photographs):
        gray = [Image.fromarray(image).convert("L") for image in photographs]
        assert compute("colorfulness", [*gray, gray[0].convert("RGB")]) == [0, 0, 0]

    def test_of_known_colors(self, compute):
        olive = np.broadcast_to(np.array([100, 100, 0], np.uint8), (4, 4, 3))
        opposite = np.array([[[100, 0, 50], [0, 100, 50]]], np.uint8)
        assert compute("colorfulness", [olive, opposite]) == pytest.approx([30, 100])
