"""The tab *Colorize*: one image, before and after."""

import time
from pathlib import Path

import gradio as gr
from PIL import Image

from components import (
    HIDDEN,
    ONE_DEVICE,
    image_input,
    keep_result,
    magnification_input,
    reference_inputs,
    saturation_and_luminance,
)
from demonstration import (
    EXAMPLES,
    LARGEST_OUTPUT,
    Demonstration,
    limit_scale,
    read_source,
    show_errors,
)
from scsnet_hf.io.folders import RESULT_MARK
from scsnet_hf.io.saving import save_image
from zero_gpu import on_gpu

_BEFORE, _SUMMARY = "before.png", "summary.txt"


def build(page: gr.Blocks, demonstration: Demonstration, kept: gr.BrowserState) -> None:
    """Lay the tab out with its endpoint /colorize."""
    with gr.Row():
        with gr.Column():
            image = image_input("Gray image", elem_id="colorize-image", height=300)
            gr.Examples(EXAMPLES, image, label="Examples")
            button = gr.Button("Colorize", variant="primary", elem_id="colorize-run")
            scale = magnification_input("colorize")
            width, height = _exact_size()
            saturation, keep_luminance = saturation_and_luminance()
            reference, strength = reference_inputs(demonstration, image, "colorize")
        with gr.Column():
            outputs = _result_outputs()

    @show_errors
    @on_gpu
    def colorize(
        image: str | None,
        magnification: float = 2,
        width: int | None = None,
        height: int | None = None,
        saturation: float = 1,
        keep_luminance: bool = False,
        reference: str | None = None,
        reference_strength: float = 1,
        progress=gr.Progress(),  # noqa: B008 - gradio finds it by its default
    ):
        """Colorize and enlarge an image.

        Returns the gray image at the size of the result and the result, both PNG; the result
        again, for download; and a line about it.
        """
        progress(None, desc="Colorizing")
        started = time.perf_counter()
        source = read_source(image)
        result = demonstration.pipe(
            source,
            reference=reference or None,
            reference_strength=reference_strength,
            saturation=saturation,
            luminance="source" if keep_luminance else "network",
            **_size_arguments(source, magnification, width, height),
        )
        seconds = time.perf_counter() - started
        folder = demonstration.results.create()
        before = source.convert("L").resize(result.size, Image.Resampling.BICUBIC)
        save_image(before, folder / _BEFORE)
        save_image(result, folder / f"{Path(image).stem}{RESULT_MARK}.png")
        (folder / _SUMMARY).write_text(
            f"{source.width}x{source.height} to {result.width}x{result.height} in {seconds:.1f} s"
        )
        return *_show(folder), folder.name

    result = gr.State()
    inputs = [image, scale, width, height, saturation, keep_luminance, reference, strength]
    event = button.click(colorize, inputs, [*outputs, result], api_name="colorize", **ONE_DEVICE)
    keep_result(page, demonstration, kept, [event], result, _show, outputs)


def _exact_size() -> list[gr.Number]:
    """Add inputs for width and height of the result."""
    with gr.Accordion("Or an exact size", open=False):
        with gr.Row():
            sides = [
                gr.Number(
                    None, label=f"{side}, pixels", precision=0, elem_id=f"colorize-{side.lower()}"
                )
                for side in ("Width", "Height")
            ]
        gr.Markdown("With only one of the two, the aspect ratio is kept.")
    return sides


def _result_outputs() -> list:
    """Add the outputs: before and after with a movable divider, the download and a summary."""
    slider = gr.ImageSlider(
        label="Before and after",
        elem_id="colorize-slider",
        format="png",
        type="filepath",
        max_height=720,
        interactive=False,
        buttons=["fullscreen"],
    )
    divider = gr.Slider(
        0,
        100,
        50,
        step=1,
        label="Divider, % (also by keyboard)",
        elem_id="colorize-divider",
    )
    summary = gr.Markdown(label="Summary", elem_id="colorize-summary")
    download = gr.DownloadButton("Download (PNG)", elem_id="colorize-download")
    divider.input(
        lambda position: gr.ImageSlider(slider_position=position),
        divider,
        slider,
        queue=False,
        trigger_mode="always_last",
        show_progress="hidden",
        **HIDDEN,
    )
    return [slider, download, summary]


def _show(folder: Path) -> tuple:
    (after,) = map(str, folder.glob(f"*{RESULT_MARK}.png"))
    return (str(folder / _BEFORE), after), after, (folder / _SUMMARY).read_text()


def _size_arguments(
    source: Image.Image, magnification: float, width: int | None, height: int | None
) -> dict:
    """Return the argument `scale` or `size` of the pipeline, within the limit."""
    if not width and not height:
        return {"scale": limit_scale(source, magnification)}
    size = (
        width or max(1, round(source.width * height / source.height)),
        height or max(1, round(source.height * width / source.width)),
    )
    if size[0] * size[1] > LARGEST_OUTPUT:
        raise ValueError(
            f"{size[0]}x{size[1]} is too large for this demonstration: results have up to "
            f"{LARGEST_OUTPUT / 1e6:g} megapixels. Choose a smaller size."
        )
    return {"size": size}
