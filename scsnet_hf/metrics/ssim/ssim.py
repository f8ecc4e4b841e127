"""Structural similarity as an `evaluate` module."""

from typing import Any

from scsnet_hf.metrics.modules import (
    PairMetric,
    Stored,
    decode_pairs,
    summarize,
)
from scsnet_hf.metrics.per_image import ssim


class Ssim(PairMetric):
    """Structural similarity of Wang et al. (2004), mean over images. Higher is closer; 1 at most.

    A Gaussian window of 11x11 and sigma 1.5, K1 = 0.01, K2 = 0.03, no Bessel correction, only
    windows inside the image, no downsampling. For RGB it is the mean of the three channels.
    """

    citation = (
        "Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli: Image quality assessment: from "
        "error visibility to structural similarity. IEEE Transactions on Image Processing 13 (2004)"
    )

    def _compute(
        self,
        *,
        predictions: Stored,
        references: Stored,
        color: str = "rgb",
        border: int = 0,
        data_range: float = 255.0,
        per_image: bool = False,
    ) -> dict[str, Any]:
        """
        Options:
            color: "rgb", or "y" for luma of BT.601 in studio range, 16 to 235, not rounded.
            border: pixels that are cropped at each side; at least 11x11 must remain.
            data_range: L in the paper, the largest possible value; 255 is common for "y", too.
            per_image: also return the list `scores`.

        Returns:
            `ssim`, the mean over images.
        """
        pairs = decode_pairs(predictions, references, color, border)
        return summarize("ssim", (ssim(*pair, peak=data_range) for pair in pairs), per_image)
