"""Fingerprints of images and weights."""

import hashlib
from collections.abc import Iterable

from PIL import Image
from torch import nn


def image_sha256(image: Image.Image) -> str:
    """Hash the size and the pixels of an image, whatever its file format was."""
    size = f"{image.width}x{image.height} {image.mode} ".encode()
    return hashlib.sha256(size + image.tobytes()).hexdigest()


def combined_sha256(hashes: Iterable[str]) -> str:
    """Hash hashes in their order."""
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def weights_sha256(network: nn.Module) -> str:
    """Hash the names and float32 values of all weights."""
    digest = hashlib.sha256()
    for name, values in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
