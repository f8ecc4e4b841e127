"""Where one scene of a video ends and the next one begins, from lightness alone.

Images are compared as 8x8 thumbnails, as in Yeo and Liu, "Rapid scene analysis on
compressed video" (1995). They subtract them; here they are correlated, so that neither a change of
exposure nor the flicker of old film is a cut. Dissolves are not detected.
"""

import numpy as np
import torch
from PIL import Image

_SIDE = 8  # of a thumbnail in pixels
_LEAST_CONTRAST = 0.03  # standard deviation; photographs have 0.04 and more
_LEAST_CORRELATION = 0.6  # of neighboring images of one scene


def thumbnail_of(image: Image.Image) -> torch.Tensor:
    """Return the averages of luma in 8x8 blocks.

    Args:
        image: of any 8-bit mode.

    Returns:
        (8, 8) float32 in [0, 1].
    """
    small = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)


def is_blank(thumbnail: torch.Tensor) -> bool:
    """Return whether an image shows next to nothing, as between a fade-out and a fade-in."""
    return thumbnail.std().item() < _LEAST_CONTRAST


def is_cut(before: torch.Tensor, after: torch.Tensor) -> bool:
    """Return whether a scene ends between two images.

    Args:
        before, after: their thumbnails, neither of them blank.
    """
    correlation = torch.corrcoef(torch.stack((before.flatten(), after.flatten())))[0, 1]
    return correlation.item() < _LEAST_CORRELATION
