"""The tab *Zoom*: an animation into an image at growing magnification (Fig. 9)."""

from pathlib import Path

import gradio as gr
from PIL import Image

from components import (
    ONE_DEVICE,
    image_input,
    keep_result,
    point_inputs,
    reference_inputs,
    result_image,
)
from demonstration import EXAMPLES, Demonstration, read_source, show_errors
from scsnet_hf import ZoomView
from scsnet_hf.guidance.zoom import save_animation
from scsnet_hf.io.panels import draw_panels
from scsnet_hf.io.saving import save_image
from zero_gpu import on_gpu

_FRAMES = 48
_LONGEST_SIDE = 480  # pixels of a frame, fewer where the source is small
_ANIMATION, _STRIP = "zoom.webp", "strip.png"
_PANEL = 192  # pixels a side of an image in the strip


def build(page: gr.Blocks, demonstration: Demonstration, kept: gr.BrowserState) -> None:
    """Lay the tab out with its endpoint /zoom."""
    with gr.Row():
        with gr.Column():
            image = image_input("Gray image", elem_id="zoom-image", height=240)
            gr.Examples(EXAMPLES, image, label="Examples")
            across, down, *_ = point_inputs(image, "zoom")
            scale = gr.Slider(
                2, 16, 8, step=0.5, label="Last magnification", elem_id="zoom-magnification"
            )
            reference, strength = reference_inputs(demonstration, image, "zoom")
            button = gr.Button("Zoom", variant="primary", elem_id="zoom-run")
        with gr.Column():
            animation = result_image("Into the image", "zoom-animation")
            gr.Markdown("The point at several magnifications:")
            strip = result_image("The point at several magnifications", "zoom-strip", False)
    outputs = [animation, strip]

    @show_errors
    @on_gpu
    def zoom(
        image: str | None,
        across: float = 50,
        down: float = 50,
        magnification: float = 8,
        reference: str | None = None,
        reference_strength: float = 1,
        progress=gr.Progress(),  # noqa: B008 - gradio finds it by its default
    ):
        """Make an animation into a point, given in percent of the image's width and height.

        Returns an animated WebP, a pixel of the network's output per pixel; and a strip (PNG) of
        the last frame's middle at magnifications from 1 to the last.
        """
        source = read_source(image)
        view = ZoomView(demonstration.pipe, source, reference or None, reference_strength)
        center = (across / 100, down / 100)
        frames = view.zoom_in(center, _frame_size(source, magnification), magnification, _FRAMES)
        frames = list(progress.tqdm(frames, total=_FRAMES, unit="frames", desc="Zooming"))
        folder = demonstration.results.create()
        save_animation(frames, folder / _ANIMATION)
        strip = view.compare_scales(center, magnification, _PANEL)
        save_image(draw_panels([strip], _PANEL), folder / _STRIP)
        return *_show(folder), folder.name

    result = gr.State()
    inputs = [image, across, down, scale, reference, strength]
    event = button.click(zoom, inputs, [*outputs, result], api_name="zoom", **ONE_DEVICE)
    keep_result(page, demonstration, kept, [event], result, _show, outputs)


def _show(folder: Path) -> tuple[str, str]:
    return str(folder / _ANIMATION), str(folder / _STRIP)


def _frame_size(image: Image.Image, magnification: float) -> tuple[int, int]:
    """Return width and height of the frames, small enough to come twice closer."""
    factor = min(_LONGEST_SIDE / max(image.size), magnification / 2)
    width, height = (max(2, 2 * round(side * factor / 2)) for side in image.size)
    return width, height
