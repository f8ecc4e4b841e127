"""`ReferenceFromTextPipeline`: a reference generated from a text by a pipeline of diffusers.

The paper's referential mode (Eq. 2) needs a color image of something similar, and each reference
gives other colors (Fig. 2). Generating the reference from a description goes beyond the paper.
"""

import inspect
import math
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from transformers.utils import logging

from ..call_arguments import check_arguments
from ..decoding import split_alpha
from ..image_io import ImageSource, load_image
from ..image_processing_scsnet import SCSNetImageProcessor
from ..modeling_scsnet import SCSNetForImageToImage
from ..pipeline_scsnet import ScsColorizeSrPipeline

try:
    from diffusers import DiffusionPipeline
    from diffusers.utils import BaseOutput
except ModuleNotFoundError:
    BaseOutput = object

    class DiffusionPipeline:
        """Stands for the class of diffusers where it is missing, so that names and help work."""

        def __init__(self, *args, **kwargs):
            raise ImportError("ReferenceFromTextPipeline needs diffusers: pip install diffusers")

        from_pretrained = classmethod(__init__)


logger = logging.get_logger(__name__)

_DEFAULT_SIDE = 1024  # pixels; for pipelines that do not say what they were trained on
_STRUCTURE_ARGUMENTS = ("image", "control_image")


@dataclass
class ReferenceFromTextOutput(BaseOutput):
    """Result of `ReferenceFromTextPipeline`; entry i of both lists belongs to version i.

    Attributes:
        images: the colorized images.
        references: the images whose colors they have; None if the safety checker of the
            text-to-image pipeline withheld one, so that the colors are the automatic ones.
    """

    images: list[Image.Image]
    references: list[Image.Image | None]


class ReferenceFromTextPipeline(DiffusionPipeline):
    """Colorize a gray image as a text describes it, and enlarge it.

    A text-to-image pipeline generates a color image from the text, and SCSNet colorizes with that
    image as its reference. Pipelines whose call has an argument `control_image` or `image`
    (ControlNet, image to image) also receive the gray image as structure, so that the reference
    shows the same scene and colors find their place; others only receive its aspect ratio.

    `save_pretrained` writes a folder with one subfolder for each of the three components, and
    `from_pretrained` of this class reads it (from the Hub: `snapshot_download(repo_id)` first).
    `to` moves all of them. Where memory is short, call `pipe.model.to("cuda")` and
    `pipe.text_to_image.enable_model_cpu_offload()` instead.

    Args:
        text_to_image: a pipeline of diffusers, called with `prompt`.
        model: the network.
        image_processor: its image processor.

    Raises:
        ImportError: if diffusers is not installed.
        TypeError: if the call of `text_to_image` has no argument `prompt`.

    Example:
        With the gray image as structure, through a ControlNet for lightness:

        >>> import torch
        >>> from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
        >>> from transformers import pipeline
        >>> from scsnet_hf import ReferenceFromTextPipeline
        >>> controlnet = ControlNetModel.from_pretrained(
        ...     "latentcat/control_v1p_sd15_brightness", torch_dtype=torch.float16
        ... )
        >>> text_to_image = StableDiffusionControlNetPipeline.from_pretrained(
        ...     "stable-diffusion-v1-5/stable-diffusion-v1-5",
        ...     controlnet=controlnet,
        ...     torch_dtype=torch.float16,
        ... )
        >>> scs = pipeline("scs-colorize-sr")
        >>> pipe = ReferenceFromTextPipeline(text_to_image, scs.model, scs.image_processor)
        >>> pipe = pipe.to("cuda")
        >>> prompts = ["a red tram in summer, photograph", "a green tram in autumn, photograph"]
        >>> summer, autumn = pipe("tram.jpg", prompts, seed=7, scale=2).images

        By text alone, `text_to_image` is a `StableDiffusionPipeline`.
    """

    def __init__(
        self,
        text_to_image: DiffusionPipeline,
        model: SCSNetForImageToImage,
        image_processor: SCSNetImageProcessor,
    ):
        super().__init__()
        if "prompt" not in _accepted_by(text_to_image):
            raise TypeError(
                f"text_to_image: the call of {type(text_to_image).__name__} has no argument "
                "'prompt'; give a text-to-image pipeline of diffusers"
            )
        self.register_modules(
            text_to_image=text_to_image, model=model, image_processor=image_processor
        )

    def __call__(
        self,
        image: ImageSource,
        prompt: str | list[str],
        *,
        negative_prompt: str | None = None,
        seed: int | list[int] = 0,
        num_inference_steps: int | None = None,
        text_to_image_arguments: dict[str, Any] | None = None,
        reference_strength: float = 1.0,
        scale: float | None = None,
        size: tuple[int, int] | None = None,
        long_side: int | None = None,
        saturation: float = 1.0,
        luminance: str = "network",
        tile_size: int | str | None = "auto",
    ) -> ReferenceFromTextOutput:
        """Generate one reference for each prompt and seed, and colorize the image with each.

        Args:
            image: path, URL, bytes, PIL image, array or tensor (see `image_io.load_image`). Its
                colors are ignored; its transparency is kept.
            prompt: what the image shows and in which colors; a list gives several versions.
            negative_prompt: what the reference should not show, for all versions.
            seed: one for all prompts, or a list with one for each. One prompt with several seeds
                gives several versions. A version does not depend on the others.
            num_inference_steps: denoising steps; the default of `text_to_image` if None.
            text_to_image_arguments: more keyword arguments of the call of `text_to_image`, such as
                `guidance_scale`, `strength` or `controlnet_conditioning_scale`; also `height` and
                `width`, by default the image's aspect ratio at about the area of the training
                images.
            reference_strength, scale, size, long_side, saturation, luminance, tile_size: see
                `ScsColorizeSrPipeline.__call__`.

        Returns:
            The colored images and their references, in the order of the prompts or seeds.

        Raises:
            ValueError: if an argument is out of its range, two of scale, size and long_side are
                given, or the numbers of prompts and seeds differ; before any reference is
                generated.
            image_io.ImageError: a ValueError; if the image cannot be read; likewise before.
        """
        colorization = {
            "reference_strength": reference_strength,
            "scale": scale,
            "size": size,
            "long_side": long_side,
            "saturation": saturation,
            "luminance": luminance,
            "tile_size": tile_size,
        }
        check_arguments(**colorization)
        versions = _pair_prompts_and_seeds(prompt, seed)
        image = load_image(image)
        given = {"negative_prompt": negative_prompt, "num_inference_steps": num_inference_steps}
        arguments = {
            **_size_and_structure(self.text_to_image, image),
            **{name: value for name, value in given.items() if value is not None},
            **(text_to_image_arguments or {}),
        }
        references = [self._generate(*version, arguments) for version in versions]
        colorize = ScsColorizeSrPipeline(
            model=self.model, image_processor=self.image_processor, device=self.model.device
        )
        images = colorize([image] * len(versions), reference=references, **colorization)
        return ReferenceFromTextOutput(images, references)

    def _generate(self, prompt: str, seed: int, arguments: dict[str, Any]) -> Image.Image | None:
        # On the CPU, so that a seed gives the same noise on every device.
        generator = torch.Generator("cpu").manual_seed(seed)
        output = self.text_to_image(prompt=prompt, generator=generator, **arguments)
        if any(getattr(output, "nsfw_content_detected", None) or ()):
            logger.warning(
                "the safety checker withheld the reference for %r, seed %d: automatic colors",
                prompt,
                seed,
            )
            return None
        return output.images[0]

    def to(self, *args, **kwargs) -> "ReferenceFromTextPipeline":
        """Move all components, with the arguments of `DiffusionPipeline.to`."""
        self.text_to_image.to(*args, **kwargs)  # diffusers moves modules only, not pipelines
        return super().to(*args, **kwargs)

    def set_progress_bar_config(self, **kwargs) -> None:
        """Configure the progress bar of the denoising steps (`disable=True` hides it)."""
        self.text_to_image.set_progress_bar_config(**kwargs)


def _accepted_by(text_to_image: DiffusionPipeline) -> set[str]:
    return set(inspect.signature(type(text_to_image).__call__).parameters)


def _pair_prompts_and_seeds(
    prompt: str | list[str], seed: int | list[int]
) -> list[tuple[str, int]]:
    """Pair prompts and seeds; a single one of either is used with all of the other."""
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    seeds = [seed] if isinstance(seed, int) else list(seed)
    count = max(len(prompts), len(seeds))
    if {len(prompts), len(seeds)} - {1, count}:
        raise ValueError(
            f"{len(prompts)} prompts and {len(seeds)} seeds: give one seed for all prompts, "
            "one for each, or one prompt for all seeds"
        )
    repeated = (given * count if len(given) == 1 else given for given in (prompts, seeds))
    return list(zip(*repeated, strict=True))


def _size_and_structure(text_to_image: DiffusionPipeline, image: Image.Image) -> dict[str, Any]:
    """Return the arguments for the gray image and its aspect ratio that the call accepts."""
    width, height = _generated_size(text_to_image, image)
    gray = split_alpha(image)[0].convert("L").convert("RGB")
    structure = gray.resize((width, height), Image.Resampling.BICUBIC)
    offered = {"width": width, "height": height} | dict.fromkeys(_STRUCTURE_ARGUMENTS, structure)
    accepted = _accepted_by(text_to_image)
    return {name: value for name, value in offered.items() if name in accepted}


def _generated_size(text_to_image: DiffusionPipeline, image: Image.Image) -> tuple[int, int]:
    """Return width and height: the image's aspect ratio at the area of the training images."""
    factor = getattr(text_to_image, "vae_scale_factor", 8)
    denoiser = getattr(text_to_image, "unet", None) or getattr(text_to_image, "transformer", None)
    latent = getattr(text_to_image, "default_sample_size", None)
    latent = latent or getattr(denoiser, "config", {}).get("sample_size")
    if latent is None:
        latent = _DEFAULT_SIDE / factor
    rows, columns = latent if isinstance(latent, list | tuple) else (latent, latent)
    enlarged = factor * math.sqrt(rows * columns / (image.width * image.height))
    # All pipelines need multiples of 8, and transformers join latent pixels two by two.
    step = max(8, 2 * factor)
    width, height = (max(step, round(side * enlarged / step) * step) for side in image.size)
    return width, height
