"""The frozen VGG16 of the perceptual loss, with random weights."""

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from scsnet_hf.training.vgg import VGG16Features

CONVOLUTIONS = {  # torchvision's position: (inputs, outputs)
    0: (3, 64),
    2: (64, 64),
    5: (64, 128),
    7: (128, 128),
    10: (128, 256),
    12: (256, 256),
    14: (256, 256),
    17: (256, 512),
    19: (512, 512),
    21: (512, 512),
    24: (512, 512),
}


def random_weights() -> dict[str, torch.Tensor]:
    """Weights of the trunk with torchvision's keys, half precision."""
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for position, (inputs, outputs) in CONVOLUTIONS.items():
        kernel = torch.randn(outputs, inputs, 3, 3, generator=generator) / (4.5 * inputs) ** 0.5
        bias = 0.1 * torch.randn(outputs, generator=generator)
        weights[f"features.{position}.weight"] = kernel.half()
        weights[f"features.{position}.bias"] = bias.half()
    return weights


@pytest.fixture(scope="module")
def weights():
    return random_weights()


@pytest.fixture(scope="module")
def file(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    save_file({**weights, "classifier.0.weight": torch.zeros(2, 2)}, path)
    return path


@pytest.fixture(scope="module")
def vgg(file):
    return VGG16Features.from_pretrained(file)


def image(height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


class TestActivations:
    def test_are_those_of_the_first_convolution_of_each_block(self, vgg, weights):
        def conv(x, position):
            kernel, bias = (weights[f"features.{position}.{n}"].float() for n in ("weight", "bias"))
            return torch.relu(torch.conv2d(x, kernel, bias, padding=1))

        mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
        x = (image() - mean) / std
        expected = []
        for first, *others in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24,)):
            x = conv(x, first)
            expected.append(x)
            for position in others:
                x = conv(x, position)
            x = torch.max_pool2d(x, 2)
        actual = vgg(image())
        assert len(actual) == 5
        for result, wanted in zip(actual, expected, strict=True):
            torch.testing.assert_close(result, wanted, rtol=1e-4, atol=1e-4)

    def test_halve_from_layer_to_layer(self, vgg):
        shapes = [tuple(activation.shape[1:]) for activation in vgg(image(37, 16))]
        assert shapes == [(64, 37, 16), (128, 18, 8), (256, 9, 4), (512, 4, 2), (512, 2, 1)]

    def test_pass_gradients_to_the_image(self, vgg):
        rgb = image().requires_grad_()
        vgg(rgb)[-1].sum().backward()
        assert rgb.grad.isfinite().all()
        assert rgb.grad.abs().sum() > 0

    @pytest.mark.parametrize("shape", [(1, 3, 15, 32), (1, 3, 32, 15), (1, 1, 32, 32), (3, 32, 32)])
    def test_of_other_shapes_are_refused(self, vgg, shape):
        with pytest.raises(ValueError, match="at least 16 pixels"):
            vgg(torch.rand(shape))


class TestWeights:
    def test_never_train(self, vgg):
        assert not any(parameter.requires_grad for parameter in vgg.parameters())

    def test_are_float32(self, vgg):
        assert {parameter.dtype for parameter in vgg.parameters()} == {torch.float32}

    def test_that_are_missing_are_named(self, weights, tmp_path):
        path = tmp_path / "part.safetensors"
        save_file({k: v for k, v in weights.items() if k != "features.17.bias"}, path)
        with pytest.raises(ValueError, match=r"part\.safetensors.*features\.17\.bias"):
            VGG16Features.from_pretrained(path)

    def test_of_another_network_are_refused(self, weights, tmp_path):
        path = tmp_path / "other.safetensors"
        save_file({**weights, "features.0.weight": torch.zeros(64, 1, 3, 3)}, path)
        with pytest.raises(ValueError, match=r"other\.safetensors.*features\.0\.weight"):
            VGG16Features.from_pretrained(path)

    def test_in_another_format_are_refused(self, tmp_path):
        path = tmp_path / "vgg16.pth"
        path.write_bytes(b"no safetensors at all")
        with pytest.raises(ValueError, match=r"vgg16\.pth: not a safetensors file"):
            VGG16Features.from_pretrained(path)

    @pytest.mark.parametrize("name", ["absent.safetensors", "."])
    def test_in_no_file_are_refused(self, tmp_path, name):
        with pytest.raises(ValueError, match="no such file"):
            VGG16Features.from_pretrained(str(tmp_path / name))

    @pytest.mark.parametrize("given", [(), ("timm/vgg16.tv_in1k",)])
    def test_come_from_the_hub_by_default_and_by_its_name(self, file, vgg, monkeypatch, given):
        asked = []
        monkeypatch.setattr(
            huggingface_hub, "hf_hub_download", lambda *names: asked.append(names) or str(file)
        )
        loaded = VGG16Features.from_pretrained(*given)
        assert asked == [("timm/vgg16.tv_in1k", "model.safetensors")]
        assert torch.equal(loaded(image())[-1], vgg(image())[-1])

    def test_without_the_hub_are_asked_for_as_a_file(self, tmp_path, monkeypatch):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(ValueError, match="local safetensors file"):
            VGG16Features.from_pretrained()
