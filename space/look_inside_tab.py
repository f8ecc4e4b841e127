"""The tab *Look inside*: where in the reference a point of the picture looks (Fig. 8)."""

from pathlib import Path

import gradio as gr
from PIL import Image

from components import (
    HIDDEN,
    ONE_DEVICE,
    keep_result,
    picture_input,
    point_inputs,
)
from demonstration import EXAMPLES, SHOWN_REFERENCES, Demonstration, friendly, read_picture
from scsnet_hf import AttentionMaps
from scsnet_hf.attention_maps import draw_point
from scsnet_hf.decoding import split_alpha
from scsnet_hf.files.saving import save_picture

_POINT = "point.png"
_KINDS = ("attention", "source valve", "reference valve")
_LONGEST_SIDE = 512  # pixels of the pictures drawn


def build(page: gr.Blocks, demonstration: Demonstration, kept: gr.BrowserState) -> None:
    """Lay the tab out, with its endpoint /look_inside."""
    gr.Markdown(
        "Click a point of the picture: the reference is lit where that point looks for its colour, "
        "at every level of the attention pyramid. The valves show how much of the picture's own "
        "guess, and how much of the reference, passes at each place."
    )
    with gr.Row():
        with gr.Column():
            picture = picture_input("Gray picture", elem_id="look-picture", height=240)
            gr.Examples(EXAMPLES, picture, label="Examples")
        with gr.Column():
            reference = picture_input("Reference", elem_id="look-reference", height=240)
            shown = list(map(str, demonstration.references[:SHOWN_REFERENCES]))
            gr.Examples(shown, reference, label="References")
    with gr.Row():
        with gr.Column():
            across, down, aim, click = point_inputs(picture, "look")
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

    @friendly
    def look_inside(
        picture: str | None, reference: str | None, across: float = 50, down: float = 50
    ):
        """Where in the reference a point looks, in percent of the picture's width and height.

        Returns the picture with the point marked; and captioned maps of every pyramid level:
        attention drawn on the reference, the source valve and the reference valve on the picture.
        """
        source = _reduced(read_picture(picture))
        colors = _reduced(read_picture(reference, "reference"))
        found = AttentionMaps.of(demonstration.pipe, source, colors)
        folder = demonstration.results.create()
        point = (across / 100, down / 100)
        save_picture(draw_point(source, point), folder / _POINT)
        valves = found.draw_valves(source) or [()] * len(found.attentions)
        levels = zip(found.draw_attention(colors, point), valves, strict=True)
        for level, (attention, pair) in enumerate(levels, start=1):
            for kind, drawn in zip(_KINDS, (attention, *pair), strict=False):
                save_picture(drawn, folder / f"{level} {kind}.png")
        return *_show(folder), folder.name

    result = gr.State()
    inputs = [picture, reference, across, down]
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


def _reduced(picture: Image.Image) -> Image.Image:
    """The network looks at less, and more would only take longer to send."""
    picture = split_alpha(picture)[0].convert("RGB")
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    return picture
