"""Which photographs are good enough to learn from."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from .colorfulness import colorfulness

_THUMBNAIL_SIDE = 64  # pixels


@dataclass(frozen=True)
class Selection:
    """Lower limits for the photographs of a source.

    Args:
        min_bytes: smallest size of the encoded file, in bytes.
        min_colorfulness: smallest `thumbnail_colorfulness`; any value above 0 excludes gray images.

    Raises:
        ValueError: if a limit is negative or not finite.

    Example:
        >>> Selection(min_colorfulness=15).rejection_reason(Image.new("RGB", (640, 480), "gray"))
        'its colorfulness 0.0 is below 15'
    """

    min_bytes: int = 0
    min_colorfulness: float = 0.0

    def __post_init__(self):
        for name in ("min_bytes", "min_colorfulness"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} {getattr(self, name)} must be finite and at least 0")

    def rejection_reason(self, image: Image.Image) -> str | None:
        """Return why a decoded RGB image is excluded, None if it is not.

        Only pixels are checked. `stream_photographs` checks the file size, which takes no decoding.
        """
        if self.min_colorfulness == 0:
            return None
        measured = thumbnail_colorfulness(image)
        if measured >= self.min_colorfulness:
            return None
        return f"its colorfulness {measured:.1f} is below {self.min_colorfulness:g}"


# Sec. 4.1: "we remove images with file sizes smaller than 80K and less color variation". The paper
# gives no number for the second; 15 is this project's, "slightly colorful" to the observers of
# Hasler and Suesstrunk (2003).
PRESELECTION = Selection(min_bytes=80_000, min_colorfulness=15.0)


def thumbnail_colorfulness(image: Image.Image) -> float:
    """Return the `colorfulness` of an RGB image reduced to at most 64 pixels a side, for speed."""
    thumbnail = image.reduce(-(-max(image.size) // _THUMBNAIL_SIDE))
    return colorfulness(torch.from_numpy(np.array(thumbnail)).permute(2, 0, 1)).item()
