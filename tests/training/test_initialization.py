"""What a training run starts from."""

import pytest
import torch
from torch import nn

from helpers.tiny_models import build_tiny_model
from scsnet_hf import SCSNetConfig
from scsnet_hf.encoders import EfficientNetLite
from scsnet_hf.training.initialization import (
    imagenet_weights_file,
    load_imagenet_weights,
    load_initial_model,
    trains_only_reference_branch,
)

LITE2 = {"width": 1.1, "depth": 1.2}
COLOR_BRANCH = (
    "source_encoder color_decoder reference_stem reference_encoder cross_attention".split()
)


def batch_normalized(convolution: str, normalization: str, shape, state: dict) -> None:
    """Random weights of a convolution and of the batch normalization after it."""
    width = shape[0]
    state[f"{convolution}.weight"] = torch.randn(shape) / shape[1:].numel() ** 0.5
    state[f"{normalization}.weight"] = torch.rand(width) + 0.5
    state[f"{normalization}.bias"] = torch.randn(width)
    state[f"{normalization}.running_mean"] = torch.randn(width)
    state[f"{normalization}.running_var"] = torch.rand(width) + 0.5


def published_state(trunk: EfficientNetLite) -> dict[str, torch.Tensor]:
    """A state dict with the names and shapes of a published file, of random numbers."""
    torch.manual_seed(0)
    state = {}
    batch_normalized("_conv_stem", "_bn0", torch.Size((32, 3, 3, 3)), state)
    blocks = [block for stage in trunk.stages for block in stage]
    for index, block in enumerate(blocks):
        prefix = f"_blocks.{index}."
        if index:
            name = f"{prefix}_expand_conv"
            batch_normalized(name, f"{prefix}_bn0", block.expand.weight.shape, state)
        name = f"{prefix}_depthwise_conv"
        batch_normalized(name, f"{prefix}_bn1", block.depthwise.weight.shape, state)
        name = f"{prefix}_project_conv"
        batch_normalized(name, f"{prefix}_bn2", block.project.weight.shape, state)
    return state


@pytest.fixture(scope="module")
def imagenet_state():
    return published_state(EfficientNetLite())


@pytest.fixture(scope="module")
def imagenet_file(imagenet_state, tmp_path_factory):
    path = tmp_path_factory.mktemp("imagenet") / "lite0.pth"
    torch.save(imagenet_state, path)
    return path


@pytest.fixture(scope="module")
def lite2_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("imagenet") / "lite2.pth"
    torch.save(published_state(EfficientNetLite(**LITE2)), path)
    return path


def normalization(state: dict, name: str) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(len(state[f"{name}.bias"]), eps=1e-3).eval()
    layer.load_state_dict(
        {key: state[f"{name}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")},
        strict=False,
    )
    return layer


class TestImagenetWeights:
    def test_a_gray_image_gives_the_first_features_of_its_three_channels(
        self, imagenet_state, imagenet_file
    ):
        trunk = EfficientNetLite()
        load_imagenet_weights(trunk, imagenet_file)
        gray = torch.rand(1, 1, 32, 32)
        padded = nn.functional.pad(gray, (0, 1, 0, 1)).expand(-1, 3, -1, -1)
        features = nn.functional.conv2d(padded, imagenet_state["_conv_stem.weight"], stride=2)
        with torch.no_grad():
            expected = normalization(imagenet_state, "_bn0")(features)
            torch.testing.assert_close(trunk.stem(gray), expected, atol=1e-5, rtol=1e-5)

    def test_batch_normalization_is_folded_into_every_block(self, imagenet_state, imagenet_file):
        trunk = EfficientNetLite()
        load_imagenet_weights(trunk, imagenet_file)
        block = trunk.stages[-1][0]
        features = torch.rand(1, 192, 4, 4)
        prefix = "_blocks.15."
        with torch.no_grad():
            expanded = nn.functional.conv2d(
                features, imagenet_state[f"{prefix}_expand_conv.weight"]
            )
            expected = normalization(imagenet_state, f"{prefix}_bn0")(expanded)
            torch.testing.assert_close(block.expand(features), expected, atol=1e-4, rtol=1e-4)

    def test_another_file_is_refused(self, tmp_path):
        torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
        with pytest.raises(ValueError, match="no EfficientNet-Lite of this size"):
            load_imagenet_weights(EfficientNetLite(), tmp_path / "other.pth")

    def test_another_size_is_refused(self, lite2_file):
        with pytest.raises(ValueError, match="shape"):
            load_imagenet_weights(EfficientNetLite(), lite2_file)

    @pytest.mark.parametrize("size", [{}, LITE2], ids=["Lite0", "Lite2"])
    def test_packages_hold_the_weights_of_their_size(self, size):
        trunk = EfficientNetLite(**size)
        load_imagenet_weights(trunk, imagenet_weights_file(**size))
        assert all(parameter.isfinite().all() for parameter in trunk.parameters())

    def test_other_sizes_have_no_package(self):
        assert imagenet_weights_file(0.5, 1.0) is None


class TestInitialModel:
    def test_a_preset_with_a_trunk_starts_from_imagenet(self, imagenet_file):
        model = load_initial_model("medium", imagenet_weights=imagenet_file)
        trunk = EfficientNetLite()
        load_imagenet_weights(trunk, imagenet_file)
        assert torch.equal(model.source_encoder.trunk.stem.weight, trunk.stem.weight)

    def test_another_size_of_the_trunk_starts_from_imagenet(self, lite2_file, tmp_path):
        other = build_tiny_model(source_encoder="efficientnet_lite")
        other.save_pretrained(tmp_path)
        model = load_initial_model(
            init_from=str(tmp_path),
            imagenet_weights=lite2_file,
            fields={f"trunk_{name}": factor for name, factor in LITE2.items()},
        )
        trunk = EfficientNetLite(**LITE2)
        load_imagenet_weights(trunk, lite2_file)
        assert torch.equal(model.source_encoder.trunk.stem.weight, trunk.stem.weight)
        assert torch.equal(model.stem.weight, other.stem.weight)

    def test_frozen_are_the_first_stages_and_depthwise_layers(self):
        model = load_initial_model("medium", branch="color", frozen_stages=2)
        encoder = model.source_encoder
        learning = {name for name, one in encoder.named_parameters() if one.requires_grad}
        assert {"lateral.0.weight", "merge.0.weight", "trunk.stages.2.0.expand.bias"} <= learning
        frozen = encoder.state_dict().keys() - learning
        assert {name for name in frozen if "depthwise" not in name} == {
            name
            for name in encoder.state_dict()
            if name.startswith(("trunk.stem", "trunk.stages.0", "trunk.stages.1"))
            and "depthwise" not in name
        }

    def test_unknown_fields_are_refused(self):
        with pytest.raises(ValueError, match="no field depth"):
            load_initial_model("tiny", fields={"depth": 3})

    def test_without_a_preset_the_network_is_that_of_the_model(self, tmp_path):
        other = build_tiny_model(texture_depth=2)
        other.save_pretrained(tmp_path)
        model = load_initial_model(init_from=str(tmp_path))
        assert model.config.texture_depth == 2
        assert torch.equal(model.stem.weight, other.stem.weight)

    def test_parts_that_fit_are_taken_and_the_rest_is_new(self, tmp_path):
        other = build_tiny_model(mapping_size=24)
        other.save_pretrained(tmp_path)
        model = load_initial_model("tiny", str(tmp_path))
        assert model.config.mapping_size == SCSNetConfig.from_preset("tiny").mapping_size
        assert torch.equal(model.stem.weight, other.stem.weight)
        assert model.upsampler.aggregate.weight.shape != other.upsampler.aggregate.weight.shape

    def test_the_texture_branch_can_come_from_another_model(self, tmp_path):
        first, second = build_tiny_model(seed=1), build_tiny_model(seed=2)
        first.save_pretrained(tmp_path / "first")
        second.save_pretrained(tmp_path / "second")
        model = load_initial_model(
            init_from=str(tmp_path / "first"), texture_from=str(tmp_path / "second")
        )
        for name, value in model.state_dict().items():
            source = first if name.split(".")[0] in COLOR_BRANCH else second
            assert torch.equal(value, source.state_dict()[name])

    def test_a_texture_branch_of_another_size_is_refused(self, tmp_path):
        build_tiny_model(texture_depth=3).save_pretrained(tmp_path / "deep")
        with pytest.raises(ValueError, match="texture_encoder is of another size"):
            load_initial_model("tiny", texture_from=str(tmp_path / "deep"))

    @pytest.mark.parametrize(
        ("branch", "parts"),
        [
            ("texture", {"stem", "texture_encoder", "upsampler"}),
            ("reference", {"reference_stem", "reference_encoder", "cross_attention"}),
            ("color", set(COLOR_BRANCH)),
        ],
    )
    def test_a_branch_can_learn_alone(self, branch, parts):
        model = load_initial_model("tiny", branch=branch)
        trained = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
        assert trained == parts
        assert trains_only_reference_branch(model) == (branch == "reference")
