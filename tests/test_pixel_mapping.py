"""Coordinates, interpolation, blocks of rows, and the three heads that map features to pixels."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from helpers.plain_scsnet import continuous_pixel_mapping
from scsnet_hf import SCSNetConfig, pixel_mapping
from scsnet_hf.pixel_mapping import (
    HEADS,
    PixelGrid,
    PixelwiseLinear,
    axis_coordinates,
    resize,
    row_blocks,
)

CPU = torch.device("cpu")
CHANNELS = 8  # of the tiny preset
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


def build_head(upsampler: str, **config) -> nn.Module:
    torch.manual_seed(0)
    return HEADS[upsampler](SCSNetConfig.from_preset("tiny", upsampler=upsampler, **config))


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


@pytest.mark.parametrize("upsampler", HEADS)
def test_blocks_of_rows_give_the_same_pixels_as_all_rows_at_once(upsampler):
    head, features = build_head(upsampler), random_features(5, 7, batch=1)
    grid = PixelGrid.whole((5, 7), (280, 290))  # more than one block for inference
    whole = head(features, grid)
    with torch.no_grad():
        blocked = head(features, grid)
    torch.testing.assert_close(blocked, whole.detach(), atol=1e-5, rtol=0)


# Heads


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
@pytest.mark.parametrize("output", [(1, 1), (3, 4), (14, 19)])
def test_head_gives_three_channels_of_the_output_size(upsampler, output):
    pixels = build_head(upsampler)(random_features(5, 7), PixelGrid.whole((5, 7), output))
    assert pixels.shape == (2, 3, *output)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def linear_pair(
    channels: int, out_channels: int, bias: bool = True
) -> tuple[nn.Linear, PixelwiseLinear]:
    """The two layers with the same weights."""
    torch.manual_seed(0)
    plain = nn.Linear(channels, out_channels, bias=bias)
    pixelwise = PixelwiseLinear(channels, out_channels, bias=bias)
    pixelwise.load_state_dict(plain.state_dict())
    return plain, pixelwise


def random_pixels(*size: int) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(1))


class TestPixelwiseLinear:
    @pytest.mark.parametrize("size", [(1, 1, 1), (1, 5, 8), (2, 3, 6), (1, 40, 33)])
    @pytest.mark.parametrize(("channels", "out_channels"), [(1, 1), (3, 5), (66, 64)])
    def test_is_a_linear_layer(self, size, channels, out_channels):
        plain, pixelwise = linear_pair(channels, out_channels)
        values = random_pixels(*size, channels)
        with torch.inference_mode():
            torch.testing.assert_close(pixelwise(values), plain(values), atol=1e-5, rtol=1e-5)

    @pytest.mark.usefixtures("two_threads")
    def test_is_a_linear_layer_on_two_threads(self):
        plain, pixelwise = linear_pair(66, 64)
        values = random_pixels(1, 40, 33, 66)
        with torch.inference_mode():
            torch.testing.assert_close(pixelwise(values), plain(values), atol=1e-5, rtol=1e-5)

    def test_works_without_bias(self):
        plain, pixelwise = linear_pair(8, 4, bias=False)
        values = random_pixels(1, 4, 4, 8)
        with torch.no_grad():
            torch.testing.assert_close(pixelwise(values), plain(values), atol=1e-6, rtol=1e-5)

    def test_accepts_pixels_stored_by_channel(self):
        plain, pixelwise = linear_pair(8, 4)
        values = random_pixels(1, 8, 6, 5).permute(0, 2, 3, 1)
        with torch.no_grad():
            torch.testing.assert_close(pixelwise(values), plain(values), atol=1e-6, rtol=1e-5)

    def test_result_is_stored_by_pixel(self):
        _, pixelwise = linear_pair(8, 4)
        with torch.no_grad():
            assert pixelwise(random_pixels(1, 6, 5, 8)).is_contiguous()

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
    def test_accepts_other_dtypes(self, dtype):
        plain, pixelwise = (layer.to(dtype) for layer in linear_pair(8, 4))
        values = random_pixels(1, 6, 5, 8).to(dtype)
        with torch.no_grad():
            assert torch.equal(pixelwise(values), plain(values))

    def test_is_a_matrix_product_where_onednn_is_missing(self, monkeypatch):
        monkeypatch.setattr(pixel_mapping, "_HAS_ONEDNN", False)
        monkeypatch.delattr(nn.functional, "conv2d")
        plain, pixelwise = linear_pair(8, 4)
        values = random_pixels(1, 6, 5, 8)
        with torch.no_grad():
            assert torch.equal(pixelwise(values), plain(values))

    def test_has_the_gradients_of_a_linear_layer(self):
        plain, pixelwise = linear_pair(8, 4)
        for layer in (plain, pixelwise):
            layer(random_pixels(1, 6, 5, 8)).square().sum().backward()
        assert torch.equal(pixelwise.weight.grad, plain.weight.grad)

    def test_compiles_to_one_graph(self):
        plain, pixelwise = linear_pair(8, 4)
        values = random_pixels(1, 6, 5, 8)
        with torch.no_grad():
            compiled = torch.compile(pixelwise, fullgraph=True, backend="eager")
            torch.testing.assert_close(compiled(values), plain(values))

    def test_is_called_by_adapters_that_wrap_linear_layers(self):
        _, pixelwise = linear_pair(8, 4)
        assert isinstance(pixelwise, nn.Linear)
        hook = pixelwise.register_forward_hook(lambda layer, inputs, result: result + 1)
        values = random_pixels(1, 2, 2, 8)
        with torch.no_grad():
            shifted = pixelwise(values)
            hook.remove()
            assert torch.equal(shifted, pixelwise(values) + 1)
