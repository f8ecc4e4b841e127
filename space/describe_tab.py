"""The tab *Describe*: words make the reference."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from components import ONE_DEVICE, image_input, keep_result, magnification_input
from demonstration import EXAMPLES, Demonstration, fitting_scale, friendly, read_source
from scsnet_hf.io.saving import save_image

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_MOST_VERSIONS = 4


def load_text_to_image(model: str) -> "DiffusionPipeline":
    """The pipeline of diffusers that SCSNET_TEXT_TO_IMAGE names, on the best device.

    Raises:
        ImportError: where diffusers is not installed.
        OSError: where there is no such model.
    """
    import torch
    from diffusers import DiffusionPipeline

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float16 if device == "cuda" else torch.float32
    return DiffusionPipeline.from_pretrained(model, torch_dtype=dtype).to(device)


def build(page: gr.Blocks, demonstration: Demonstration, kept: gr.BrowserState) -> None:
    """Lay the tab out, with its endpoint /describe; nothing where no model is at hand."""
    model = os.environ.get("SCSNET_TEXT_TO_IMAGE")
    if not model:
        return
    try:
        text_to_image = load_text_to_image(model)
    except (ImportError, OSError, ValueError) as error:
        warnings.warn(f"no tab Describe: {error}", stacklevel=2)
        return
    with gr.Tab("Describe", id="describe"):
        _lay_out(page, demonstration, kept, text_to_image)


def _lay_out(
    page: gr.Blocks,
    demonstration: Demonstration,
    kept: gr.BrowserState,
    text_to_image: "DiffusionPipeline",
) -> None:
    from scsnet_hf import ReferenceFromTextPipeline

    pipe = ReferenceFromTextPipeline(
        text_to_image, demonstration.pipe.model, demonstration.pipe.image_processor
    )
    with gr.Row():
        with gr.Column():
            image = image_input("Gray image", elem_id="describe-image", height=300)
            gr.Examples(EXAMPLES, image, label="Examples")
            prompts = gr.Textbox(
                label=f"What it shows, and in which colors; a line for each of up to "
                f"{_MOST_VERSIONS} versions",
                lines=3,
                elem_id="describe-prompt",
            )
            scale = magnification_input("describe")
            seed = gr.Number(0, label="Seed", precision=0)
            steps = gr.Slider(1, 50, 25, step=1, label="Steps")
            button = gr.Button("Describe", variant="primary", elem_id="describe-run")
        with gr.Column():
            versions, references = (
                gr.Gallery(
                    label=label,
                    elem_id=f"describe-{name}",
                    format="png",
                    object_fit="contain",
                    interactive=False,
                )
                for name, label in (("versions", "Versions"), ("references", "Their references"))
            )
    outputs = [versions, references]

    @friendly
    def describe(
        image: str | None,
        prompts: str,
        magnification: float = 2,
        seed: int = 0,
        steps: int = 25,
        progress=gr.Progress(track_tqdm=True),  # noqa: B008 - gradio finds it by its default
    ):
        """Colorize an image as a text describes it; every line of the text is a version.

        Returns the versions and the references that were made for them, captioned, PNG.
        """
        lines = [line.strip() for line in (prompts or "").splitlines() if line.strip()]
        if not lines:
            raise ValueError("Describe what the image shows, and in which colors.")
        if len(lines) > _MOST_VERSIONS:
            raise ValueError(f"{len(lines)} lines are too many: up to {_MOST_VERSIONS} versions.")
        source = read_source(image)
        made = pipe(
            source,
            lines,
            seed=seed or 0,  # None from an empty field
            num_inference_steps=steps,
            scale=fitting_scale(source, magnification),
        )
        folder = demonstration.results.create()
        for number, (version, reference) in enumerate(
            zip(made.images, made.references, strict=True), start=1
        ):
            save_image(version, folder / f"version-{number}.png")
            if reference is not None:  # withheld by the safety checker
                save_image(reference, folder / f"reference-{number}.png")
        return *_show(folder), folder.name

    result = gr.State()
    inputs = [image, prompts, scale, seed, steps]
    event = button.click(describe, inputs, [*outputs, result], api_name="describe", **ONE_DEVICE)
    keep_result(page, demonstration, kept, [event], result, _show, outputs)


def _show(folder: Path) -> tuple[list, list]:
    return tuple(
        [(str(file), file.stem.replace("-", " ")) for file in sorted(folder.glob(f"{kind}-*.png"))]
        for kind in ("version", "reference")
    )
