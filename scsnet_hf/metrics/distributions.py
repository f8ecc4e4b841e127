"""Distances between two sets of images, computed on the features of a network.

This is not torchmetrics' code because FID must also compare with stored statistics of references,
and its covariance must not be a difference of large sums; the tests compare with torchmetrics.
"""

import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# What numpy raises for files that are not archives of arrays.
_READING_ERRORS = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile)


@dataclass(frozen=True)
class FeatureStatistics:
    """Mean and covariance of the features of a set of images.

        FeatureStatistics.load("originals.npz")

    Args:
        mean: (D,), float64.
        covariance: (D, D), float64, with Bessel's correction.
        network: name of the network that computed the features; empty if unknown.
        count: number of images; 0 if unknown.
    """

    mean: np.ndarray
    covariance: np.ndarray
    network: str = ""
    count: int = 0

    def save(self, path: str | os.PathLike) -> None:
        """Write an .npz file, whose `mu` and `sigma` are those of pytorch-fid."""
        with Path(path).open("wb") as file:  # numpy would append .npz to a name
            np.savez(
                file, mu=self.mean, sigma=self.covariance, network=self.network, count=self.count
            )

    @classmethod
    def load(cls, path: str | os.PathLike) -> "FeatureStatistics":
        """Read an .npz file of `save` or of pytorch-fid, which has no `network` and `count`.

        Raises:
            ValueError: if it is not such a file.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                mean, covariance = (arrays[key].astype(np.float64) for key in ("mu", "sigma"))
                network = str(arrays["network"]) if "network" in arrays else ""
                count = int(arrays["count"]) if "count" in arrays else 0
        except _READING_ERRORS as error:
            raise ValueError(_not_statistics(path, error)) from None
        if mean.ndim != 1 or covariance.shape != 2 * mean.shape:
            raise ValueError(_not_statistics(path, f"shapes {mean.shape}, {covariance.shape}"))
        return cls(mean, covariance, network, count)


def _not_statistics(path: str | os.PathLike, reason: object) -> str:
    return f"{path}: not an .npz file with mu (D,) and sigma (D, D) ({reason})"


def compute_statistics(batches: Iterable[np.ndarray], network: str = "") -> FeatureStatistics:
    """Compute the statistics of features, with one batch at a time in memory.

    Args:
        batches: features (N, D), N may vary; `FeatureNetwork.features` yields them.
        network: name of the network that computed them.

    Raises:
        ValueError: if there are fewer than two rows, or rows are not finite.
    """
    count, mean, scatter = 0, np.zeros(()), np.zeros(())
    for batch in batches:
        features = np.asarray(batch, dtype=np.float64)
        if not np.isfinite(features).all():
            raise ValueError("features are not finite")
        # Chan et al. (1979): no difference of large sums.
        total = count + len(features)
        center = features.mean(axis=0)
        shift, deviations = center - mean, features - center
        scatter = scatter + deviations.T @ deviations
        scatter += np.outer(shift, shift) * (count * len(features) / total)
        mean = mean + shift * (len(features) / total)
        count = total
    if count < 2:
        raise ValueError(f"a covariance takes at least 2 images, got {count}")
    return FeatureStatistics(mean, scatter / (count - 1), network, count)


def frechet_distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """Compute the squared Frechet distance of two normal distributions: FID (Heusel et al. 2017).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). With Ci = Ri Ri^T, the trace of the root is the sum
    of the singular values of R1^T R2, which is real, and exact also for singular covariances.

    Raises:
        ValueError: if the features are from different networks.
    """
    if first.mean.shape != second.mean.shape:
        raise ValueError(
            f"features have {len(first.mean)} and {len(second.mean)} dimensions: they are from "
            "different networks"
        )
    if first.network and second.network and first.network != second.network:
        raise ValueError(
            f"features are from different networks, {first.network} and {second.network}: "
            "compare features of one network"
        )
    roots = _root(first.covariance).T @ _root(second.covariance)
    means = np.square(first.mean - second.mean).sum()
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    distance = means + traces - 2 * np.linalg.svd(roots, compute_uv=False).sum()
    return max(float(distance), 0.0)  # rounding may make it negative


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return R with C = R R^T."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(values.clip(min=0))


def kernel_distance(first: np.ndarray, second: np.ndarray, block_rows: int = 1024) -> float:
    """Compute the unbiased squared maximum mean discrepancy: KID (Binkowski et al. 2018).

    The kernel is (x . y / D + 1)^3. As it has no bias for few images either, it can be negative.

    Args:
        first: features (M, D), M at least 2.
        second: features (N, D), N at least 2.
        block_rows: images whose kernel values with all others are in memory at once.

    Raises:
        ValueError: if the features have other shapes.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"accepted are (M, D) and (N, D), got {first.shape} and {second.shape}")
    if min(len(first), len(second)) < 2:
        raise ValueError(
            f"KID takes at least 2 images of each set, got {len(first)} and {len(second)}"
        )
    first, second = first.astype(np.float64), second.astype(np.float64)
    within = sum(_mean_within(features, block_rows) for features in (first, second))
    between = _sum_kernel(first, second, block_rows) / (len(first) * len(second))
    return within - 2 * between


def _mean_within(features: np.ndarray, block_rows: int) -> float:
    """Return the mean kernel value of two different rows."""
    count, dimensions = features.shape
    same = (np.square(features).sum(axis=1) / dimensions + 1) ** 3
    total = _sum_kernel(features, features, block_rows)
    return (total - float(same.sum())) / (count * (count - 1))


def _sum_kernel(first: np.ndarray, second: np.ndarray, block_rows: int) -> float:
    blocks = (first[start : start + block_rows] for start in range(0, len(first), block_rows))
    return sum(float(((rows @ second.T / first.shape[1] + 1) ** 3).sum()) for rows in blocks)


def subset_kernel_distances(
    first: np.ndarray, second: np.ndarray, size: int, count: int, seed: int
) -> np.ndarray:
    """Compute `kernel_distance` of random subsets, as Binkowski et al. (2018) report it.

    Args:
        first: features (M, D).
        second: features (N, D).
        size: images of each set in a subset, drawn without replacement.
        count: number of subsets.
        seed: seed of the random subsets.

    Returns:
        Distances (count,), float64.

    Raises:
        ValueError: if a set has fewer than `size` images, or `size` or `count` are too small.
    """
    fewest = min(len(first), len(second))
    if not 2 <= size <= fewest or count < 1:
        raise ValueError(
            f"{count} subsets of {size} images; accepted is at least one subset of 2 to {fewest} "
            f"images (the sets have {len(first)} and {len(second)})"
        )
    rng = np.random.default_rng(seed)

    def subset(features: np.ndarray) -> np.ndarray:
        return features[rng.choice(len(features), size, replace=False)]

    return np.array([kernel_distance(subset(first), subset(second)) for _ in range(count)])
