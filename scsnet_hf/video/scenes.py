"""Where a scene of a video ends and the next one begins, by lightness alone.

Images are compared as averages of 8x8 blocks, as in Yeo and Liu, "Rapid scene analysis on
compressed video" (1995). Theirs are subtracted; these are correlated, so that neither a change of
exposure nor the flicker of old video is a cut. Dissolves are not found.
"""

import numpy as np
import torch
from PIL import Image

_SIDE = 8  # of a thumbnail
_LEAST_CONTRAST = 0.03  # standard deviation; photographs have 0.04 and more
_LEAST_CORRELATION = 0.6  # of neighbors in one scene


def thumbnail_of(image: Image.Image) -> torch.Tensor:
    """Averages of luma, (8, 8) float32 in [0, 1], of an image of any 8-bit mode."""
    small = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)


def is_blank(thumbnail: torch.Tensor) -> bool:
    """Whether an image shows as good as nothing, as between fading out and fading in."""
    return thumbnail.std().item() < _LEAST_CONTRAST


def is_cut(before: torch.Tensor, after: torch.Tensor) -> bool:
    """Whether a scene ends between two images, given their thumbnails; neither is blank."""
    correlation = torch.corrcoef(torch.stack((before.flatten(), after.flatten())))[0, 1]
    return correlation.item() < _LEAST_CORRELATION
