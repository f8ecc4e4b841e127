"""What is compared: every method makes an image of the truth's size from a sample."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL import Image

from .pixels import Pixels, image_of_lab
from .samples import Sample, enlarged
from .stages import Stage

if TYPE_CHECKING:
    from scsnet_hf.pipeline_scsnet import ScsColorizeSrPipeline

AUTOMATIC = "automatic"
SELF_REFERENCE = "self-reference"
UNRELATED_REFERENCE = "unrelated reference"
MODES = (AUTOMATIC, SELF_REFERENCE, UNRELATED_REFERENCE)

_SEPIA = (3.0, 8.0)  # a and b: within 0.1 dB of the best single tint of photographs


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    Args:
        restore: makes the image, RGB and of the truth's size, from a sample.
        mode: one of `MODES`: what of the sample it looks at beside the source.
        parameters: of its networks; None if that is not known.
    """

    restore: Callable[[Sample], Image.Image]
    mode: str = AUTOMATIC
    parameters: int | None = None

    def __call__(self, sample: Sample) -> Image.Image:
        return self.restore(sample)


def gray_bicubic(sample: Sample) -> Image.Image:
    """The floor: the gray source, enlarged."""
    return enlarged(sample.gray, sample).convert("RGB")


def sepia(sample: Sample) -> Image.Image:
    """The floor of color: gray bicubic in one tint, a = 3 and b = 8 as far as sRGB has it."""
    lab = Pixels(gray_bicubic(sample)).lab.clone()
    lab[1:] = torch.tensor(_SEPIA)[:, None, None]
    return image_of_lab(lab)


def true_colors_bicubic(sample: Sample) -> Image.Image:
    """The ceiling of cascades: gray bicubic, with a and b of the true low-resolution image.

    It is what perfect colorization and then bicubic enlargement of the colors would give.
    """
    lightness = Pixels(gray_bicubic(sample)).lab[:1]
    colors = Pixels(enlarged(sample.low, sample)).lab[1:]
    return image_of_lab(torch.cat((lightness, colors)))


def cascade(colorizer: Stage, upscaler: Stage) -> Method:
    """Colorize, enlarge, and resize to the target's size: what the paper compares with (Sec. 4.1).

    Args:
        colorizer: gets the gray source as RGB.
        upscaler: gets what the colorizer made. Its own magnification may be any.
    """

    def run(sample: Sample) -> Image.Image:
        made = upscaler(colorizer(sample.gray.convert("RGB")).convert("RGB"))
        return enlarged(made.convert("RGB"), sample)

    counts = [stage.parameters for stage in (colorizer, upscaler)]
    return Method(run, parameters=None if None in counts else sum(counts))


FLOORS_AND_CEILING: dict[str, Method] = {
    "gray bicubic": Method(gray_bicubic, parameters=0),
    "sepia": Method(sepia, parameters=0),
    "true colors, bicubic": Method(true_colors_bicubic, parameters=0),
}


def modes_of(pipe: "ScsColorizeSrPipeline") -> dict[str, Method]:
    """A `scs-colorize-sr` pipeline as methods: its modes by name, those that its network has."""
    network = pipe.model

    def restore(**reference: str) -> Callable[[Sample], Image.Image]:
        def run(sample: Sample) -> Image.Image:
            given = {name: getattr(sample, what) for name, what in reference.items()}
            return pipe(sample.gray, size=sample.truth.size, **given)

        return run

    methods = {AUTOMATIC: Method(restore(), AUTOMATIC, network.automatic_parameters)}
    if network.config.cross_attention != "none":
        count = network.num_parameters()
        for mode, what in ((SELF_REFERENCE, "reference"), (UNRELATED_REFERENCE, "unrelated")):
            methods[mode] = Method(restore(reference=what), mode, count)
    return methods
