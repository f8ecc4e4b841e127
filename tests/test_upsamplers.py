"""The three heads that map features to pixels."""

import pytest
import torch
from torch import nn

from helpers.plain_scsnet import continuous_pixel_mapping
from scsnet_hf import SCSNetConfig, upsamplers
from scsnet_hf.pixel_mapping import PixelGrid
from scsnet_hf.upsamplers import HEADS, PixelwiseLinear

CHANNELS = 8  # of the tiny preset


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


# From 20 to 54 cell-centered positions fall on borders of cells, from 20 to 56 aligned ones.
@pytest.mark.usefixtures("gradients")
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("source", "output"),
    [((5, 7), (20, 28)), ((9, 5), (24, 14)), ((5, 3), (74, 38)), ((20, 20), (54, 56))],
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


@pytest.mark.parametrize("upsampler", HEADS)
def test_blocks_of_rows_give_the_same_pixels_as_all_rows_at_once(upsampler):
    head, features = build_head(upsampler), random_features(5, 7, batch=1)
    grid = PixelGrid.whole((5, 7), (280, 290))  # more than one block for inference
    whole = head(features, grid)
    with torch.no_grad():
        blocked = head(features, grid)
    torch.testing.assert_close(blocked, whole.detach(), atol=1e-5, rtol=0)


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
        monkeypatch.setattr(upsamplers, "_HAS_ONEDNN", False)
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


class Adapter(nn.Module):
    """A layer with something learned added to its result, like LoRA."""

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.layer = layer
        self.added = nn.Linear(layer.in_features, layer.out_features)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layer(pixels) + self.added(pixels)


class TestCalledLayers:
    def test_give_the_result_of_the_folded_ones(self):
        head, grid = build_head("cpm"), PixelGrid.whole((5, 7), (280, 290))
        features = random_features(5, 7)
        expected = head(features, grid)
        head.first.register_forward_hook(lambda layer, inputs, result: None)
        torch.testing.assert_close(head(features, grid), expected, atol=1e-5, rtol=0)
        with torch.no_grad():
            torch.testing.assert_close(head(features, grid), expected, atol=1e-5, rtol=0)

    def test_each_pixel_may_have_a_grid_of_its_own(self):
        head, features = build_head("cpm"), random_features(5, 7)
        sizes, starts = torch.tensor([[10, 21], [13, 18]]), torch.tensor([[1, 2], [4, 0]])
        grid = PixelGrid((5, 7), sizes.unbind(1), starts.unbind(1), (6, 9))
        expected = head(features, grid)
        head.aggregate.register_forward_pre_hook(lambda layer, inputs: None)
        torch.testing.assert_close(head(features, grid), expected, atol=1e-5, rtol=0)

    def test_adapter_of_the_first_layer_learns(self):
        head = build_head("cpm")
        head.first = Adapter(head.first)
        head(random_features(5, 7), PixelGrid.whole((5, 7), (9, 8))).square().sum().backward()
        assert head.first.added.weight.grad.any()
