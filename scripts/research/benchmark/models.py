"""Whole calls of the pipeline by several models and in several number formats."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from scsnet_hf.metrics.per_image import psnr
from scsnet_hf.registration import load_pipeline

from .interleaved import Measurements, interleave
from .profiling import clock

if TYPE_CHECKING:
    from scsnet_hf.pipeline_scsnet import ScsColorizeSrPipeline


def measure_models(
    models: Sequence[str], image: str | Path, size: int, scale: float, runs: int
) -> dict[str, Measurements]:
    """Measure the time of a call, and how much the result differs from the first model's.

    Args:
        models: names of embedded checkpoints, folders or Hub ids, followed by @ and a number format
            where it is not the model's own: "medium@bfloat16".
        image: file of the source, which is converted to gray and to `size` pixels a side.
        size: in pixels.
        scale: magnification.
        runs: of every model, after one to warm up.

    Returns:
        By model `wall`, seconds of every run, and `psnr`, dB to the first model's image.
    """
    source = Image.open(image).convert("L").resize((size, size))
    pipes = {model: _load(model) for model in models}
    results = {model: np.asarray(pipe(source, scale=scale)) for model, pipe in pipes.items()}

    def time_call(model: str) -> dict[str, float]:
        return {model: clock(lambda: pipes[model](source, scale=scale)).wall}

    times = interleave({"wall": [partial(time_call, model) for model in pipes]}, runs)
    first = results[models[0]]
    return {**times, "psnr": {model: [psnr(one, first)] for model, one in results.items()}}


def _load(name: str) -> "ScsColorizeSrPipeline":
    model, _, dtype = name.partition("@")
    return load_pipeline(model, "cpu", dtype or None)
