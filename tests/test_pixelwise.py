"""`PixelwiseLinear` against `nn.Linear` with the same weights."""

import pytest
import torch
from torch import nn

from scsnet_hf import pixel_mapping as pixelwise_module
from scsnet_hf.pixel_mapping import PixelwiseLinear


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def layers(channels: int, out_channels: int, bias: bool = True) -> tuple[nn.Linear, nn.Linear]:
    torch.manual_seed(0)
    plain = nn.Linear(channels, out_channels, bias=bias)
    pixelwise = PixelwiseLinear(channels, out_channels, bias=bias)
    pixelwise.load_state_dict(plain.state_dict())
    return plain, pixelwise


def pixels(*size: int) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(1))


@pytest.mark.usefixtures("threads")
class TestPixelwiseLinear:
    @pytest.mark.parametrize("size", [(1, 1, 1), (1, 1, 7), (1, 5, 8), (2, 3, 6), (1, 40, 33)])
    @pytest.mark.parametrize(("channels", "out_channels"), [(1, 1), (3, 5), (32, 3), (66, 64)])
    def test_is_a_linear_layer(self, size, channels, out_channels):
        plain, pixelwise = layers(channels, out_channels)
        values = pixels(*size, channels)
        with torch.inference_mode():
            torch.testing.assert_close(pixelwise(values), plain(values), atol=1e-5, rtol=1e-5)

    def test_without_bias(self):
        plain, pixelwise = layers(8, 4, bias=False)
        values = pixels(1, 4, 4, 8)
        with torch.no_grad():
            torch.testing.assert_close(pixelwise(values), plain(values), atol=1e-6, rtol=1e-5)

    def test_takes_pixels_stored_by_channel(self):
        plain, pixelwise = layers(8, 4)
        values = pixels(1, 8, 6, 5).permute(0, 2, 3, 1)
        with torch.no_grad():
            torch.testing.assert_close(pixelwise(values), plain(values), atol=1e-6, rtol=1e-5)

    def test_result_is_stored_by_pixel(self):
        _, pixelwise = layers(8, 4)
        with torch.no_grad():
            assert pixelwise(pixels(1, 6, 5, 8)).is_contiguous()

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
    def test_takes_other_types(self, dtype):
        plain, pixelwise = (layer.to(dtype) for layer in layers(8, 4))
        values = pixels(1, 6, 5, 8).to(dtype)
        with torch.no_grad():
            assert torch.equal(pixelwise(values), plain(values))

    def test_is_left_to_blas_where_onednn_is_missing(self, monkeypatch):
        monkeypatch.setattr(pixelwise_module, "_HAS_ONEDNN", False)
        monkeypatch.delattr(nn.functional, "conv2d")
        plain, pixelwise = layers(8, 4)
        values = pixels(1, 6, 5, 8)
        with torch.no_grad():
            assert torch.equal(pixelwise(values), plain(values))

    def test_has_the_gradients_of_a_linear_layer(self):
        plain, pixelwise = layers(8, 4)
        for layer in (plain, pixelwise):
            layer(pixels(1, 6, 5, 8)).square().sum().backward()
        assert torch.equal(pixelwise.weight.grad, plain.weight.grad)

    def test_compiles_to_one_graph(self):
        plain, pixelwise = layers(8, 4)
        values = pixels(1, 6, 5, 8)
        with torch.no_grad():
            compiled = torch.compile(pixelwise, fullgraph=True, backend="eager")
            torch.testing.assert_close(compiled(values), plain(values))


def test_a_layer_that_wraps_it_is_used():
    # As adapters do: they stand in for layers that are linear, and call them.
    _, pixelwise = layers(8, 4)
    assert isinstance(pixelwise, nn.Linear)
    hook = pixelwise.register_forward_hook(lambda layer, inputs, result: result + 1)
    values = pixels(1, 2, 2, 8)
    with torch.no_grad():
        shifted = pixelwise(values)
        hook.remove()
        assert torch.equal(shifted, pixelwise(values) + 1)
