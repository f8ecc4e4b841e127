"""Inputs and outputs shared by several tabs."""

from collections.abc import Callable
from pathlib import Path

import gradio as gr
import numpy as np
from gradio.events import Dependency

from demonstration import SHOWN_REFERENCES, Demonstration, caption_for, read_image, show_errors
from scsnet_hf.guidance.points import draw_point
from zero_gpu import on_gpu

ONE_DEVICE = {"concurrency_id": "device", "concurrency_limit": 1}  # of every event that computes
HIDDEN = {"api_visibility": "private"}


def image_input(label: str, **kwargs) -> gr.Image:
    """Add an input for an image, whose value is the uploaded file unchanged.

    gr.Image would decode it, and answer with Pillow's error if the file is not an image.
    """
    image = gr.Image(
        label=label, type="filepath", image_mode=None, sources=["upload", "clipboard"], **kwargs
    )
    image.preprocess = lambda payload: None if payload is None else payload.path
    return uploads_only(image)


def uploads_only(component: gr.components.Component) -> gr.components.Component:
    """Restrict a component to uploaded files: gradio would also fetch the URLs of API calls."""
    to_cache = component.async_move_resource_to_block_cache

    async def without_urls(source: str | Path | None) -> str | None:
        if "://" in str(source):
            raise gr.Error("Upload the image itself: URLs are not fetched here.")
        return await to_cache(source)

    component.async_move_resource_to_block_cache = without_urls
    return component


def result_image(label: str, elem_id: str, show_label: bool = True) -> gr.Image:
    """Add an output that shows an image file unchanged."""
    return gr.Image(
        label=label,
        show_label=show_label,
        elem_id=elem_id,
        format="png",
        interactive=False,
        buttons=["download", "fullscreen"],
    )


def reference_inputs(
    demonstration: Demonstration, image: gr.Image, name: str
) -> tuple[gr.Image, gr.Slider]:
    """Add inputs for a reference, uploaded or from the gallery, and for its strength.

    Args:
        demonstration: has the gallery.
        image: input with the source, by which the gallery can be sorted.
        name: of the tab, the first part of element ids.

    Returns:
        Reference and strength.
    """
    with gr.Accordion("Reference: whose colors to use", open=False):
        reference = image_input("Reference (optional)", elem_id=f"{name}-reference", height=220)
        strength = gr.Slider(0, 1, 1, step=0.05, label="Reference strength (0 is automatic)")
        shown = demonstration.references[:SHOWN_REFERENCES]
        choices = gr.Gallery(
            value=[(str(path), caption_for(path)) for path in shown],
            label="Or choose one",
            elem_id=f"{name}-gallery",
            columns=4,
            height=180,
            allow_preview=False,
            object_fit="cover",
            interactive=False,
            buttons=[],
        )
        propose = gr.Button("Find those that suit my image", elem_id=f"{name}-propose", size="sm")

    # Files that an event sent are deleted after a day, but these are needed for longer.
    choices.keep_in_cache.update(map(str, demonstration.references))

    def choose(choices: list, event: gr.SelectData):
        return choices[event.index][0]

    @show_errors
    @on_gpu
    def propose_references(image: str | None):
        """Find the references of the gallery that look most like an image, the best first."""
        proposals = demonstration.gallery.propose(read_image(image), count=12)
        return [(str(path), f"{caption_for(path)} {alike:.2f}") for path, alike in proposals]

    choices.select(choose, choices, reference, queue=False, **HIDDEN)
    visible = {"api_name": "propose_references"} if name == "colorize" else HIDDEN
    propose.click(propose_references, image, choices, **ONE_DEVICE, **visible)
    return reference, strength


def magnification_input(name: str) -> gr.Slider:
    """Add an input for the magnification of the tab `name`, the first part of the element id."""
    return gr.Slider(0.5, 8, 2, step=0.1, label="Magnification", elem_id=f"{name}-magnification")


def saturation_and_luminance() -> tuple[gr.Slider, gr.Checkbox]:
    """Add inputs for the saturation, and for keeping the lightness of the source."""
    saturation = gr.Slider(0, 3, 1, step=0.05, label="Saturation (0 is gray)")
    keep_luminance = gr.Checkbox(False, label="Keep my image's own lightness")
    return saturation, keep_luminance


def point_inputs(image: gr.Image, name: str) -> tuple[gr.Slider, gr.Slider, gr.Image, Dependency]:
    """Add inputs for a point of an image: sliders in percent, and a gray copy to click.

    A copy, because a browser may not show TIFF, and gradio reports no clicks on small images.

    Args:
        image: component with the upload.
        name: of the tab, the first part of element ids.

    Returns:
        Across, down, the copy with the point marked, and the event of a click on it.
    """
    aim = result_image("Click a point", f"{name}-point")
    with gr.Row():
        across, down = (
            gr.Slider(0, 100, 50, step=1, label=label, elem_id=f"{name}-{axis}", min_width=120)
            for axis, label in (("x", "Across, %"), ("y", "Down, %"))
        )

    @show_errors
    def draw(image: str | None, across: float, down: float):
        point = (across / 100, down / 100)
        return draw_point(read_image(image), point) if image else None

    gr.on(
        [image.change, across.change, down.change],
        draw,
        [image, across, down],
        aim,
        queue=False,
        trigger_mode="always_last",
        show_progress="hidden",
        **HIDDEN,
    )
    click = aim.select(clicked_point, aim, [across, down], queue=False, **HIDDEN)
    return across, down, aim, click


def clicked_point(drawn: np.ndarray, event: gr.SelectData) -> tuple[int, int]:
    """Return where an image was clicked, in percent of its width and height."""
    height, width = drawn.shape[:2]
    return round(100 * event.index[0] / width), round(100 * event.index[1] / height)


def keep_result(
    page: gr.Blocks,
    demonstration: Demonstration,
    kept: gr.BrowserState,
    events: list[Dependency],
    result: gr.State,
    show: Callable[[Path], tuple],
    outputs: list,
) -> None:
    """Show the newest result of a tab again when the page is reloaded.

    Args:
        page: the whole page.
        demonstration: has the results.
        kept: keeps the name of the result's folder in the browser.
        events: which compute a result.
        result: component that receives the name of the result's folder.
        show: returns the values of `outputs` for such a folder.
        outputs: components that show the result.
    """
    for event in events:
        event.success(lambda result: result, result, kept, queue=False, **HIDDEN)

    def show_again(result):
        folder = demonstration.results.find(result)
        return [gr.skip()] * len(outputs) if folder is None else show(folder)

    page.load(show_again, kept, outputs, queue=False, show_progress="hidden", **HIDDEN)
