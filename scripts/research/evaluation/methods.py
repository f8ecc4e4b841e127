"""What is compared: every method makes an image of the truth's size from a sample."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL import Image

from scsnet_hf.color import denormalize_lab, lab_to_srgb
from scsnet_hf.image_io import load_image

from .external_models import ExternalModel
from .pixels import Pixels, image_from_lab
from .samples import Sample, enlarge

if TYPE_CHECKING:
    from scsnet_hf.pipeline_scsnet import ScsColorizeSrPipeline

AUTOMATIC = "automatic"
SELF_REFERENCE = "self-reference"
UNRELATED_REFERENCE = "unrelated reference"
MODES = (AUTOMATIC, SELF_REFERENCE, UNRELATED_REFERENCE)
REFERENTIAL = "referential"  # with either reference, as in the paper's Table 1
NETWORK_ALONE = ", network alone"  # at the end of a mode

_SEPIA = (3.0, 8.0)  # a and b: within 0.1 dB of the best single tint of photographs


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    Args:
        run: makes the image, RGB and of the truth's size, from a sample.
        mode: one of `MODES`, or `REFERENTIAL`: what it gets of the sample beside the source.
        parameters: of its networks; None if unknown.
        seconds: per image, if they were measured elsewhere; None to measure them.

    Example:
        >>> Method(lambda sample: sample.gray.resize(sample.truth.size).convert("RGB"))
    """

    run: Callable[[Sample], Image.Image]
    mode: str = AUTOMATIC
    parameters: int | None = None
    seconds: float | None = None

    def __call__(self, sample: Sample) -> Image.Image:
        return self.run(sample)


def gray_bicubic(sample: Sample) -> Image.Image:
    """Enlarge the gray source: the lower bound."""
    return enlarge(sample.gray, sample).convert("RGB")


def sepia(sample: Sample) -> Image.Image:
    """Give gray bicubic one tint, a = 3 and b = 8 as far as sRGB has it: the bound for color."""
    lab = Pixels(gray_bicubic(sample)).lab.clone()
    lab[1:] = torch.tensor(_SEPIA)[:, None, None]
    return image_from_lab(lab)


def true_colors_bicubic(sample: Sample) -> Image.Image:
    """Combine gray bicubic with a and b of the true low-resolution image: the oracle of cascades.

    Perfect colorization, followed by bicubic enlargement of the colors, would give the same.
    """
    lightness = Pixels(gray_bicubic(sample)).lab[:1]
    colors = Pixels(enlarge(sample.low, sample)).lab[1:]
    return image_from_lab(torch.cat((lightness, colors)))


BOUNDS: dict[str, Method] = {
    "gray bicubic": Method(gray_bicubic, parameters=0),
    "sepia": Method(sepia, parameters=0),
    "true colors, bicubic": Method(true_colors_bicubic, parameters=0),
}


def cascade(colorizer: ExternalModel, upscaler: ExternalModel) -> Method:
    """Colorize, upscale, and resize to the truth's size, as the paper's baselines do (Sec. 4.1).

    Args:
        colorizer: gets the gray source as RGB.
        upscaler: gets the colorized image. Its own magnification may be any.
    """

    def run(sample: Sample) -> Image.Image:
        upscaled = upscaler(colorizer(sample.gray.convert("RGB")).convert("RGB"))
        return enlarge(upscaled.convert("RGB"), sample)

    counts = [model.parameters for model in (colorizer, upscaler)]
    return Method(run, parameters=None if None in counts else sum(counts))


def pipeline_methods(pipe: "ScsColorizeSrPipeline") -> dict[str, Method]:
    """Return the modes of a `scs-colorize-sr` pipeline that its network has, by name."""
    network = pipe.model

    def automatic(sample: Sample) -> Image.Image:
        return pipe(sample.gray, size=sample.truth.size)

    def self_reference(sample: Sample) -> Image.Image:
        return pipe(sample.gray, size=sample.truth.size, reference=sample.reference)

    def unrelated_reference(sample: Sample) -> Image.Image:
        return pipe(sample.gray, size=sample.truth.size, reference=sample.unrelated)

    methods = {AUTOMATIC: Method(automatic, AUTOMATIC, network.automatic_parameters)}
    if network.config.cross_attention != "none":
        count = network.num_parameters()
        methods[SELF_REFERENCE] = Method(self_reference, SELF_REFERENCE, count)
        methods[UNRELATED_REFERENCE] = Method(unrelated_reference, UNRELATED_REFERENCE, count)
    return methods


def network_methods(pipe: "ScsColorizeSrPipeline") -> dict[str, Method]:
    """Return the modes of a pipeline without what it does after the network.

    The lightness is not back-projected to the source, and colors outside sRGB are clipped.
    """
    references = {
        AUTOMATIC: lambda _: None,
        SELF_REFERENCE: lambda sample: sample.reference,
        UNRELATED_REFERENCE: lambda sample: sample.unrelated,
    }

    def method(mode: str, parameters: int | None) -> Method:
        def run(sample: Sample) -> Image.Image:
            return _network_output(pipe, sample, references[mode](sample))

        return Method(run, mode, parameters)

    return {
        mode + NETWORK_ALONE: method(mode, full.parameters)
        for mode, full in pipeline_methods(pipe).items()
    }


@torch.no_grad()
def _network_output(
    pipe: "ScsColorizeSrPipeline", sample: Sample, reference: Image.Image | None
) -> Image.Image:
    inputs = pipe.image_processor(sample.gray, return_tensors="pt")
    if reference is not None:
        inputs["reference_pixel_values"] = pipe.image_processor.reference_tensor(reference)
    inputs = {
        name: values.to(pipe.device, pipe.model.dtype)
        for name, values in inputs.items()
        if name in ("pixel_values", "reference_pixel_values")
    }
    lab = pipe.model(**inputs, output_size=sample.truth.size[::-1]).reconstruction[0]
    return load_image(lab_to_srgb(denormalize_lab(lab.float().cpu())).clamp(0, 1))
