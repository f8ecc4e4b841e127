"""Distances of the set of results and the set of truths."""

from collections.abc import Sequence

import numpy as np

from scsnet_hf.metrics import (
    FeatureNetwork,
    frechet_distance,
    kernel_distance,
    statistics_of,
)

from .measures import (
    TRUTH,
    Numbers,
    Row,
    by_method,
)
from .pixels import Pixels
from .samples import Sample


class Distribution:
    """FID and KID of every method's results to all truths of the run; see `definitions`.

    Args:
        network: makes the features. Only those of "inception" give numbers that compare with
            papers.
    """

    def __init__(self, network: FeatureNetwork):
        self._network = network
        self.definitions = {
            "fid": f"Frechet distance (Heusel et al. 2017) of {network.name} features of the "
            "results to those of all truths; grows where images are few",
            "kid": "1000 times the kernel distance (Binkowski et al. 2018) of the same, unbiased "
            "also for few images",
        }

    def of(self, sample: Sample | None, outcomes: dict[str, Pixels]) -> dict[str, Numbers]:
        """See `Measure`."""
        levels = (np.asarray(pixels.image) for pixels in outcomes.values())
        features = np.concatenate(list(self._network.features(levels)))
        return {
            name: {"features": one.tolist()} for name, one in zip(outcomes, features, strict=True)
        }

    def rows(self, told: Sequence[dict[str, Numbers]]) -> dict[str, Row]:
        """See `Measure`; of a single image there is no distance."""
        features = {
            name: np.array([one["features"] for one in numbers])
            for name, numbers in by_method(told).items()
        }
        truth = features.pop(TRUTH)
        return {name: _distances(one, truth) for name, one in features.items() if len(one) > 1}


def _distances(result: np.ndarray, truth: np.ndarray) -> Row:
    statistics = (statistics_of([features]) for features in (result, truth))
    return {
        "fid": frechet_distance(*statistics),
        "kid": 1000 * kernel_distance(result, truth),
    }
