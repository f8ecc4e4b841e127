"""Frechet Inception distance as an `evaluate` module."""

from os import PathLike
from typing import Any

from scsnet_hf.metrics import (
    FeatureNetwork,
    FeatureStatistics,
    compute_statistics,
    frechet_distance,
)
from scsnet_hf.metrics.modules import (
    SetMetric,
    Stored,
    count_images,
    decode_images,
)
from scsnet_hf.metrics.networks import Extractor


class Fid(SetMetric):
    """Frechet Inception distance of two sets of images (Heusel et al. 2017). Lower is closer.

    It is biased upward for small sets: published values are of thousands of images, and only values
    of about the same number of images are comparable. For small sets see `kid`.
    """

    citation = (
        "M. Heusel, H. Ramsauer, T. Unterthiner, B. Nessler, S. Hochreiter: GANs trained by a two "
        "time-scale update rule converge to a local Nash equilibrium. NIPS 2017"
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
        reference_statistics: str | PathLike | FeatureStatistics | None = None,
    ) -> dict[str, Any]:
        """
        The sets may have different numbers of images, and images different sizes.

        Options:
            network, weights, sha256, device: see `scsnet_hf.metrics.FeatureNetwork.load`. Only
                "inception" gives the FID of papers.
            batch_size: maximum number of images of the same size in a batch.
            reference_statistics: an .npz file of `FeatureStatistics.save` or of pytorch-fid, or
                the statistics themselves, in place of references.

        Returns:
            `fid`, and `network`, the name of the network that was used.
        """
        self._require(predictions=predictions)
        if reference_statistics is None:
            self._require(references=references)
        elif count_images(references):
            raise ValueError("accepted are references or reference_statistics, not both")
        extractor = FeatureNetwork.load(network, weights, sha256, device)

        def statistics(column: Stored) -> FeatureStatistics:
            batches = extractor.features(decode_images(column), batch_size)
            return compute_statistics(batches, extractor.name)

        if reference_statistics is None:
            expected = statistics(references)
        elif isinstance(reference_statistics, FeatureStatistics):
            expected = reference_statistics
        else:
            expected = FeatureStatistics.load(reference_statistics)
        return {
            "fid": frechet_distance(statistics(predictions), expected),
            "network": extractor.name,
        }
