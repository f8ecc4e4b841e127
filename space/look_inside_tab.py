"""The tab *Look inside*: the places of the reference that a point attends to (Fig. 8)."""

from pathlib import Path

import gradio as gr
from PIL import Image

from components import (
    HIDDEN,
    ONE_DEVICE,
    image_input,
    keep_result,
    point_inputs,
)
from demonstration import EXAMPLES, SHOWN_REFERENCES, Demonstration, read_image, show_errors
from scsnet_hf import AttentionMaps
from scsnet_hf.guidance.points import draw_point
from scsnet_hf.image_processing_scsnet import drop_alpha
from scsnet_hf.io.saving import save_image
from zero_gpu import on_gpu

_POINT = "point.png"
_KINDS = ("attention", "source valve", "reference valve")
_LONGEST_SIDE = 512  # pixels of the images drawn


def build(page: gr.Blocks, demonstration: Demonstration, kept: gr.BrowserState) -> None:
    """Lay the tab out with its endpoint /look_inside."""
    gr.Markdown(
        "Click a point of the image: the reference is lit where that point looks for its color, "
        "at every level of the attention pyramid. The valves show how much of the image's own "
        "guess, and how much of the reference, passes at each place."
    )
    with gr.Row():
        with gr.Column():
            image = image_input("Gray image", elem_id="look-image", height=240)
            gr.Examples(EXAMPLES, image, label="Examples")
        with gr.Column():
            reference = image_input("Reference", elem_id="look-reference", height=240)
            shown = list(map(str, demonstration.references[:SHOWN_REFERENCES]))
            gr.Examples(shown, reference, label="References")
    with gr.Row():
        with gr.Column():
            across, down, aim, click = point_inputs(image, "look")
            button = gr.Button("Look inside", variant="primary", elem_id="look-run")
        with gr.Column():
            maps = gr.Gallery(
                label="Where it looks, and the valves, at levels 1 to 3",
                elem_id="look-maps",
                columns=3,
                height=620,
                buttons=["fullscreen"],
                format="png",
                object_fit="contain",
                interactive=False,
            )
    outputs = [aim, maps]

    @show_errors
    @on_gpu
    def look_inside(image: str | None, reference: str | None, across: float = 50, down: float = 50):
        """Show where in the reference a point looks; points are percent of width and height.

        Returns the image with the point marked; and captioned maps of every pyramid level:
        attention drawn on the reference, the source valve and the reference valve on the image.
        """
        source = _reduced(read_image(image))
        colors = _reduced(read_image(reference, "reference"))
        attention_maps = AttentionMaps.from_images(demonstration.pipe, source, colors)
        folder = demonstration.results.create()
        point = (across / 100, down / 100)
        save_image(draw_point(source, point), folder / _POINT)
        valves = attention_maps.draw_valves(source) or [()] * len(attention_maps.attentions)
        levels = zip(attention_maps.draw_attention(colors, point), valves, strict=True)
        for level, (attention, pair) in enumerate(levels, start=1):
            for kind, drawn in zip(_KINDS, (attention, *pair), strict=False):
                save_image(drawn, folder / f"{level} {kind}.png")
        return *_show(folder), folder.name

    result = gr.State()
    inputs = [image, reference, across, down]
    everything = [*outputs, result]
    events = [
        button.click(look_inside, inputs, everything, api_name="look_inside", **ONE_DEVICE),
        click.success(look_inside, inputs, everything, **ONE_DEVICE, **HIDDEN),
    ]
    keep_result(page, demonstration, kept, events, result, _show, outputs)


def _show(folder: Path) -> tuple:
    files = sorted(folder.glob("[0-9] *.png"), key=lambda file: _order(*file.stem.split(" ", 1)))
    return str(folder / _POINT), [(str(file), file.stem) for file in files]


def _order(level: str, kind: str) -> tuple[str, int]:
    return level, _KINDS.index(kind)


def _reduced(image: Image.Image) -> Image.Image:
    """Reduce an image: the network sees less, and more would only take longer to send."""
    image = drop_alpha(image).convert("RGB")
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    return image
