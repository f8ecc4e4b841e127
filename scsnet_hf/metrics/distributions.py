"""Distances of two sets of images, by the features that a network has of them."""

import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_ROWS = 1024  # images whose kernel values with all others are in memory at once

# What numpy raises on files that are no archives of arrays.
_READING_ERRORS = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile)


@dataclass(frozen=True)
class FeatureStatistics:
    """Mean and covariance of the features of a set of images.

    Args:
        mean: (D,), float64.
        covariance: (D, D), float64, with Bessel's correction.
        network: the name of the network that made the features; empty if it is not known.
        count: how many images; 0 if it is not known.
    """

    mean: np.ndarray
    covariance: np.ndarray
    network: str = ""
    count: int = 0

    def save(self, path: str | os.PathLike) -> None:
        """Write an .npz file; `mu` and `sigma` in it are what pytorch-fid writes and reads."""
        with Path(path).open("wb") as file:  # a name would get .npz appended
            np.savez(
                file, mu=self.mean, sigma=self.covariance, network=self.network, count=self.count
            )

    @classmethod
    def load(cls, path: str | os.PathLike) -> "FeatureStatistics":
        """Read an .npz file of `save`, or of pytorch-fid, which has no `network` and `count`.

        Raises:
            ValueError: if it is no such file.
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


def statistics_of(batches: Iterable[np.ndarray], network: str = "") -> FeatureStatistics:
    """Statistics of features that come in batches, of which one at a time is in memory.

    Args:
        batches: (N, D) each, N may vary; `FeatureNetwork.features` makes them.
        network: the name of the network that made them.

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
    """Frechet distance of two normal distributions, squared: FID of Heusel et al. (2017).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). With Ci = Ri Ri^T the trace of the root is the sum
    of the singular values of R1^T R2: real, and exact also where covariances are singular.

    Raises:
        ValueError: if the features are of different networks.
    """
    if first.mean.shape != second.mean.shape:
        raise ValueError(
            f"features have {len(first.mean)} and {len(second.mean)} dimensions: they are of "
            "different networks"
        )
    if first.network and second.network and first.network != second.network:
        raise ValueError(
            f"features are of different networks, {first.network} and {second.network}: "
            "compare those of one"
        )
    roots = _root(first.covariance).T @ _root(second.covariance)
    means = np.square(first.mean - second.mean).sum()
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    distance = means + traces - 2 * np.linalg.svd(roots, compute_uv=False).sum()
    return max(float(distance), 0.0)  # rounding may leave less


def _root(covariance: np.ndarray) -> np.ndarray:
    """R with C = R R^T."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(values.clip(min=0))


def kernel_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Squared maximum mean discrepancy, unbiased: KID of Binkowski et al. (2018).

    The kernel is (x . y / D + 1)^3. Without bias also for few images, and so below 0 at times.

    Args:
        first: (M, D) features, M at least 2.
        second: (N, D) features, N at least 2.

    Raises:
        ValueError: if the shapes are others.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"accepted are (M, D) and (N, D), got {first.shape} and {second.shape}")
    if min(len(first), len(second)) < 2:
        raise ValueError(
            f"KID takes at least 2 images of each set, got {len(first)} and {len(second)}"
        )
    first, second = first.astype(np.float64), second.astype(np.float64)
    within = sum(_mean_of_different(features) for features in (first, second))
    return within - 2 * _sum_of_kernel(first, second) / (len(first) * len(second))


def _mean_of_different(features: np.ndarray) -> float:
    """Mean kernel value of two different rows."""
    count, dimensions = features.shape
    same = (np.square(features).sum(axis=1) / dimensions + 1) ** 3
    return (_sum_of_kernel(features, features) - float(same.sum())) / (count * (count - 1))


def _sum_of_kernel(first: np.ndarray, second: np.ndarray) -> float:
    blocks = (first[start : start + _ROWS] for start in range(0, len(first), _ROWS))
    return sum(float(((rows @ second.T / first.shape[1] + 1) ** 3).sum()) for rows in blocks)


def kernel_distances_of_subsets(
    first: np.ndarray, second: np.ndarray, size: int, count: int, seed: int
) -> np.ndarray:
    """`kernel_distance` of random subsets, as Binkowski et al. (2018) report it.

    Args:
        first: (M, D) features.
        second: (N, D) features.
        size: images of each set in a subset, drawn without repetition.
        count: how many subsets.
        seed: of the drawing.

    Returns:
        (count,), float64.

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
