"""Coordinates, interpolation and the three heads that turn features into pixels."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from helpers.plain_scsnet import continuous_pixel_mapping
from scsnet_hf import SCSNetConfig, pixel_mapping
from scsnet_hf.pixel_mapping import (
    HEADS,
    PixelGrid,
    axis_coordinates,
    resize,
)

CPU = torch.device("cpu")
CHANNELS = 8  # of the tiny preset
SIZES = [
    ((5, 7), (5, 7)),
    ((5, 7), (20, 28)),
    ((9, 5), (24, 14)),
    ((8, 6), (5, 3)),
    ((1, 3), (4, 7)),
]


@pytest.fixture(params=[True, False], ids=["with gradients", "without gradients"])
def gradients(request):
    """Interpolation has a form for each."""
    with torch.set_grad_enabled(request.param):
        yield


def build_head(upsampler: str, **config) -> torch.nn.Module:
    torch.manual_seed(0)
    return HEADS[upsampler](SCSNetConfig.from_preset("tiny", upsampler=upsampler, **config))


def random_features(*size: int, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, CHANNELS, *size, generator=torch.Generator().manual_seed(1))


# Odd source sizes with even outputs keep float64 remainders away from the cells' borders.
@pytest.mark.usefixtures("gradients")
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("source", "output"), [((5, 7), (20, 28)), ((9, 5), (24, 14)), ((5, 3), (74, 38))]
)
def test_continuous_pixel_mapping_is_the_papers(source, output, align_corners):
    head = build_head("cpm", align_corners=align_corners)
    features = random_features(*source)
    actual = head(features, PixelGrid.whole(source, output))
    expected = continuous_pixel_mapping(features, output, head.state_dict(), align_corners)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("upsampler", HEADS)
def test_blocks_of_rows_give_the_same_pixels_as_all_rows_at_once(upsampler, monkeypatch):
    head, features = build_head(upsampler), random_features(5, 7)
    grid = PixelGrid.whole((5, 7), (13, 19))
    whole = head(features, grid)
    monkeypatch.setattr(pixel_mapping, "_CACHED_ELEMENTS", 1)  # a block is one row
    with torch.no_grad():
        blocked = head(features, grid)
    torch.testing.assert_close(blocked, whole.detach(), atol=1e-5, rtol=0)


def test_rows_are_split_for_inference_only(monkeypatch):
    monkeypatch.setattr(pixel_mapping, "_CACHED_ELEMENTS", 100)
    assert list(pixel_mapping.row_blocks(10, 25)) == [(0, 10)]
    with torch.no_grad():
        assert list(pixel_mapping.row_blocks(10, 25)) == [(0, 4), (4, 8), (8, 10)]


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
@pytest.mark.parametrize("output", [(24, 28), (36, 42), (48, 56), (33, 39)])
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
@pytest.mark.parametrize("width", [10, 15, 27, 40])
def test_ramp_comes_back_as_the_same_ramp(width, cubic):
    ramp = (torch.arange(10) + 0.5).expand(1, 1, 10, 10)
    resized = resize(ramp, PixelGrid.whole((10, 10), (10, width)), cubic)[0, 0, 5]
    position = (torch.arange(width) + 0.5) * 10 / width
    inside = (position > 2) & (position < 8)
    torch.testing.assert_close(resized[inside], position[inside], atol=1e-4, rtol=0)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("source", [7, 1000, 25_001])
@pytest.mark.parametrize(("output", "start"), [(25, 3), (1733, 1711), (100_000, 99_979)])
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


@pytest.mark.usefixtures("gradients")
@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("size", [20, 30, 54, 80])
def test_enlarging_moves_no_blob(size, cubic):
    y, x = torch.meshgrid(torch.arange(20) + 0.5, torch.arange(20) + 0.5, indexing="ij")
    blob = torch.exp(-((x - 8.3) ** 2 + (y - 11.9) ** 2) / 8)[None, None]
    enlarged = resize(blob, PixelGrid.whole((20, 20), (size, size)), cubic)[0, 0]
    position = (torch.arange(size) + 0.5) * 20 / size
    assert float((enlarged.sum(0) * position).sum() / enlarged.sum()) == pytest.approx(
        8.3, abs=0.05
    )
    assert float((enlarged.sum(1) * position).sum() / enlarged.sum()) == pytest.approx(
        11.9, abs=0.05
    )


@pytest.mark.usefixtures("gradients")
@pytest.mark.parametrize("upsampler", HEADS)
def test_every_item_can_have_a_size_and_a_window_of_its_own(upsampler):
    head, features = build_head(upsampler), random_features(5, 7)
    sizes, starts = torch.tensor([[10, 21], [13, 18]]), torch.tensor([[1, 2], [4, 0]])
    windows = head(features, PixelGrid((5, 7), sizes.unbind(1), starts.unbind(1), (6, 9)))
    for index in range(2):
        whole = head(features[index, None], PixelGrid.whole((5, 7), tuple(sizes[index].tolist())))
        top, left = starts[index]
        expected = whole[0, :, top : top + 6, left : left + 9]
        torch.testing.assert_close(windows[index], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("upsampler", HEADS)
@pytest.mark.parametrize("output", [(1, 1), (3, 4), (5, 7), (14, 19)])
def test_head_gives_three_channels_of_the_output_size(upsampler, output):
    pixels = build_head(upsampler)(random_features(5, 7), PixelGrid.whole((5, 7), output))
    assert pixels.shape == (2, 3, *output)
