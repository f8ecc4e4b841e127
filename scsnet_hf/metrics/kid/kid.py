"""Kernel Inception distance as an `evaluate` module."""

from os import PathLike
from typing import Any

import numpy as np

from scsnet_hf.metrics import FeatureNetwork, kernel_distance
from scsnet_hf.metrics.distributions import subset_kernel_distances
from scsnet_hf.metrics.modules import SetMetric, Stored, decode_images
from scsnet_hf.metrics.networks import Extractor


class Kid(SetMetric):
    """Kernel Inception distance of two sets of images (Binkowski et al. 2018). Lower is closer.

    It is unbiased for small sets, too; a value slightly below 0 means equal distributions.
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
        The sets may have different numbers of images, and images different sizes.

        Options:
            network, weights, sha256, device: see `scsnet_hf.metrics.FeatureNetwork.load`. Only
                "inception" gives the KID of papers.
            batch_size: maximum number of images of the same size in a batch.
            subset_size: number of images in random subsets, as in papers (often 1000); None to
                compare all images at once.
            subsets: number of subsets.
            seed: seed of the random subsets.

        Returns:
            `kid` (not multiplied by 100 or 1000), for subsets their mean and `kid_std`, their
            standard deviation; and `network`, the name of the network that was used.
        """
        self._require(predictions=predictions, references=references)
        extractor = FeatureNetwork.load(network, weights, sha256, device)
        sets = [
            np.concatenate(list(extractor.features(decode_images(column), batch_size)))
            for column in (predictions, references)
        ]
        name = {"network": extractor.name}
        if subset_size is None:
            return {"kid": kernel_distance(*sets), **name}
        distances = subset_kernel_distances(*sets, subset_size, subsets, seed)
        return {"kid": float(distances.mean()), "kid_std": float(distances.std()), **name}
