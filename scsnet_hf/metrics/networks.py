"""Networks that compute the features of FID and KID."""

import hashlib
import os
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import torch

from ..training.vgg import VGG16Features

# The network of Heusel et al. (2017), ported to TorchScript by NVIDIA for StyleGAN2-ADA: it takes
# 8-bit images of any size, resizes them to 299x299 like the original, and has 2048 features. The
# hash is the one that k-diffusion checks.
INCEPTION_URL = (
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
    "inception-2015-12-05.pt"
)
INCEPTION_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"

NAMES = ("inception", "vgg16")

Extractor = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class FeatureNetwork:
    """A network that computes feature vectors of images of any size.

        FeatureNetwork.load("inception", device="cuda")

    Args:
        name: stored with statistics; only statistics of the same name are compared.
        extract: function from sRGB (B, 3, H, W), uint8 on `device`, to features (B, D).
        device: device of the network.
    """

    name: str
    extract: Extractor
    device: str = "cpu"

    @classmethod
    def load(
        cls,
        network: "str | Extractor" = "inception",
        weights: str | os.PathLike | None = None,
        sha256: str | None = None,
        device: str = "cpu",
    ) -> "FeatureNetwork":
        """Load a network by its name, or wrap a callable.

        Args:
            network: "inception", the network of published FID (2048 features); "vgg16", the mean
                over positions of conv5_1 of `VGG16Features` (512 features, not comparable with
                published values); or a callable like `extract`, named by its `__name__` or class.
            weights: for "inception" a path or URL of the TorchScript file, by default downloaded
                once (95 MB); for "vgg16" see `VGG16Features.from_pretrained`.
            sha256: SHA-256 that the file must have; by default that of the published Inception.
            device: device of the network.

        Raises:
            ValueError: if there is no such network, or its weights are missing or not those.
        """
        if callable(network):
            name = getattr(network, "__name__", type(network).__name__)
            return cls(name, network, device)
        if network == "inception":
            return cls(network, _inception(weights, sha256 or INCEPTION_SHA256, device), device)
        if network == "vgg16":
            return cls(network, _vgg16(weights, sha256, device), device)
        raise ValueError(
            f"no feature network is named {network!r}; accepted are {' and '.join(NAMES)}, or a "
            "callable from (B, 3, H, W) uint8 to (B, D)"
        )

    @classmethod
    def from_option(cls, option: str, device: str = "cpu") -> "FeatureNetwork":
        """Load the network of a command line option, NETWORK or NETWORK=WEIGHTS."""
        network, _, weights = option.partition("=")
        return cls.load(network, weights or None, device=device)

    def features(self, images: Iterable[np.ndarray], batch_size: int = 16) -> Iterator[np.ndarray]:
        """Compute features in batches of consecutive images of the same size.

        Args:
            images: sRGB (H, W, 3), uint8.
            batch_size: maximum number of images in a batch.

        Yields:
            Features (B, D), float64.

        Raises:
            ValueError: if the network returns another shape.
        """
        for batch in _batches(images, batch_size):
            with torch.no_grad():
                levels = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).to(self.device)
                features = self.extract(levels).double().cpu().numpy()
            if features.ndim != 2 or len(features) != len(batch):
                raise ValueError(
                    f"{self.name} returned {features.shape} for {len(batch)} images; accepted is "
                    "(B, D)"
                )
            yield features


def _batches(images: Iterable[np.ndarray], batch_size: int) -> Iterator[list[np.ndarray]]:
    for _, same in groupby(images, key=lambda image: image.shape):
        while batch := list(islice(same, batch_size)):
            yield batch


def _inception(weights: str | os.PathLike | None, sha256: str, device: str) -> Extractor:
    source = INCEPTION_URL if weights is None else str(weights)
    path = _download(source, sha256) if "://" in source else Path(source)
    _check(path, sha256)
    network = torch.jit.load(str(path), map_location=device).eval()
    return lambda levels: network(levels.float(), return_features=True)


def _vgg16(weights: str | os.PathLike | None, sha256: str | None, device: str) -> Extractor:
    if weights is not None and sha256 is not None:
        _check(Path(weights), sha256)
    network = VGG16Features.from_pretrained(weights).to(device)
    return lambda levels: network(levels / 255)[-1].mean(dim=(2, 3))


def _download(url: str, sha256: str) -> Path:
    """Return the path of a file in the cache of `torch.hub`, downloaded if it is missing."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / Path(urllib.parse.urlparse(url).path).name
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(
                url, str(path), hash_prefix=sha256.lower(), progress=False
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"the Inception weights cannot be downloaded from {url} ({error}): download that "
                "file elsewhere and pass its path as weights, or choose another network, such as "
                "vgg16; values of different networks are not comparable"
            ) from None
    return path


def _check(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise ValueError(f"{path}: no such file of weights")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256.lower():
        raise ValueError(
            f"{path}: has SHA-256 {found}, not {sha256}: it is damaged or another file (to use "
            "it, pass its sha256)"
        )
