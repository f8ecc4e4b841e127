"""The tab *Hints*: click a thing and say what color it has."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from components import (
    HIDDEN,
    ONE_DEVICE,
    image_input,
    keep_result,
    magnification_input,
    result_image,
    uploads_only,
)
from demonstration import EXAMPLES, Demonstration, limit_scale, read_source, show_errors
from scsnet_hf.guidance.hint_editor import HintEditor
from scsnet_hf.guidance.hint_preview import HintPreview, draw_hints
from scsnet_hf.io.folders import RESULT_MARK
from scsnet_hf.io.saving import save_image
from zero_gpu import on_gpu

_SHORTEST, _LONGEST = 640, 1000  # pixels of the long side of the image as it is shown
_QUALITY = 90
_IMAGES_IN_MEMORY = 8  # of all visitors together; others are encoded again
_ADDS, _MOVES = "adds a hint", "moves the selected one"
_SWATCH = (60, 40)  # pixels
_SUMMARY = "summary.txt"


class _Controls(NamedTuple):
    """The components that show the hints, and are updated by every change."""

    editor: gr.State
    canvas: gr.Image
    choice: gr.Radio  # its value is the index of the selected hint
    x: gr.Number
    y: gr.Number
    color: gr.ColorPicker
    palette: gr.Gallery
    save: gr.DownloadButton


def build(page: gr.Blocks, demonstration: Demonstration, kept: gr.BrowserState) -> None:
    """Lay the tab out."""
    gr.Markdown(
        "Click a thing and choose its color: it takes it on, and so does what is like it. Only the "
        "hue and the strength of a color count, since the lightness is that of the photograph."
    )
    with gr.Row():
        with gr.Column():
            image = image_input("Gray image", elem_id="hints-image", height=240)
            gr.Examples(EXAMPLES, image, label="Examples")
        with gr.Column(scale=2):
            canvas = result_image("Click a place", "hints-canvas")
            click = gr.Radio([_ADDS, _MOVES], value=_ADDS, label="A click", elem_id="hints-click")
            undo, delete, clear = _buttons("Undo", "Delete", "Clear")
    controls, add, move, load = _hint_controls(canvas)
    editing = _Editing(demonstration)
    state = [image, controls.editor, controls.choice]
    for event, change, *more in (
        (image.change, editing.open),
        (canvas.select, editing.click, click),
        (controls.choice.input, editing.select),
        (controls.color.input, editing.recolor, controls.color),
        (controls.palette.select, editing.recolor_likely),
        (add.click, editing.add, controls.x, controls.y),
        (move.click, editing.move, controls.x, controls.y),
        (delete.click, editing.delete),
        (undo.click, editing.undo),
        (clear.click, editing.clear),
        (load.upload, editing.load, load),
    ):
        event(
            show_errors(on_gpu(change)),
            [*state, *more],
            list(controls),
            trigger_mode="always_last",
            show_progress="hidden",
            **ONE_DEVICE,
            **HIDDEN,
        )
    _add_reach(editing, state)
    _add_result(page, demonstration, kept, state[:2])


def _buttons(*labels: str) -> list[gr.Button]:
    """Add a row of buttons."""
    with gr.Row():
        return [
            gr.Button(label, size="sm", min_width=80, elem_id=f"hints-{label.split()[0].lower()}")
            for label in labels
        ]


def _hint_controls(canvas: gr.Image) -> tuple[_Controls, gr.Button, gr.Button, gr.UploadButton]:
    """Add the list of hints and what changes the selected one."""
    with gr.Row():
        with gr.Column():
            choice = gr.Radio([], label="Hints: the selected one", elem_id="hints-list")
            with gr.Row():
                x, y = (
                    gr.Number(None, label=name, minimum=0, elem_id=f"hints-{name}", min_width=80)
                    for name in ("x", "y")
                )
            add, move = _buttons("Add at x, y", "Move to x, y")
            with gr.Row():
                save = gr.DownloadButton("Save (JSON)", size="sm", elem_id="hints-save")
                load = gr.UploadButton(
                    "Load", size="sm", file_types=[".json"], elem_id="hints-load"
                )
        with gr.Column():
            color = gr.ColorPicker("#808080", label="Its color", elem_id="hints-color")
            palette = gr.Gallery(
                label="Or that of a common thing, the likeliest first",
                elem_id="hints-palette",
                columns=5,
                height=320,
                allow_preview=False,
                object_fit="cover",
                interactive=False,
                buttons=[],
                format="png",
            )
    controls = _Controls(gr.State(), canvas, choice, x, y, color, palette, save)
    return controls, add, move, uploads_only(load)


def _add_reach(editing: "_Editing", state: list) -> None:
    with gr.Accordion("How far the selected hint reaches", open=False):
        show = gr.Button("Show", size="sm", elem_id="hints-show-reach")
        reach = result_image("Bright where it counts", "hints-reach")
    show.click(show_errors(on_gpu(editing.reach)), state, reach, **ONE_DEVICE, **HIDDEN)


def _add_result(
    page: gr.Blocks, demonstration: Demonstration, kept: gr.BrowserState, inputs: list
) -> None:
    """Add what makes the whole result in its final size."""
    scale = magnification_input("hints")
    button = gr.Button("Colorize", variant="primary", elem_id="hints-run")
    summary = gr.Markdown(elem_id="hints-summary")
    download = gr.DownloadButton("Download (PNG)", elem_id="hints-download")
    outputs = [download, summary]

    @show_errors
    @on_gpu
    def colorize(image: str | None, editor: HintEditor | None, magnification: float):
        source = read_source(image)
        hints = list(editor.hints) if editor else None
        scale = limit_scale(source, magnification)
        folder = demonstration.results.create()
        file = folder / f"{Path(image).stem}{RESULT_MARK}.png"
        result = demonstration.pipe(source, hints=hints, scale=scale)
        save_image(result, file)
        (folder / _SUMMARY).write_text(f"{len(hints or ())} hints, {result.width}x{result.height}")
        return *show(folder), folder.name

    def show(folder: Path) -> tuple[str, str]:
        (file,) = map(str, folder.glob(f"*{RESULT_MARK}.png"))
        return file, (folder / _SUMMARY).read_text()

    result = gr.State()
    event = button.click(colorize, [*inputs, scale], [*outputs, result], **ONE_DEVICE, **HIDDEN)
    keep_result(page, demonstration, kept, [event], result, show, outputs)


class _Editing:
    """What the controls do. Each change returns the new values of all of them."""

    def __init__(self, demonstration: Demonstration):
        self._demonstration = demonstration
        # By path, which differs for every upload.
        self._preview = lru_cache(_IMAGES_IN_MEMORY)(
            lambda image: HintPreview(demonstration.pipe, read_source(image), _LONGEST)
        )

    def open(self, image: str | None, editor: HintEditor | None, selected: int | None) -> tuple:
        if image is None:
            return None, None, gr.Radio([], value=None), None, None, "#808080", [], None
        return self._show(image, HintEditor(self._preview(image).size), None)

    def click(
        self,
        image: str | None,
        editor: HintEditor,
        selected: int | None,
        kind: str,
        event: gr.SelectData,
    ) -> tuple:
        shown = _shown_size(editor.size)
        x, y = (
            min(place * side / pixels, side - 1)
            for place, side, pixels in zip(event.index, editor.size, shown, strict=True)
        )
        change = self.move if kind == _MOVES and selected is not None else self.add
        return change(image, editor, selected, round(x), round(y))

    def add(self, image: str | None, editor: HintEditor, selected: int | None, x, y) -> tuple:
        color = self._preview(image).automatic_color(*_checked(editor, x, y))
        return self._show(image, editor.add(x, y, color), len(editor.hints))

    def move(self, image: str | None, editor: HintEditor, selected: int | None, x, y) -> tuple:
        place = _checked(editor, x, y)
        return self._show(image, editor.move(_index(selected), *place), selected)

    def select(self, image: str | None, editor: HintEditor, selected: int | None) -> tuple:
        return self._show(image, editor, selected)

    def recolor(
        self, image: str | None, editor: HintEditor, selected: int | None, color: str
    ) -> tuple:
        return self._show(image, editor.recolor(_index(selected), _to_hex(color)), selected)

    def recolor_likely(
        self, image: str | None, editor: HintEditor, selected: int | None, event: gr.SelectData
    ) -> tuple:
        x, y, _ = editor.hints[_index(selected)]
        color = list(self._preview(image).likely_colors(x, y).values())[event.index]
        return self._show(image, editor.recolor(selected, color), selected)

    def delete(self, image: str | None, editor: HintEditor, selected: int | None) -> tuple:
        return self._show_last(image, editor.delete(_index(selected)))

    def undo(self, image: str | None, editor: HintEditor | None, selected: int | None) -> tuple:
        return self._show_last(image, _opened(editor).undo())

    def clear(self, image: str | None, editor: HintEditor | None, selected: int | None) -> tuple:
        return self._show_last(image, _opened(editor).clear())

    def load(
        self, image: str | None, editor: HintEditor | None, selected: int | None, file: str
    ) -> tuple:
        return self._show_last(image, _opened(editor).load(Path(file).read_text("utf-8")))

    def reach(self, image: str | None, editor: HintEditor | None, selected: int | None) -> str:
        hints = _opened(editor).hints
        drawn = self._preview(image).draw_reach(hints, _index(selected))
        return self._save(drawn, "reach.webp")

    def _show_last(self, image: str | None, editor: HintEditor) -> tuple:
        return self._show(image, editor, len(editor.hints) - 1 if editor.hints else None)

    def _show(self, image: str | None, editor: HintEditor, selected: int | None) -> tuple:
        preview = self._preview(image)
        result = preview.draw(editor.hints).resize(_shown_size(editor.size), Image.BICUBIC)
        canvas = self._save(draw_hints(result, editor.size, editor.hints, selected), "canvas.webp")
        file = Path(canvas).with_name("hints.json")
        file.write_text(editor.to_json(), "utf-8")
        labels = [f"{x:g}, {y:g}: {color}" for x, y, color in editor.hints]
        choice = gr.Radio([(label, i) for i, label in enumerate(labels)], value=selected)
        if selected is None:
            x, y, color, palette = *(side // 2 for side in editor.size), "#808080", []
        else:
            x, y, color = editor.hints[selected]
            palette = [
                (Image.new("RGB", _SWATCH, likely), name)
                for name, likely in preview.likely_colors(x, y).items()
            ]
        return editor, canvas, choice, x, y, color, palette, str(file)

    def _save(self, image: Image.Image, name: str) -> str:
        file = self._demonstration.results.create() / name
        save_image(image, file, _QUALITY)
        return str(file)


def _shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return (width, height) at which an image is shown."""
    longest = max(size)
    factor = min(max(longest, _SHORTEST), _LONGEST) / longest
    width, height = (max(1, round(side * factor)) for side in size)
    return width, height


def _opened(editor: HintEditor | None) -> HintEditor:
    if editor is None:
        raise ValueError("There is no image yet: drop one, or choose an example.")
    return editor


def _index(selected: int | None) -> int:
    if selected is None:
        raise ValueError("There is no hint yet: click the thing that you want to color.")
    return selected


def _checked(editor: HintEditor | None, x: Any, y: Any) -> tuple[float, float]:
    """Return a place that was typed in; ValueError unless it is inside the image."""
    return HintEditor(_opened(editor).size).add(x, y, "gray").hints[0][:2]


def _to_hex(color: str) -> str:
    """Convert what a ColorPicker returns, "#rrggbb" or "rgba(12.5, 3, 4, 1)"."""
    if color.startswith("#"):
        return color[:7]
    levels = re.findall(r"[\d.]+", color)[:3]
    return "#{:02x}{:02x}{:02x}".format(*(min(255, round(float(level))) for level in levels))
