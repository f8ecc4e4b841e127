"""The tab *Look inside*: where in the reference a point of the picture looks (Fig. 8)."""

from pathlib import Path

import gradio as gr
from components import (
    HIDDEN,
    ONE_DEVICE,
    clicked_point,
    keep_result,
    picture_input,
    point_inputs,
)
from demonstration import EXAMPLES, Demonstration, friendly, read_picture
from PIL import Image, ImageDraw

from scsnet_hf import AttentionMaps
from scsnet_hf.image_io import save_picture, split_alpha

_POINT, _MAPS = "point.png", "map-*.png"
_LONGEST_SIDE = 512  # pixels of the pictures drawn


def build(page: gr.Blocks, demonstration: Demonstration) -> None:
    """Lay the tab out, with its endpoint /look_inside."""
    gr.Markdown(
        "Click a point of the picture, or set it with the sliders: the reference is lit where that "
        "point looks for its colour, at every level of the attention pyramid. The valves show how "
        "much of the picture's own guess, and how much of the reference, passes at each place."
    )
    with gr.Row():
        picture = picture_input("Gray picture", elem_id="look-picture", height=300)
        reference = picture_input("Reference", elem_id="look-reference", height=300)
    pairs = [[EXAMPLES[0], str(demonstration.references[1])]] if len(EXAMPLES) else []
    gr.Examples(pairs, [picture, reference], label="Example")
    across, down = point_inputs("look")
    button = gr.Button("Look inside", variant="primary", elem_id="look-run")
    with gr.Row():
        marked = gr.Image(label="The point", elem_id="look-point", format="png", interactive=False)
        maps = gr.Gallery(
            label="Where it looks, and the valves",
            elem_id="look-maps",
            columns=3,
            format="png",
            object_fit="contain",
            interactive=False,
        )
    outputs = [marked, maps]

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
        point = (across / 100, down / 100)
        found = AttentionMaps.of(demonstration.pipe, source, colors)
        folder = demonstration.results.create()
        attention = found.draw_attention(colors, point)
        save_picture(_marked(source, point), folder / _POINT)
        for level, drawn in enumerate(attention, start=1):
            save_picture(drawn, folder / f"map-{level}-attention, level {level}.png")
        for level, pair in enumerate(found.draw_valves(source), start=1):
            for kind, drawn in zip(("source", "reference"), pair, strict=True):
                save_picture(drawn, folder / f"map-{level}-{kind} valve, level {level}.png")
        return *_show(folder), folder.name

    result = gr.State()
    inputs = [picture, reference, across, down]
    everything = [*outputs, result]
    events = [
        button.click(look_inside, inputs, everything, api_name="look_inside", **ONE_DEVICE),
        picture.select(clicked_point, picture, [across, down], **HIDDEN).success(
            look_inside, inputs, everything, **ONE_DEVICE, **HIDDEN
        ),
    ]
    keep_result(page, demonstration, "look", events, result, _show, outputs)


def _show(folder: Path) -> tuple:
    maps = [(str(file), file.stem.split("-", 2)[2]) for file in sorted(folder.glob(_MAPS))]
    return str(folder / _POINT), maps


def _reduced(picture: Image.Image) -> Image.Image:
    """The network looks at less, and more would only take longer to send."""
    picture = split_alpha(picture)[0].convert("RGB")
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    return picture


def _marked(picture: Image.Image, point: tuple[float, float]) -> Image.Image:
    """The picture in gray, with a cross at the point."""
    marked = picture.convert("L").convert("RGB")
    pen = ImageDraw.Draw(marked)
    x, y = point[0] * (picture.width - 1), point[1] * (picture.height - 1)
    arm = max(4, max(picture.size) // 24)
    for width, color in ((5, "black"), (3, "red")):
        pen.line((x - arm, y, x + arm, y), fill=color, width=width)
        pen.line((x, y - arm, x, y + arm), fill=color, width=width)
    return marked
