"""Whole calls of the pipeline for results of many sizes: time and memory.

A row is named by the sides of the result, such as `4096x4096`.
"""

import re
from collections.abc import Sequence
from functools import partial

import numpy as np
from PIL import Image

from ..registration import load_pipeline
from .meters import Subject
from .rounds import Repeats, Stages, measure

RESULTS = ("512x512", "1024x1024", "2048x2048", "4096x4096", "8192x8192", "10000x10000")


def measure_sizes(
    model: str, rows: Sequence[str], repeats: int, scale: float, device: str
) -> dict[str, Repeats]:
    """What results cost, each of one picture of random smooth gray; see `measure`.

    Args:
        model: name of an embedded checkpoint, folder or Hub id.
        rows: sizes of results, WIDTHxHEIGHT; `RESULTS` if there are none.
        repeats: rounds.
        scale: magnification.
        device: of torch.

    Raises:
        ValueError: for a row that is no size.
    """
    rows = rows or RESULTS
    for row in rows:
        size_of(row)  # a wrong one is told before the measuring starts
    return measure(stages_of, rows, repeats, model=model, scale=scale, device=device)


def size_of(row: str) -> tuple[int, int]:
    """(width, height) that a row names."""
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", row):
        raise ValueError(f"{row!r} is no size; give WIDTHxHEIGHT in pixels, such as 4096x4096")
    width, height = map(int, row.split("x"))
    return width, height


def stages_of(row: str, model: str, scale: float, device: str) -> Stages:
    """The one stage of a row."""
    return {row: partial(build_call, row, model, scale, device)}


def build_call(row: str, model: str, scale: float, device: str) -> Subject:
    """A call whose result has the size of `row`."""
    size = size_of(row)
    source = [max(1, round(side / scale)) for side in size]
    small = [-(-side // 8) for side in reversed(source)]
    levels = np.random.default_rng(0).integers(0, 256, small, dtype=np.uint8)
    picture = Image.fromarray(levels).resize(source, Image.Resampling.BICUBIC)
    pipe = load_pipeline(model, device)
    return Subject(partial(pipe, picture, size=size), pipe.model.num_parameters())
