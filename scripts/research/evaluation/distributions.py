"""Distances between the set of results and the set of truths."""

from collections.abc import Sequence

import numpy as np

from scsnet_hf.metrics import (
    FeatureNetwork,
    compute_statistics,
    frechet_distance,
    kernel_distance,
)

from .metrics import TRUTH, Metric, Numbers, Row, group_by_method
from .pixels import Pixels
from .samples import Sample


class DistributionDistance(Metric):
    """FID and KID of every method's results to all truths of the run; see `definitions`.

    Args:
        network: computes the features. Only "inception" gives numbers that compare with papers.
    """

    def __init__(self, network: FeatureNetwork):
        self._network = network
        self.definitions = {
            "fid": f"Frechet distance (Heusel et al. 2017) of {network.name} features of the "
            "results to those of all truths; larger for few images",
            "kid": "1000 times the kernel distance (Binkowski et al. 2018) of the same, unbiased "
            "also for few images",
        }

    def compute(self, sample: Sample | None, images: dict[str, Pixels]) -> dict[str, Numbers]:
        levels = (np.asarray(pixels.image) for pixels in images.values())
        features = np.concatenate(list(self._network.features(levels)))
        return {name: {"features": one} for name, one in zip(images, features, strict=True)}

    def summarize(self, images: Sequence[dict[str, Numbers]]) -> dict[str, Row]:
        features = {
            name: np.array([one["features"] for one in numbers])
            for name, numbers in group_by_method(images).items()
        }
        truth = features.pop(TRUTH)
        # A single image has no distance.
        return {name: _distances(one, truth) for name, one in features.items() if len(one) > 1}


def _distances(result: np.ndarray, truth: np.ndarray) -> Row:
    statistics = (compute_statistics([features]) for features in (result, truth))
    return {
        "fid": frechet_distance(*statistics),
        "kid": 1000 * kernel_distance(result, truth),
    }
