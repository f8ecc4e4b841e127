"""The tab *Describe*: a text describes the reference, which a diffusion model generates."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
from PIL import Image

from components import ONE_DEVICE, image_input, keep_result, magnification_input
from demonstration import EXAMPLES, Demonstration, limit_scale, read_source, show_errors
from scsnet_hf.io.saving import save_image
from zero_gpu import on_gpu

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from scsnet_hf import ReferenceFromTextPipeline

_MOST_VERSIONS = 4
_PROMPTS = f"What it shows, and in which colors; a line for each of up to {_MOST_VERSIONS} versions"


def load_text_to_image(model: str) -> "DiffusionPipeline":
    """Load a text-to-image pipeline of diffusers, a folder or Hub id, on the best device.

    Raises:
        ImportError: if diffusers is not installed.
        OSError: if the model is not found.
    """
    import torch
    from diffusers import DiffusionPipeline

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float16 if device == "cuda" else torch.float32
    return DiffusionPipeline.from_pretrained(model, torch_dtype=dtype).to(device)


def build(page: gr.Blocks, demonstration: Demonstration, kept: gr.BrowserState) -> None:
    """Lay the tab out with its endpoint /describe, if SCSNET_TEXT_TO_IMAGE names a model."""
    model = os.environ.get("SCSNET_TEXT_TO_IMAGE")
    if not model:
        return
    try:
        text_to_image = load_text_to_image(model)
    except (ImportError, OSError, ValueError) as error:
        warnings.warn(f"no tab Describe: {error}", stacklevel=2)
        return
    from scsnet_hf import ReferenceFromTextPipeline

    pipe = ReferenceFromTextPipeline(
        text_to_image, demonstration.pipe.model, demonstration.pipe.image_processor
    )
    with gr.Tab("Describe", id="describe"):
        _lay_out(page, demonstration, kept, pipe)


def _lay_out(
    page: gr.Blocks,
    demonstration: Demonstration,
    kept: gr.BrowserState,
    pipe: "ReferenceFromTextPipeline",
) -> None:
    with gr.Row():
        with gr.Column():
            image = image_input("Gray image", elem_id="describe-image", height=300)
            gr.Examples(EXAMPLES, image, label="Examples")
            prompts = gr.Textbox(label=_PROMPTS, lines=3, elem_id="describe-prompt")
            scale = magnification_input("describe")
            seed = gr.Number(0, label="Seed", precision=0)
            steps = gr.Slider(1, 50, 25, step=1, label="Steps")
            button = gr.Button("Describe", variant="primary", elem_id="describe-run")
        with gr.Column():
            outputs = [
                gr.Gallery(
                    label=label,
                    elem_id=f"describe-{name}",
                    format="png",
                    object_fit="contain",
                    interactive=False,
                )
                for name, label in (("versions", "Versions"), ("references", "Their references"))
            ]

    @show_errors
    @on_gpu
    def describe(
        image: str | None,
        prompts: str,
        magnification: float = 2,
        seed: int = 0,
        steps: int = 25,
        progress=gr.Progress(track_tqdm=True),  # noqa: B008 - gradio finds it by its default
    ):
        """Colorize an image as a text describes it; every line of the text is a version.

        Returns the versions and the references generated for them, captioned, PNG.
        """
        lines = _split_prompts(prompts)
        source = read_source(image)
        output = pipe(
            source,
            lines,
            seed=seed or 0,  # None from an empty field
            num_inference_steps=steps,
            scale=limit_scale(source, magnification),
        )
        folder = demonstration.results.create()
        _save(output.images, folder, "version")
        _save(output.references, folder, "reference")
        return *_show(folder), folder.name

    result = gr.State()
    inputs = [image, prompts, scale, seed, steps]
    event = button.click(describe, inputs, [*outputs, result], api_name="describe", **ONE_DEVICE)
    keep_result(page, demonstration, kept, [event], result, _show, outputs)


def _split_prompts(text: str | None) -> list[str]:
    """Return the prompts in the lines of a text.

    Raises:
        ValueError: if there are none or too many.
    """
    prompts = [line.strip() for line in (text or "").splitlines() if line.strip()]
    if not prompts:
        raise ValueError("Describe what the image shows, and in which colors.")
    if len(prompts) > _MOST_VERSIONS:
        raise ValueError(f"{len(prompts)} lines are too many: up to {_MOST_VERSIONS} versions.")
    return prompts


def _save(images: list[Image.Image | None], folder: Path, name: str) -> None:
    for number, image in enumerate(images, start=1):
        if image is not None:  # withheld by the safety checker
            save_image(image, folder / f"{name}-{number}.png")


def _show(folder: Path) -> tuple[list, list]:
    return tuple(
        [(str(file), file.stem.replace("-", " ")) for file in sorted(folder.glob(f"{kind}-*.png"))]
        for kind in ("version", "reference")
    )
