"""Peak signal-to-noise ratio as an `evaluate` module."""

from typing import Any

from scsnet_hf.metrics.modules import (
    PairMetric,
    Stored,
    mean_of,
    pairs_of,
)
from scsnet_hf.metrics.per_image import psnr


class Psnr(PairMetric):
    """Peak signal-to-noise ratio in dB, mean over images. Higher is closer to the reference."""

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
            color: "rgb" for R, G and B together, or "y" for luma of BT.601 in studio range, 16 to
                235, not rounded.
            border: pixels that are cut off at each side.
            data_range: the peak, in levels; 255 is usual for "y", too.
            per_image: also return a list `scores`.

        Returns:
            `psnr`, the mean over images of their PSNR; infinite if one is equal to its reference.
        """
        pairs = pairs_of(predictions, references, color, border)
        return mean_of("psnr", (psnr(*pair, peak=data_range) for pair in pairs), per_image)
