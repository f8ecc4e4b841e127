"""Color flicker in videos: synthetic clips, ways to colorize them, and their metrics.

A clip is a window that moves over a photograph, or rests on it, with fresh noise in every frame, so
that truth and motion are known.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import nan
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from scsnet_hf.data import iterate_photographs
from scsnet_hf.video.series import FIRST, Series

from ..markdown_tables import markdown_table
from .pixels import Pixels
from .samples import remove_colors

if TYPE_CHECKING:
    from scsnet_hf.pipeline_scsnet import ScsColorizeSrPipeline

STATIC = 2.0  # CIE L: a pixel is static where the source changes by less

TRUE_FIRST = "truth's first frame"

# Arguments of `Series` for each way; with TRUE_FIRST, that frame is the reference.
WAYS: dict[str, dict[str, Any]] = {
    "automatic": {},
    "first": {"reference": FIRST},
    "propagated": {"propagate": True},
    "first, propagated": {"reference": FIRST, "propagate": True},
    TRUE_FIRST: {},
}

DEFINITIONS = {
    "static": "distance of a and b in CIE Lab (CIE76 without its lightness) between a result and "
    f"the next at the same pixel, mean over pixels whose source L changes by less than {STATIC:g}",
    "all": "the same over all pixels",
    "along": "the same between pixels that show the same place of the photograph; the truth has 0",
    "chroma": "mean of sqrt(a^2 + b^2): without colors there is no flicker",
    "distance": "distance of a and b from the truth, mean over pixels and frames",
}

_COMPARED = ("all", "along")

Numbers = dict[str, float]


@dataclass(frozen=True)
class Clip:
    """A video whose truth and motion are known.

    Attributes:
        truth: frames in color, RGB.
        gray: their sources, mode L.
        shift: (x, y) in pixels by which the window moves from frame to frame.
    """

    truth: Sequence[Image.Image]
    gray: Sequence[Image.Image]
    shift: tuple[int, int]


def panning_clip(
    photograph: Image.Image,
    side: int,
    shift: tuple[int, int],
    frames: int,
    noise: float = 0.0,
    seed: int = 0,
) -> Clip:
    """Move a square window through the middle of a photograph.

    Args:
        photograph: RGB.
        side: of the window in pixels.
        shift: (x, y) in pixels from frame to frame, each 0 or more.
        frames: how many.
        noise: standard deviation of the noise in each source, in levels of 255.
        seed: of the noise.

    Raises:
        ValueError: if the photograph is too small.
    """
    margins = [
        available - side - step * (frames - 1)
        for available, step in zip(photograph.size, shift, strict=True)
    ]
    if min(margins) < 0:
        raise ValueError(
            f"{frames} windows of {side} pixels, {shift[0]},{shift[1]} apart, do not fit into "
            f"{photograph.width}x{photograph.height}"
        )
    corners = [
        [margin // 2 + i * step for margin, step in zip(margins, shift, strict=True)]
        for i in range(frames)
    ]
    truth = [photograph.crop((x, y, x + side, y + side)) for x, y in corners]
    generator = np.random.default_rng(seed)
    gray = [_add_noise(remove_colors(frame), noise, generator) for frame in truth]
    return Clip(truth, gray, shift)


def _add_noise(gray: Image.Image, noise: float, generator: np.random.Generator) -> Image.Image:
    levels = np.asarray(gray, dtype=np.float64)
    levels = levels + noise * generator.standard_normal(levels.shape)
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


def panning_clips(
    data: str, side: int, shift: tuple[int, int], frames: int, noise: float
) -> Iterator[Clip]:
    """Yield a clip of every photograph that is large enough; others are reported on stderr."""
    for seed, photograph in enumerate(iterate_photographs(data)):
        try:
            yield panning_clip(photograph, side, shift, frames, noise, seed)
        except ValueError as error:
            tqdm.write(f"skipped: {error}", file=sys.stderr)


def colorize_clip(clip: Clip, way: str, pipe: "ScsColorizeSrPipeline") -> list[Image.Image]:
    """Colorize the frames of a clip in one of `WAYS`, at their own size."""
    arguments = dict(WAYS[way])
    if way == TRUE_FIRST:
        arguments["reference"] = clip.truth[0]
    series = Series(pipe, scale=1, **arguments)
    return [series(frame) for frame in clip.gray]


def flicker(clip: Clip, results: Sequence[Image.Image]) -> Numbers:
    """Compute the numbers of `DEFINITIONS` for the results of all frames, RGB, of their size."""
    colors = [Pixels(result).lab[1:] for result in results]
    truths = [Pixels(frame).lab[1:] for frame in clip.truth]
    sources = [Pixels(frame.convert("RGB")).lab[0] for frame in clip.gray]
    static, everywhere, along = [], [], []
    for i in range(len(colors) - 1):
        change = _distance(colors[i], colors[i + 1])
        still = (sources[i] - sources[i + 1]).abs() < STATIC
        everywhere.append(change.mean().item())
        along.append(_distance(*_same_places(colors[i], colors[i + 1], clip.shift)).mean().item())
        if still.any():
            static.append(change[still].mean().item())
    return {
        "static": fmean(static) if static else 0.0,
        "all": fmean(everywhere),
        "along": fmean(along),
        "chroma": fmean(frame.norm(dim=0).mean().item() for frame in colors),
        "distance": fmean(
            _distance(*pair).mean().item() for pair in zip(colors, truths, strict=True)
        ),
    }


def _distance(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Distance of the colors (2, H, W) of two frames at every pixel: (H, W)."""
    return (first - second).norm(dim=0)


def _same_places(
    before: torch.Tensor, after: torch.Tensor, shift: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The parts of two frames (2, H, W) that show the same part of the photograph."""
    x, y = shift
    height, width = before.shape[-2:]
    return before[:, y:, x:], after[:, : height - y, : width - x]


def flicker_by_way(
    clips: Iterable[Clip], pipe: "ScsColorizeSrPipeline"
) -> dict[str, list[Numbers]]:
    """Compute the flicker of the truth and of all `WAYS` for every clip.

    Raises:
        ValueError: if there are no clips.
    """
    numbers: dict[str, list[Numbers]] = {"truth": [], **{way: [] for way in WAYS}}
    for clip in clips:
        numbers["truth"].append(flicker(clip, clip.truth))
        for way in WAYS:
            numbers[way].append(flicker(clip, colorize_clip(clip, way, pipe)))
    if not numbers["truth"]:
        raise ValueError("no clips to measure: the photographs are too small, or there are none")
    return numbers


def flicker_table(numbers: dict[str, list[Numbers]]) -> str:
    """Format means over clips, and ratios to `TRUE_FIRST`: their mean and the largest."""
    rows = []
    for way, clips in numbers.items():
        cells = [f"{fmean(one[name] for one in clips):.2f}" for name in DEFINITIONS]
        for name in _COMPARED:
            pairs = zip(clips, numbers[TRUE_FIRST], strict=True)
            ratios = [one[name] / other[name] if other[name] else nan for one, other in pairs]
            cells.append(f"{fmean(ratios):.2f} ({max(ratios):.2f})")
        rows.append([way, *cells])
    header = ["", *DEFINITIONS, *(f"{name}, ratio (largest)" for name in _COMPARED)]
    return markdown_table(header, rows)


def measure_flicker(
    data: str,
    pipe: "ScsColorizeSrPipeline",
    clips: int,
    side: int,
    shift: tuple[int, int],
    frames: int,
    noise: float,
) -> str:
    """Measure the flicker in clips of photographs, and return the table and its definitions.

    Args:
        data: photographs, see `scsnet_hf.data.resolve_source`.
        pipe: a `scs-colorize-sr` pipeline.
        clips: at most, one of each photograph.
        side, shift, frames, noise: see `panning_clip`.

    Raises:
        ValueError: if no photograph is large enough.
    """
    chosen = islice(panning_clips(data, side, shift, frames, noise), clips)
    numbers = flicker_by_way(tqdm(chosen, total=clips, unit="clip", disable=None), pipe)
    definitions = "\n".join(f"{name}: {meaning}" for name, meaning in DEFINITIONS.items())
    return f"{flicker_table(numbers)}\n\n{definitions}"
