"""Distance of VGG16 activations as an `evaluate` module."""

from os import PathLike
from typing import Any

import numpy as np
import torch

from scsnet_hf.metrics.modules import (
    PairMetric,
    Stored,
    decode_images,
    summarize,
)
from scsnet_hf.metrics.per_image import perceptual_distance
from scsnet_hf.training.vgg import VGG16Features


class Perceptual(PairMetric):
    """Distance of VGG16 activations, mean over images. Lower is closer to the reference.

    It is LPIPS (Zhang et al. 2018) without its learned weights, and on other layers: the squared
    distance of activations of unit length, mean over positions, summed over conv1_1, conv2_1,
    conv3_1, conv4_1 and conv5_1. Its values are not those of LPIPS.
    """

    citation = (
        "R. Zhang, P. Isola, A. A. Efros, E. Shechtman, O. Wang: The unreasonable effectiveness of "
        "deep features as a perceptual metric. CVPR 2018"
    )

    def _compute(
        self,
        *,
        predictions: Stored,
        references: Stored,
        weights: str | PathLike | VGG16Features | None = None,
        device: str = "cpu",
        per_image: bool = False,
    ) -> dict[str, Any]:
        """
        Sides are at least 16 pixels.

        Options:
            weights: a safetensors file, or a loaded `scsnet_hf.training.vgg.VGG16Features`; by
                default timm/vgg16.tv_in1k of the Hub.
            device: device of the network.
            per_image: also return the list `scores`.

        Returns:
            `perceptual`, the mean over images, from 0 for equal ones to 10.
        """
        loaded = isinstance(weights, VGG16Features)
        network = (weights if loaded else VGG16Features.from_pretrained(weights)).to(device)

        def score(*pair: np.ndarray) -> float:
            tensors = (torch.tensor(rgb, device=device).permute(2, 0, 1)[None] for rgb in pair)
            return perceptual_distance(network, *(levels / 255 for levels in tensors)).item()

        scores = map(score, decode_images(predictions), decode_images(references))
        return summarize("perceptual", scores, per_image)
