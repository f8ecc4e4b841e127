"""`ReferenceFromTextPipeline`: a reference generated from a text by a pipeline of diffusers.

The paper's referential mode (Eq. 2) needs a color image of something similar, and each reference
gives other colors (Fig. 2). Generating the reference from a description goes beyond the paper.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from PIL import Image
from transformers.utils import logging

from ..call_arguments import check_arguments, check_count
from ..decoding import split_alpha
from ..image_io import ImageSource, load_image
from ..image_processing_scsnet import SCSNetImageProcessor
from ..io.extras import needs_extra
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
            with needs_extra("train", "references from text"):
                import diffusers  # noqa: F401, which is missing

        from_pretrained = classmethod(__init__)


logger = logging.get_logger(__name__)

_DEFAULT_SIDE = 1024  # pixels; for pipelines that do not say what they were trained on
_STRUCTURE_ARGUMENTS = ("image", "control_image")
_OUTPUT_TYPES = ("pil", "np", "pt")
_HUB_ARGUMENTS = ("revision", "token", "cache_dir", "local_files_only", "force_download")
# What `DiffusionPipeline.from_pretrained(..., custom_pipeline=...)` reads in a saved folder.
_PIPELINE_FILE = '''"""Makes the pipeline of the package scsnet_hf known to diffusers."""

from scsnet_hf import ReferenceFromTextPipeline  # noqa: F401
'''


@dataclass
class ReferenceFromTextOutput(BaseOutput):
    """Result of `ReferenceFromTextPipeline`; entry i of both lists belongs to version i.

    Attributes:
        images: the colorized images; with `output_type="np"` an array (B, H, W, C), with `"pt"` a
            tensor (B, C, H, W), float32 in [0, 1].
        references: the images whose colors they have; None if the safety checker of the
            text-to-image pipeline withheld one, so that the colors are the automatic ones.
    """

    images: list[Image.Image] | np.ndarray | torch.Tensor
    references: list[Image.Image | None]


class ReferenceFromTextPipeline(DiffusionPipeline):
    """Colorize a gray image as a text describes it, and enlarge it.

    A text-to-image pipeline generates a color image from the text, and SCSNet colorizes with that
    image as its reference. Pipelines whose call has an argument `control_image` or `image`
    (ControlNet, image to image) also receive the gray image as structure, so that the reference
    shows the same scene and colors find their place; others only receive its aspect ratio.

    `save_pretrained` writes a folder with one subfolder for each of the three components, and
    `from_pretrained` of this class reads it. So does `DiffusionPipeline.from_pretrained(folder,
    custom_pipeline=folder, trust_remote_code=True)`, where this package is installed, but it passes
    neither number format nor variant on to `text_to_image`. Folders may be Hub ids. `to` moves all
    components; where memory is short, use `enable_model_cpu_offload`.

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
        generator: torch.Generator | list[torch.Generator] | None = None,
        num_images_per_prompt: int = 1,
        num_inference_steps: int | None = None,
        callback_on_step_end: Callable | None = None,
        callback_on_step_end_tensor_inputs: list[str] | None = None,
        text_to_image_arguments: dict[str, Any] | None = None,
        reference_strength: float = 1.0,
        scale: float | None = None,
        size: tuple[int, int] | None = None,
        long_side: int | None = None,
        saturation: float = 1.0,
        luminance: str = "network",
        tile_size: int | str | None = "auto",
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> ReferenceFromTextOutput | tuple:
        """Generate one reference for each prompt and seed, and colorize the image with each.

        Args:
            image: path, URL, bytes, PIL image, array or tensor (see `image_io.load_image`). Its
                colors are ignored; its transparency is kept.
            prompt: what the image shows and in which colors; a list gives several versions.
            negative_prompt: what the reference should not show, for all versions.
            seed: one for all prompts, or a list with one for each. One prompt with several seeds
                gives several versions. A version does not depend on the others.
            generator: takes the place of `seed`; one for all prompts, which continues from one
                version to the next, or a list with one for each.
            num_images_per_prompt: references, and so images, of each prompt and seed; all but the
                first continue its noise.
            num_inference_steps: denoising steps; the default of `text_to_image` if None.
            callback_on_step_end: called by `text_to_image` after each denoising step of each
                reference, with `text_to_image`, the step, the timestep and a dict of tensors.
            callback_on_step_end_tensor_inputs: names of these tensors.
            text_to_image_arguments: more keyword arguments of the call of `text_to_image`, such as
                `guidance_scale`, `strength` or `controlnet_conditioning_scale`; also `height` and
                `width`, by default the image's aspect ratio at about the area of the training
                images.
            reference_strength, scale, size, long_side, saturation, luminance, tile_size: see
                `ScsColorizeSrPipeline.__call__`.
            output_type: form of the colored images, `"pil"`, `"np"` or `"pt"`.
            return_dict: return `ReferenceFromTextOutput`; otherwise a tuple of the same.

        Returns:
            The colored images and their references, in the order of the prompts or seeds.

        Raises:
            ValueError: if an argument is out of its range, two of scale, size and long_side are
                given, or the numbers of prompts and seeds or generators differ; before any
                reference is generated.
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
        check_count("num_images_per_prompt", num_images_per_prompt)
        if output_type not in _OUTPUT_TYPES:
            raise ValueError(f"output_type={output_type!r}: choose {', '.join(_OUTPUT_TYPES)}")
        versions = _pair_prompts_and_seeds(prompt, seed if generator is None else generator)
        image = load_image(image)
        given = {
            "negative_prompt": negative_prompt,
            "num_inference_steps": num_inference_steps,
            "callback_on_step_end": callback_on_step_end,
            "callback_on_step_end_tensor_inputs": callback_on_step_end_tensor_inputs,
        }
        arguments = {
            **_size_and_structure(self.text_to_image, image),
            **{name: value for name, value in given.items() if value is not None},
            **(text_to_image_arguments or {}),
        }
        references = [
            self._generate(*version, arguments)
            for version in versions
            for _ in range(num_images_per_prompt)
        ]
        colorize = ScsColorizeSrPipeline(
            model=self.model, image_processor=self.image_processor, device=self.model.device
        )
        images = colorize([image] * len(references), reference=references, **colorization)
        images = _IN_FORM[output_type](images)
        return ReferenceFromTextOutput(images, references) if return_dict else (images, references)

    def _generate(
        self, prompt: str, generator: torch.Generator, arguments: dict[str, Any]
    ) -> Image.Image | None:
        output = self.text_to_image(prompt=prompt, generator=generator, **arguments)
        if any(getattr(output, "nsfw_content_detected", None) or ()):
            logger.warning(
                "the safety checker withheld the reference for %r, seed %d: automatic colors",
                prompt,
                generator.initial_seed(),
            )
            return None
        return output.images[0]

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | PathLike,
        *,
        text_to_image: DiffusionPipeline | None = None,
        model: SCSNetForImageToImage | None = None,
        image_processor: SCSNetImageProcessor | None = None,
        variant: str | None = None,
        **kwargs,
    ) -> "ReferenceFromTextPipeline":
        """Load what `save_pretrained` has written.

        Args:
            pretrained_model_name_or_path: a folder, or the id of a repository on the Hub.
            text_to_image, model, image_processor: components to use instead of those saved.
            variant: variant of the weights of `text_to_image`, and of `model` where it has it.
            **kwargs: of `DiffusionPipeline.from_pretrained`, for `text_to_image`; `dtype` (in older
                versions `torch_dtype`) applies to `model` too.
        """
        if BaseOutput is object:
            DiffusionPipeline()  # which says what to install
        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            hub = {name: kwargs[name] for name in _HUB_ARGUMENTS if name in kwargs}
            folder = Path(snapshot_download(str(pretrained_model_name_or_path), **hub))
        return cls(
            text_to_image
            or DiffusionPipeline.from_pretrained(
                str(folder / "text_to_image"), variant=variant, **kwargs
            ),
            model
            or SCSNetForImageToImage.from_pretrained(
                folder / "model",
                dtype=kwargs.get("dtype", kwargs.get("torch_dtype")),
                variant=variant if any(folder.glob(f"model/*.{variant}.*")) else None,
            ),
            image_processor or SCSNetImageProcessor.from_pretrained(folder / "image_processor"),
        )

    def save_pretrained(self, save_directory: str | PathLike, **kwargs) -> None:
        """Save all components, with the arguments of `DiffusionPipeline.save_pretrained`."""
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        (Path(save_directory) / "pipeline.py").write_text(_PIPELINE_FILE)
        super().save_pretrained(save_directory, **kwargs)

    def enable_model_cpu_offload(
        self, gpu_id: int | None = None, device: torch.device | str | None = None
    ) -> None:
        """Keep the models of `text_to_image` in main memory except while they run.

        The network of a few megabytes stays on the device.

        Args:
            gpu_id: number of the GPU, 0 by default.
            device: the device; the accelerator that is available if None.
        """
        self.text_to_image.enable_model_cpu_offload(gpu_id, device)
        self.model.to(self.text_to_image._execution_device)

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
    prompt: str | list[str], seed: int | torch.Generator | list[int | torch.Generator]
) -> list[tuple[str, torch.Generator]]:
    """Pair prompts and generators; a single one of either is used with all of the other."""
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    seeds = [seed] if isinstance(seed, int | torch.Generator) else list(seed)
    count = max(len(prompts), len(seeds))
    if {len(prompts), len(seeds)} - {1, count}:
        raise ValueError(
            f"{len(prompts)} prompts and {len(seeds)} seeds or generators: give one for all "
            "prompts, one for each, or one prompt for all seeds"
        )
    prompts, seeds = (one * count if len(one) == 1 else one for one in (prompts, seeds))
    return list(zip(prompts, map(_generator_of, seeds), strict=True))


def _generator_of(seed: int | torch.Generator) -> torch.Generator:
    # On the CPU, so that a seed gives the same noise on every device.
    return torch.Generator("cpu").manual_seed(seed) if isinstance(seed, int) else seed


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


def _to_array(images: list[Image.Image]) -> np.ndarray:
    """Convert images of one size to (B, H, W, C), float32 in [0, 1]."""
    return np.stack([np.asarray(image, dtype=np.float32) / 255 for image in images])


_IN_FORM = {
    "pil": lambda images: images,
    "np": _to_array,
    "pt": lambda images: torch.from_numpy(_to_array(images)).permute(0, 3, 1, 2),
}
