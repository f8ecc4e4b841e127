"""Kernel Inception distance as an `evaluate` module."""

from os import PathLike
from typing import Any

import numpy as np

from scsnet_hf.metrics import FeatureNetwork, kernel_distance
from scsnet_hf.metrics.distributions import kernel_distances_of_subsets
from scsnet_hf.metrics.modules import SetMetric, Stored, images_of
from scsnet_hf.metrics.networks import Extractor


class Kid(SetMetric):
    """Kernel Inception distance of two sets of images (Binkowski et al. 2018). Lower is closer.

    Without bias also for small sets; a number slightly below 0 is one of equal distributions.
    """

    citation = (
        "M. Binkowski, D. J. Sutherland, M. Arbel, A. Gretton: Demystifying MMD GANs. ICLR 2018"
    )

    def _compute(
        self,
        *,
        predictions: Stored,
        references: Stored,
        network: str | Extractor = "inception",
        weights: str | PathLike | None = None,
        sha256: str | None = None,
        device: str = "cpu",
        batch_size: int = 16,
        subset_size: int | None = None,
        subsets: int = 100,
        seed: int = 0,
    ) -> dict[str, Any]:
        """
        The sets may differ in number, and images in size.

        Options:
            network, weights, sha256, device: see `scsnet_hf.metrics.FeatureNetwork.load`. Only
                "inception" gives the KID of papers.
            batch_size: images of one size that run together.
            subset_size: None compares all images at once. A number compares random subsets of
                that many, as papers do (often 1000).
            subsets: how many subsets.
            seed: of the drawing.

        Returns:
            `kid` (not multiplied by 100 or 1000), with subsets their mean and `kid_std`, their
            standard deviation; and `network`, the name of the one that was used.
        """
        self._require(predictions=predictions, references=references)
        extractor = FeatureNetwork.load(network, weights, sha256, device)
        sets = [
            np.concatenate(list(extractor.features(images_of(column), batch_size)))
            for column in (predictions, references)
        ]
        name = {"network": extractor.name}
        if subset_size is None:
            return {"kid": kernel_distance(*sets), **name}
        distances = kernel_distances_of_subsets(*sets, subset_size, subsets, seed)
        return {"kid": float(distances.mean()), "kid_std": float(distances.std()), **name}
