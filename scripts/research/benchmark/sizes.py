"""Whole calls of the pipeline for results of many sizes: time and memory.

A row is named by the sides of the result, such as `4096x4096`.
"""

import re
from collections.abc import Sequence
from functools import partial

from scsnet_hf.registration import load_pipeline

from .images import smooth_gray
from .meters import Subject
from .rounds import Repeats, Stages, measure

RESULTS = ("512x512", "1024x1024", "2048x2048", "4096x4096", "8192x8192", "10000x10000")


def measure_sizes(
    model: str,
    rows: Sequence[str],
    repeats: int,
    scale: float,
    device: str,
    source: str | None = None,
) -> dict[str, Repeats]:
    """What results cost, each of one image of random smooth gray; see `measure`.

    Args:
        model: name of an embedded checkpoint, folder or Hub id.
        rows: sizes of results, WIDTHxHEIGHT; `RESULTS` if there are none.
        repeats: rounds.
        scale: magnification, where there is no `source`.
        device: of torch.
        source: size of the one image that all results are made of, WIDTHxHEIGHT.

    Raises:
        ValueError: for a row or a source that is no size.
    """
    rows = rows or RESULTS
    for text in (*rows, *([source] if source else [])):
        size_of(text)  # a wrong one is told before the measuring starts
    setting = {"model": model, "scale": scale, "device": device, "source": source}
    return measure(stages_of, rows, repeats, **setting)


def size_of(row: str) -> tuple[int, int]:
    """(width, height) that a row names."""
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", row):
        raise ValueError(f"{row!r} is no size; give WIDTHxHEIGHT in pixels, such as 4096x4096")
    width, height = map(int, row.split("x"))
    return width, height


def source_size_of(row: str, scale: float) -> tuple[int, int]:
    """(width, height) of what has the size of a row once it is enlarged."""
    width, height = (max(1, round(side / scale)) for side in size_of(row))
    return width, height


def stages_of(row: str, model: str, scale: float, device: str, source: str | None = None) -> Stages:
    """The one stage of a row."""
    size = size_of(source) if source else source_size_of(row, scale)
    return {row: partial(build_call, size, size_of(row), model, device)}


def build_call(
    source: tuple[int, int], result: tuple[int, int], model: str, device: str
) -> Subject:
    """A call that makes a result of one size from an image of another."""
    pipe = load_pipeline(model, device)
    run = partial(pipe, smooth_gray(source), size=result)
    return Subject(run, pipe.model.num_parameters())
