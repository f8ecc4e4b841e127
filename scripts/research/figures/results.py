"""Results, attention and zoom as captioned images side by side."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from tqdm import tqdm

from scsnet_hf.guidance.attention_maps import AttentionMaps
from scsnet_hf.guidance.points import draw_point
from scsnet_hf.guidance.zoom import ZoomView, save_animation
from scsnet_hf.image_io import load_image
from scsnet_hf.io.panels import draw_panels
from scsnet_hf.io.saving import save_image
from scsnet_hf.registration import load_pipeline

if TYPE_CHECKING:
    from scsnet_hf.pipeline_scsnet import ScsColorizeSrPipeline

Point = tuple[float, float]  # x and y, shares of width and height


def draw_results(
    output: Path,
    images: Sequence[str],
    model: str,
    scale: float,
    source_size: int | None,
    truth: bool,
    width: int,
) -> None:
    """Draw a row for every image: source, automatic result, reference and result with it.

    Args:
        output: image to write.
        images: files, with =REFERENCE behind those that have one.
        model: name of an embedded checkpoint, folder or Hub id.
        scale: magnification.
        source_size: pixels to which the long side is reduced first.
        truth: also show the images themselves, in their colors.
        width: of a column in pixels.
    """
    pipe = load_pipeline(model)
    rows = [_result_row(pipe, image, scale, source_size, truth) for image in images]
    save_image(draw_panels(rows, width), output)


def _result_row(
    pipe: "ScsColorizeSrPipeline", image: str, scale: float, source_size: int | None, truth: bool
) -> dict[str, Image.Image]:
    name, _, reference = image.partition("=")
    original = load_image(name).convert("RGB")
    source = original.convert("L")
    if source_size:
        source.thumbnail((source_size, source_size), Image.Resampling.BICUBIC)
    panels = {
        f"input {source.width}x{source.height}": source,
        f"automatic x{scale:g}": pipe(source, scale=scale),
    }
    if reference:
        panels["reference"] = load_image(reference)
        panels[f"with reference x{scale:g}"] = pipe(source, reference=reference, scale=scale)
    return panels | ({"truth": original} if truth else {})


def draw_comparison(
    output: Path, run: Path, numbers: Sequence[int], methods: Sequence[str] | None, width: int
) -> None:
    """Draw the results of all methods for some images of an evaluation (Fig. 7).

    Args:
        output: image to write.
        run: `--output` folder of `scripts/evaluate_model.py --keep-images`.
        numbers: of the images.
        methods: columns; all if None.
        width: of a column in pixels.

    Raises:
        ValueError: if the run has no such image.
    """
    methods = methods or [*json.loads((run / "results.json").read_text())["counts"]]
    rows = []
    for number in numbers:
        paths = {name: run / "images" / name / f"{number:05}.png" for name in (*methods, "truth")}
        row = {name: load_image(path) for name, path in paths.items() if path.exists()}
        if not row:
            raise ValueError(f"{run / 'images'}: has no image {number}; were images kept?")
        rows.append(row)
    save_image(draw_panels(rows, width), output)


def draw_attention(
    output: Path, image: str, reference: str, point: Sequence[Point], model: str, width: int
) -> None:
    """Draw which parts of the reference points attend to, and the valves (Fig. 8).

    Args:
        output: image to write.
        image: file of the source.
        reference: file of the reference.
        point: points of the source, a row for each.
        model: name of an embedded checkpoint, folder or Hub id.
        width: of a column in pixels.
    """
    source, reference_image = load_image(image), load_image(reference)
    maps = AttentionMaps.from_images(load_pipeline(model), source, reference_image)
    rows = []
    for place in point:
        levels = maps.draw_attention(reference_image, place)
        captions = {f"attention, level {level}": one for level, one in enumerate(levels, start=1)}
        rows.append({"point": draw_point(source, place), **captions})
    valves = maps.draw_valves(source)
    for index, name in enumerate(("source", "reference")):
        captions = {
            f"{name} valve, level {level}": pair[index] for level, pair in enumerate(valves, 1)
        }
        if captions:
            rows.append({"image": source.convert("L").convert("RGB"), **captions})
    save_image(draw_panels(rows, width), output)


def draw_zoom(
    output: Path,
    image: str,
    reference: str | None,
    point: Point,
    scale: float,
    model: str,
    width: int,
    frames: int,
) -> None:
    """Draw a zoom into a point (Fig. 9).

    Args:
        output: WebP file for an animation, or another image for a strip.
        image: file of the source.
        reference: file of the reference, if any.
        point: of the source.
        scale: the last magnification.
        model: name of an embedded checkpoint, folder or Hub id.
        width: of the animation, or of an image in the strip, in pixels.
        frames: of the animation.
    """
    source = load_image(image)
    view = ZoomView(load_pipeline(model), source, reference)
    if output.suffix.lower() == ".webp":
        size = (width, max(1, round(width * source.height / source.width)))
        steps = view.zoom_in(point, size, scale, frames)
        save_animation(tqdm(steps, total=frames, unit="frame"), output)
    else:
        save_image(draw_panels([view.compare_scales(point, scale, width)], width), output)
