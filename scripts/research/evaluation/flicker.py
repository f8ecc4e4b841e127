"""How much colors flicker in videos: made clips, ways to colorize them, and what they change.

A clip is a window that pans over a photograph, or rests on it, with fresh noise in every frame. So
truth and motion are known.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import nan
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from scsnet_hf.video.series import FIRST, Series

from .pixels import Pixels
from .samples import without_colors

if TYPE_CHECKING:
    from scsnet_hf.pipeline_scsnet import ScsColorizeSrPipeline

STATIC = 2.0  # CIE L: a pixel is static where the source changes by less

TRUTHS_FIRST = "truth's first frame"

# Arguments of the series of each way; of TRUTHS_FIRST, the frame is its reference.
WAYS: dict[str, dict[str, Any]] = {
    "automatic": {},
    "first": {"reference": FIRST},
    "propagated": {"propagate": True},
    "first, propagated": {"reference": FIRST, "propagate": True},
    TRUTHS_FIRST: {},
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
        shift: (x, y) in pixels that the window moves from frame to frame.
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
    """A square window that moves through the middle of a photograph.

    Args:
        photograph: RGB.
        side: of the window in pixels.
        shift: (x, y) in pixels from frame to frame, each 0 or more.
        frames: how many.
        noise: standard deviation of the noise that each source gets, in levels of 255.
        seed: of the noise.

    Raises:
        ValueError: if the photograph is too small.
    """
    spare = [
        have - side - step * (frames - 1) for have, step in zip(photograph.size, shift, strict=True)
    ]
    if min(spare) < 0:
        raise ValueError(
            f"{frames} windows of {side} pixels, {shift[0]},{shift[1]} apart, do not fit into "
            f"{photograph.width}x{photograph.height}"
        )
    corners = [
        [room // 2 + i * d for room, d in zip(spare, shift, strict=True)] for i in range(frames)
    ]
    truth = [photograph.crop((x, y, x + side, y + side)) for x, y in corners]
    generator = np.random.default_rng(seed)
    return Clip(truth, [_noisy(without_colors(frame), noise, generator) for frame in truth], shift)


def _noisy(gray: Image.Image, noise: float, generator: np.random.Generator) -> Image.Image:
    levels = np.asarray(gray, dtype=np.float64)
    levels = levels + noise * generator.standard_normal(levels.shape)
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


def colorized(clip: Clip, way: str, pipe: "ScsColorizeSrPipeline") -> list[Image.Image]:
    """The frames of a clip in one of `WAYS`, at their own size."""
    arguments = dict(WAYS[way])
    if way == TRUTHS_FIRST:
        arguments["reference"] = clip.truth[0]
    series = Series(pipe, scale=1, **arguments)
    return [series(frame) for frame in clip.gray]


def flicker(clip: Clip, results: Sequence[Image.Image]) -> Numbers:
    """What `DEFINITIONS` says, of the results of all frames of a clip, RGB and of its size."""
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
    """(2, H, W) twice to (H, W)."""
    return (first - second).norm(dim=0)


def _same_places(
    before: torch.Tensor, after: torch.Tensor, shift: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The parts of two frames (2, H, W) that show the same part of the photograph."""
    x, y = shift
    height, width = before.shape[-2:]
    return before[:, y:, x:], after[:, : height - y, : width - x]


def flicker_of_ways(
    clips: Iterable[Clip], pipe: "ScsColorizeSrPipeline", on_clip: Callable[[], None] = lambda: None
) -> dict[str, list[Numbers]]:
    """`flicker` of the truth and of all `WAYS`, for every clip.

    Raises:
        ValueError: if there are no clips.
    """
    told: dict[str, list[Numbers]] = {"truth": [], **{way: [] for way in WAYS}}
    for clip in clips:
        told["truth"].append(flicker(clip, clip.truth))
        for way in WAYS:
            told[way].append(flicker(clip, colorized(clip, way, pipe)))
        on_clip()
    if not told["truth"]:
        raise ValueError("no clips to measure: the photographs are too small, or there are none")
    return told


def flicker_table(told: dict[str, list[Numbers]]) -> str:
    """Means over clips in Markdown; for changes also the ratio to TRUTHS_FIRST, and the largest."""
    ratios = [f"{name}, ratio (largest)" for name in _COMPARED]
    columns = [*DEFINITIONS, *ratios]
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for way, numbers in told.items():
        cells = [f"{fmean(one[name] for one in numbers):.2f}" for name in DEFINITIONS]
        for name in _COMPARED:
            pairs = zip(numbers, told[TRUTHS_FIRST], strict=True)
            shares = [one[name] / other[name] if other[name] else nan for one, other in pairs]
            cells.append(f"{fmean(shares):.2f} ({max(shares):.2f})")
        lines.append(f"| {' | '.join([way, *cells])} |")
    return "\n".join(lines)
