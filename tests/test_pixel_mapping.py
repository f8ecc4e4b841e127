"""Coordinates, interpolation and blocks of rows."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from scsnet_hf.pixel_mapping import (
    PixelGrid,
    axis_coordinates,
    resize,
    row_blocks,
)

CPU = torch.device("cpu")
CHANNELS = 8
SIZES = [
    ((5, 7), (5, 7)),
    ((9, 5), (24, 14)),
    ((8, 6), (5, 3)),
    ((1, 3), (4, 7)),
]


@pytest.fixture(params=[True, False], ids=["with gradients", "without gradients"])
def gradients(request):
    """Interpolation has a form for each."""
    with torch.set_grad_enabled(request.param):
        yield


def random_features(*size: int, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, CHANNELS, *size, generator=torch.Generator().manual_seed(1))


# Coordinates


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("source", "output", "start"), [(7, 1733, 1711), (1000, 25, 3), (25_001, 100_000, 99_979)]
)
def test_window_has_the_coordinates_of_the_whole(source, output, start, align_corners):
    def coordinates(first, length):
        grid = PixelGrid((source, 1), (output, 1), (first, 0), (length, 1))
        return axis_coordinates(grid, 0, CPU, align_corners)

    whole = coordinates(0, output)
    for part, values in zip(coordinates(start, 20), whole, strict=True):
        assert torch.equal(part, values[:, start : start + 20])


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("source", "output"), [(1, 1), (1, 5), (5, 1), (7, 7), (7, 19), (999, 100_000)]
)
def test_coordinates_stay_in_range(source, output, align_corners):
    axis = axis_coordinates(PixelGrid.whole((source, 1), (output, 1)), 0, CPU, align_corners)
    assert axis.relative.abs().max() <= 1
    assert axis.fraction.min() >= 0
    assert axis.fraction.max() <= 1
    assert axis.lower.min() >= -1
    assert axis.lower.max() < source


def test_pixel_in_the_middle_of_a_source_pixel_has_relative_coordinate_zero():
    axis = axis_coordinates(PixelGrid.whole((5, 1), (15, 1)), 0, CPU)
    assert torch.equal(axis.relative[0, 1::3], torch.zeros(5))


# Interpolation


@pytest.mark.usefixtures("gradients")
@pytest.mark.parametrize(("source", "output"), SIZES)
def test_linear_resize_is_bilinear_interpolation(source, output):
    features = random_features(*source)
    actual = resize(features, PixelGrid.whole(source, output))
    expected = functional.interpolate(features, output, mode="bilinear", align_corners=False)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("gradients")
def test_cubic_resize_to_the_same_size_is_the_identity():
    features = random_features(6, 9)
    assert torch.equal(resize(features, PixelGrid.whole((6, 9), (6, 9)), cubic=True), features)


@pytest.mark.usefixtures("gradients")
@pytest.mark.parametrize("output", [(24, 28), (33, 39)])
def test_cubic_resize_is_pillows_bicubic_inside(output):
    image = np.random.default_rng(0).random((12, 14), dtype=np.float32)
    size = output[::-1]
    expected = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    grid = PixelGrid.whole((12, 14), output)
    actual = resize(torch.from_numpy(image)[None, None], grid, cubic=True)[0, 0].numpy()
    border = 8  # the kernel reaches over two source pixels, at most four output pixels each
    inside = (slice(border, -border),) * 2
    np.testing.assert_allclose(actual[inside], expected[inside], atol=1e-5)


@pytest.mark.usefixtures("gradients")
@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize(("source", "output"), SIZES)
def test_constant_stays_constant(source, output, cubic):
    constant = torch.full((1, 2, *source), 0.7)
    resized = resize(constant, PixelGrid.whole(source, output), cubic)
    torch.testing.assert_close(resized, torch.full((1, 2, *output), 0.7), atol=1e-6, rtol=0)


@pytest.mark.usefixtures("gradients")
@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("width", [10, 27])
def test_ramp_stays_the_same_ramp(width, cubic):
    ramp = (torch.arange(10) + 0.5).expand(1, 1, 10, 10)
    resized = resize(ramp, PixelGrid.whole((10, 10), (10, width)), cubic)[0, 0, 5]
    position = (torch.arange(width) + 0.5) * 10 / width
    inside = (position > 2) & (position < 8)
    torch.testing.assert_close(resized[inside], position[inside], atol=1e-4, rtol=0)


@pytest.mark.usefixtures("gradients")
@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("size", [20, 54])
def test_enlarging_shifts_nothing(size, cubic):
    y, x = torch.meshgrid(torch.arange(20) + 0.5, torch.arange(20) + 0.5, indexing="ij")
    blob = torch.exp(-((x - 8.3) ** 2 + (y - 11.9) ** 2) / 8)[None, None]
    enlarged = resize(blob, PixelGrid.whole((20, 20), (size, size)), cubic)[0, 0]
    position = (torch.arange(size) + 0.5) * 20 / size
    for axis, center in ((0, 8.3), (1, 11.9)):
        actual = float((enlarged.sum(axis) * position).sum() / enlarged.sum())
        assert actual == pytest.approx(center, abs=0.05)


# Blocks of rows


def test_rows_are_split_for_inference_only():
    assert list(row_blocks(10, 25, max_elements=100)) == [(0, 10)]
    with torch.no_grad():
        assert list(row_blocks(10, 25, max_elements=100)) == [(0, 4), (4, 8), (8, 10)]
