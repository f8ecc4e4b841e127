"""The metrics of the paper's Sec. 4, as `evaluate` modules and as functions.

psnr/ ssim/ fid/ kid/ colorfulness/ perceptual/   `evaluate` modules: `metric("psnr")` or
                  `evaluate.load(folder)`
modules.py        base classes of the modules; images are stored as PNG and decoded one by one
images.py         which images metrics accept, and which channels they compare
per_image.py      metrics of a result and its reference: psnr, ssim, perceptual_distance
distributions.py  distances between sets of images, computed on features
networks.py       networks that compute the features

Sums and matrices are float64. `evaluate` and scikit-image are only imported when they are needed.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from ..io.extras import needs_extra
from .distributions import (
    FeatureStatistics,
    compute_statistics,
    frechet_distance,
    kernel_distance,
)
from .networks import FeatureNetwork

if TYPE_CHECKING:
    import evaluate

NAMES = ("psnr", "ssim", "fid", "kid", "colorfulness", "perceptual")

__all__ = [
    "NAMES",
    "FeatureNetwork",
    "FeatureStatistics",
    "compute_statistics",
    "frechet_distance",
    "kernel_distance",
    "metric",
]


def metric(name: str, **arguments) -> "evaluate.Metric":
    """Load a metric of this package by `evaluate.load`, which needs no network connection.

        metric("psnr").compute(predictions=results, references=originals)["psnr"]

    Args:
        name: one of `NAMES`.
        **arguments: arguments of `evaluate.load`, such as `num_process` or `cache_dir`.

    Raises:
        ValueError: if there is no metric of that name.
        ImportError: if the extra `eval` is not installed.
    """
    if name not in NAMES:
        raise ValueError(f"no metric is named {name!r}; accepted are {', '.join(NAMES)}")
    with needs_extra("eval", "metrics"):
        import evaluate

        return evaluate.load(str(Path(__file__).parent / name), **arguments)
