"""The numbers of the paper's Sec. 4: as `evaluate` modules, and as functions.

psnr/ ssim/ fid/ kid/ colorfulness/ perceptual/   `evaluate` modules: `metric("psnr")` or
                  `evaluate.load(folder)`; they need the extra `eval`
modules.py        what these have in common: images in, stored without loss, taken out one by one
images.py       the images that metrics take, and the channels that they compare
fidelity.py       numbers of a result and its truth: psnr, ssim, perceptual_distance
distributions.py  distances of sets of images, by their features
networks.py       networks that give the features

Sums and matrices are float64. Nothing here imports `evaluate` or scikit-image before it is used.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from .distributions import (
    FeatureStatistics,
    frechet_distance,
    kernel_distance,
    statistics_of,
)
from .networks import FeatureNetwork

if TYPE_CHECKING:
    import evaluate

NAMES = ("psnr", "ssim", "fid", "kid", "colorfulness", "perceptual")

__all__ = [
    "NAMES",
    "FeatureNetwork",
    "FeatureStatistics",
    "frechet_distance",
    "kernel_distance",
    "metric",
    "statistics_of",
]


def metric(name: str, **arguments) -> "evaluate.Metric":
    """Load a metric of this package: `evaluate.load` of its folder, without network.

    Args:
        name: one of `NAMES`.
        **arguments: of `evaluate.load`, such as `keep_in_memory`, `num_process` or `cache_dir`.

    Raises:
        ValueError: if there is no metric of that name.
    """
    if name not in NAMES:
        raise ValueError(f"no metric is named {name!r}; accepted are {', '.join(NAMES)}")
    import evaluate

    return evaluate.load(str(Path(__file__).parent / name), **arguments)
