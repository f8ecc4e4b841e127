"""Colorfulness after Hasler and Suesstrunk as an `evaluate` module."""

from typing import Any

import torch

from scsnet_hf.colorfulness import colorfulness
from scsnet_hf.metrics.modules import PictureMetric, Stored, mean_of, pictures_of


class Colorfulness(PictureMetric):
    """Colorfulness of Hasler and Suesstrunk (2003), mean over pictures; 0 for gray.

    Their observers called 15 slightly, 33 moderately, 59 quite and 82 highly colourful. It is not
    CN of the SCSNet paper, which is a learned network (Zerman et al. 2019) without public weights.
    """

    inputs = ("predictions",)
    citation = (
        "D. Hasler, S. Suesstrunk: Measuring colorfulness in natural images. Human Vision and "
        "Electronic Imaging VIII, SPIE 5007 (2003)"
    )

    def _compute(self, *, predictions: Stored, per_picture: bool = False) -> dict[str, Any]:
        """
        There are no references.

        Options:
            per_picture: also return a list `scores`.

        Returns:
            `colorfulness`, the mean over pictures, in levels.
        """
        pictures = (torch.tensor(rgb).permute(2, 0, 1).double() for rgb in pictures_of(predictions))
        scores = (colorfulness(picture).item() for picture in pictures)
        return mean_of("colorfulness", scores, per_picture)
