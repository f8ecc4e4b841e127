"""Peak signal-to-noise ratio as an `evaluate` module."""

from typing import Any

from scsnet_hf.metrics.modules import (
    PairMetric,
    Stored,
    decode_pairs,
    summarize,
)
from scsnet_hf.metrics.per_image import psnr


class Psnr(PairMetric):
    """Peak signal-to-noise ratio in dB, mean over images. Higher is closer to the reference."""

    citation = "A. Horé, D. Ziou: Image quality metrics: PSNR vs. SSIM. ICPR 2010"

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
            border: pixels that are cropped at each side.
            data_range: largest possible value; 255 is common for "y", too.
            per_image: also return the list `scores`.

        Returns:
            `psnr`, the mean over images; infinite if an image equals its reference.
        """
        pairs = decode_pairs(predictions, references, color, border)
        return summarize("psnr", (psnr(*pair, peak=data_range) for pair in pairs), per_image)
