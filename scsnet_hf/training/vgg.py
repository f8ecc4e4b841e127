"""The frozen VGG16 (Simonyan and Zisserman 2015) of the perceptual loss."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ..io.error_lines import one_line

HUB_REPOSITORY = "timm/vgg16.tv_in1k"
MIN_SIDE = 16  # pixels: one after four poolings

_HUB_FILE = "model.safetensors"
_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512,))
_ACTIVATIONS = (1, 6, 11, 18, 25)  # positions of the first ReLU of each block
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def _trunk() -> Iterator[nn.Module]:
    """Yield conv1_1 to conv5_1 at the positions of torchvision, so that the keys agree."""
    channels = 3
    for index, widths in enumerate(_BLOCKS):
        if index:
            yield nn.MaxPool2d(2)
        for width in widths:
            yield nn.Conv2d(channels, width, 3, padding=1)
            yield nn.ReLU(inplace=True)
            channels = width


class VGG16Features(nn.Module):
    """VGG16 from conv1_1 to conv5_1; phi in Eq. 6.

    `from_pretrained` loads weights; the constructor leaves them random. They are frozen, and
    gradients pass through to the images.

    Example:
        >>> features = VGG16Features.from_pretrained()
        >>> [activation.shape[1] for activation in features(torch.zeros(1, 3, 64, 64))]
        [64, 128, 256, 512, 512]
    """

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(*_trunk())
        for name, values in (("mean", _IMAGENET_MEAN), ("std", _IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    @classmethod
    def from_pretrained(cls, weights: str | os.PathLike | None = None) -> "VGG16Features":
        """Load pretrained weights, in float32.

        Args:
            weights: a local safetensors file with the keys `features.{0,2,5,...,24}.{weight,bias}`
                of torchvision, of any float dtype; other keys are ignored. None or the id
                `timm/vgg16.tv_in1k` downloads torchvision's ImageNet weights from the Hub (550 MB,
                once).

        Raises:
            ValueError: if the file does not exist, is no safetensors file or lacks weights, or if
                the Hub cannot be reached.
        """
        path = _download() if weights in (None, HUB_REPOSITORY) else Path(weights)
        model = cls()
        state = _read(path, list(model.state_dict()))
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"{path}: not the weights of a VGG16 ({one_line(error)})") from None
        return model

    def forward(self, rgb: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the activations of a batch of images.

        Args:
            rgb: sRGB in [0, 1], (B, 3, H, W), sides of at least 16 pixels.

        Returns:
            The ReLU outputs of conv1_1, conv2_1, conv3_1, conv4_1 and conv5_1; the l-th is (B, C, H
            / 2^(l-1), W / 2^(l-1)), rounded down, with C = 64, 128, 256, 512, 512.

        Raises:
            ValueError: if `rgb` has another shape.
        """
        if rgb.ndim != 4 or rgb.shape[1] != 3 or min(rgb.shape[2:]) < MIN_SIDE:
            raise ValueError(
                f"VGG16 takes (B, 3, H, W) with sides of at least {MIN_SIDE} pixels, got "
                f"{tuple(rgb.shape)}: enlarge the images, or use a loss without perceptual term"
            )
        x = (rgb - self.mean) / self.std
        activations = []
        for position, layer in enumerate(self.features):
            x = layer(x)
            if position in _ACTIVATIONS:
                activations.append(x)
        return tuple(activations)


def _download() -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(HUB_REPOSITORY, _HUB_FILE))
    except Exception as error:  # many libraries raise here, and all mean the same to the user
        raise ValueError(
            f"the VGG16 of the perceptual loss, {HUB_REPOSITORY} of the Hub, could not be "
            f"downloaded ({error}): pass a local safetensors file (--vgg FILE), or use a loss "
            "without the perceptual term (--losses content)"
        ) from error


def _read(path: Path, keys: list[str]) -> dict[str, torch.Tensor]:
    """Read only the tensors of `keys`: the classifier is nine tenths of the file."""
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file; pass a local safetensors file with VGG16 weights, "
            f"or None to download {HUB_REPOSITORY}"
        )
    try:
        with safe_open(path, framework="pt") as file:
            missing = sorted(set(keys) - set(file.keys()))
            if missing:
                raise ValueError(f"{path}: lacks VGG16 weights: {', '.join(missing)}")
            return {key: file.get_tensor(key) for key in keys}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error})") from None
