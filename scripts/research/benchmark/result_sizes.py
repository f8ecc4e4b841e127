"""Whole calls of the pipeline for results of many sizes, named such as `4096x4096`."""

import re
from collections.abc import Sequence
from functools import partial

from scsnet_hf.registration import load_pipeline

from .images import smooth_gray
from .interleaved import Measurements, Plan, measure_rows
from .profiling import Workload

RESULTS = ("512x512", "1024x1024", "2048x2048", "4096x4096", "8192x8192", "10000x10000")


def measure_result_sizes(
    model: str,
    rows: Sequence[str],
    runs: int,
    scale: float,
    device: str,
    source: str | None = None,
) -> dict[str, Measurements]:
    """Measure what results cost, each of an image of smooth random gray; see `measure_rows`.

    Args:
        model: name of an embedded checkpoint, folder or Hub id.
        rows: sizes of results, WIDTHxHEIGHT; `RESULTS` if empty.
        runs: calls for each row.
        scale: magnification, where there is no `source`.
        device: of torch.
        source: size of the one source of all results, WIDTHxHEIGHT.

    Raises:
        ValueError: for a row or a source that is no size.
    """
    rows = rows or RESULTS
    for text in (*rows, *([source] if source else [])):
        parse_size(text)  # so that a wrong one is reported before the measurements start
    settings = {"model": model, "scale": scale, "device": device, "source": source}
    return measure_rows(plan_size, rows, runs, **settings)


def parse_size(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT to (width, height); ValueError for anything else."""
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
        raise ValueError(f"{text!r} is no size; give WIDTHxHEIGHT in pixels, such as 4096x4096")
    width, height = map(int, text.split("x"))
    return width, height


def source_size(result: str, scale: float) -> tuple[int, int]:
    """(width, height) of the source whose enlargement by `scale` has the size `result`."""
    width, height = (max(1, round(side / scale)) for side in parse_size(result))
    return width, height


def plan_size(row: str, model: str, scale: float, device: str, source: str | None = None) -> Plan:
    """Plan the one call of a row; see `measure_result_sizes`."""
    size = parse_size(source) if source else source_size(row, scale)
    return {row: partial(_build_call, size, parse_size(row), model, device)}


def _build_call(
    source: tuple[int, int], result: tuple[int, int], model: str, device: str
) -> Workload:
    pipe = load_pipeline(model, device)
    return Workload(partial(pipe, smooth_gray(source), size=result), pipe.model.num_parameters())
