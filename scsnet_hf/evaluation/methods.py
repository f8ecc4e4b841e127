"""What is compared: every method makes a picture of the truth's size from a sample."""

from collections.abc import Callable

import torch
from PIL import Image

from .pixels import Pixels, picture_of_lab
from .samples import Sample
from .stages import Stage

Method = Callable[[Sample], Image.Image]

AUTOMATIC = "automatic"

_SEPIA = (3.0, 8.0)  # a and b: within 0.1 dB of the best single tint of photographs


def gray_bicubic(sample: Sample) -> Image.Image:
    """The floor: the gray source, enlarged."""
    return _enlarged(sample.gray, sample).convert("RGB")


def sepia(sample: Sample) -> Image.Image:
    """The floor of colour: gray bicubic in one tint, a = 3 and b = 8 as far as sRGB has it."""
    lab = Pixels(gray_bicubic(sample)).lab.clone()
    lab[1:] = torch.tensor(_SEPIA)[:, None, None]
    return picture_of_lab(lab)


def true_colors_bicubic(sample: Sample) -> Image.Image:
    """The ceiling of cascades: gray bicubic, with a and b of the true low-resolution picture.

    It is what perfect colorization and then bicubic enlargement of the colours would give.
    """
    lightness = Pixels(gray_bicubic(sample)).lab[:1]
    colors = Pixels(_enlarged(sample.low, sample)).lab[1:]
    return picture_of_lab(torch.cat((lightness, colors)))


def cascade(colorizer: Stage, upscaler: Stage) -> Method:
    """Colorize, enlarge, and resize to the target's size: what the paper compares with (Sec. 4.1).

    Args:
        colorizer: gets the gray source as RGB.
        upscaler: gets what the colorizer made. Its own magnification may be any.
    """

    def run(sample: Sample) -> Image.Image:
        enlarged = upscaler(colorizer(sample.gray.convert("RGB")).convert("RGB"))
        return _enlarged(enlarged.convert("RGB"), sample)

    return run


def methods_of(pipe: Callable) -> dict[str, Method]:
    """All methods by name, with those of a `scs-colorize-sr` pipeline."""
    return {
        "gray bicubic": gray_bicubic,
        "sepia": sepia,
        "true colors, bicubic": true_colors_bicubic,
        AUTOMATIC: lambda s: pipe(s.gray, size=s.truth.size),
        "self-reference": lambda s: pipe(s.gray, reference=s.reference, size=s.truth.size),
        "unrelated reference": lambda s: pipe(s.gray, reference=s.unrelated, size=s.truth.size),
    }


def _enlarged(picture: Image.Image, sample: Sample) -> Image.Image:
    return picture.resize(sample.truth.size, Image.Resampling.BICUBIC)
