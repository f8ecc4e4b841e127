"""Colorfulness after Hasler and Suesstrunk as an `evaluate` module."""

from typing import Any

import torch

from scsnet_hf.data.colorfulness import colorfulness
from scsnet_hf.metrics.modules import (
    ImageMetric,
    Stored,
    decode_images,
    summarize,
)


class Colorfulness(ImageMetric):
    """Colorfulness of Hasler and Suesstrunk (2003), mean over images; 0 for gray.

    Their observers called 15 slightly, 33 moderately, 59 quite and 82 highly colorful. It is not
    the CN of the SCSNet paper, a learned network (Zerman et al. 2019) without public weights.
    """

    inputs = ("predictions",)
    citation = (
        "D. Hasler, S. Suesstrunk: Measuring colorfulness in natural images. Human Vision and "
        "Electronic Imaging VIII, SPIE 5007 (2003)"
    )

    def _compute(self, *, predictions: Stored, per_image: bool = False) -> dict[str, Any]:
        """
        Colorfulness has no references.

        Options:
            per_image: also return the list `scores`.

        Returns:
            `colorfulness`, the mean over images.
        """
        images = (torch.tensor(rgb).permute(2, 0, 1).double() for rgb in decode_images(predictions))
        scores = (colorfulness(image).item() for image in images)
        return summarize("colorfulness", scores, per_image)
