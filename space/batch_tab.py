"""The tab *Batch*: many images in, one zip out."""

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import gradio as gr
from PIL import Image

from components import (
    ONE_DEVICE,
    image_input,
    keep_result,
    magnification_input,
    saturation_and_luminance,
    uploads_only,
)
from demonstration import Demonstration, limit_scale, read_source, show_errors, without_folders
from scsnet_hf.io.folders import RESULT_MARK
from scsnet_hf.io.saving import save_image
from zero_gpu import on_gpu

_MOST_IMAGES = 50
_FILES = f"Images, up to {_MOST_IMAGES}"
_ZIP, _REPORT = "colored.zip", "report.txt"


def build(page: gr.Blocks, demonstration: Demonstration, kept: gr.BrowserState) -> None:
    """Lay the tab out with its endpoint /batch."""
    with gr.Row():
        with gr.Column():
            files = uploads_only(
                gr.File(label=_FILES, file_count="multiple", elem_id="batch-files", height=200)
            )
            scale = magnification_input("batch")
            saturation, keep_luminance = saturation_and_luminance()
            with gr.Accordion("Reference for all of them", open=False):
                reference = image_input("Reference (optional)", elem_id="batch-reference")
                strength = gr.Slider(0, 1, 1, step=0.05, label="Reference strength")
            button = gr.Button("Colorize all", variant="primary", elem_id="batch-run")
        with gr.Column():
            archive = gr.File(label="Colored images", elem_id="batch-zip", interactive=False)
            report = gr.Textbox(label="Report", lines=8, elem_id="batch-report", interactive=False)
    outputs = [archive, report]

    @show_errors
    @on_gpu
    def batch(
        files: list[str] | None,
        magnification: float = 2,
        saturation: float = 1,
        keep_luminance: bool = False,
        reference: str | None = None,
        reference_strength: float = 1,
        progress=gr.Progress(),  # noqa: B008 - gradio finds it by its default
    ):
        """Colorize and enlarge up to 50 images.

        Returns a zip of PNG files, and a report with a line for every file. A file that cannot be
        read is reported, and the others are still done.
        """
        _check_count(files)
        tokens = demonstration.pipe.encode_reference(reference) if reference else None

        def colorize(file: str, notify: Callable[[str], object]) -> Image.Image:
            source = read_source(file, notify)
            return demonstration.pipe(
                source,
                scale=limit_scale(source, magnification, notify),
                saturation=saturation,
                luminance="source" if keep_luminance else "network",
                reference_tokens=tokens,
                reference_strength=reference_strength,
            )

        folder = demonstration.results.create()
        _write_results(progress.tqdm(files, unit="images", desc="Colorizing"), colorize, folder)
        return *_show(folder), folder.name

    result = gr.State()
    inputs = [files, scale, saturation, keep_luminance, reference, strength]
    event = button.click(batch, inputs, [*outputs, result], api_name="batch", **ONE_DEVICE)
    keep_result(page, demonstration, kept, [event], result, _show, outputs)


def _check_count(files: list[str] | None) -> None:
    if not files:
        raise ValueError("There are no images yet: drop some.")
    if len(files) > _MOST_IMAGES:
        raise ValueError(
            f"{len(files)} files are too many for this demonstration: up to {_MOST_IMAGES}. "
            "The command scsnet colorize takes whole folders."
        )


def _write_results(
    files: Iterable[str],
    colorize: Callable[[str, Callable[[str], object]], Image.Image],
    folder: Path,
) -> None:
    """Write the zip of results and the report, with a line for every file.

    Raises:
        ValueError: if no file has a result.
    """
    lines = []
    with zipfile.ZipFile(folder / _ZIP, "w") as zipped:
        for file in files:
            name, notices = _free_name(Path(file).stem, zipped), []
            try:
                result = colorize(file, notices.append)
            except (ValueError, OSError, MemoryError, RuntimeError) as error:
                lines.append(f"{Path(file).name}: not done: {without_folders(str(error))}")
                continue
            save_image(result, folder / name)
            zipped.write(folder / name, name)
            (folder / name).unlink()
            size = f"{result.width}x{result.height}"
            lines.append(" ".join([f"{Path(file).name}: {name}, {size}.", *notices]))
        done = len(zipped.namelist())
    if not done:
        raise ValueError("\n".join(["None of the files could be done.", *lines]))
    report = [f"{done} of {len(lines)} done", *lines]
    (folder / _REPORT).write_text("\n".join(report), encoding="utf-8")


def _show(folder: Path) -> tuple[str, str]:
    return str(folder / _ZIP), (folder / _REPORT).read_text(encoding="utf-8")


def _free_name(stem: str, zipped: zipfile.ZipFile) -> str:
    """Return STEM.scs.png, with a number if another file has that name."""
    names, name, number = set(zipped.namelist()), f"{stem}{RESULT_MARK}.png", 2
    while name in names:
        name, number = f"{stem}-{number}{RESULT_MARK}.png", number + 1
    return name
