"""Whole calls of pipelines: PyTorch beside exported graphs, images in and out included."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from tqdm import tqdm

from scsnet_hf.metrics.per_image import psnr
from scsnet_hf.registration import load_pipeline

from .rounds import Repeats

if TYPE_CHECKING:
    from scsnet_hf.pipeline_scsnet import ScsColorizeSrPipeline


def measure_backends(
    models: Sequence[str], image: str | Path, size: int, scale: float, repeats: int
) -> dict[str, Repeats]:
    """What a call takes, and how its image differs from that of the first model.

    Args:
        models: names of embedded checkpoints, folders (exported ones too) or Hub ids, and behind
            an @ the number format, if it is not the model's own: "medium@bfloat16".
        image: file of the source, made gray and `size` pixels a side.
        size: in pixels.
        scale: magnification.
        repeats: rounds, in each of which every model runs once; one more before them warms up.

    Returns:
        By model `wall`, seconds of every round, and `psnr`, dB to the first model's image.
    """
    source = Image.open(image).convert("L").resize((size, size))
    pipes = {model: _load(model) for model in models}
    results = {model: np.asarray(pipe(source, scale=scale)) for model, pipe in pipes.items()}
    wall: Repeats = {model: [] for model in models}
    for _ in tqdm(range(repeats), unit="round"):
        for model, pipe in pipes.items():
            start = time.perf_counter()
            pipe(source, scale=scale)
            wall[model].append(time.perf_counter() - start)
    first = results[models[0]]
    return {"wall": wall, "psnr": {model: [psnr(one, first)] for model, one in results.items()}}


def _load(name: str) -> "ScsColorizeSrPipeline":
    model, _, dtype = name.partition("@")
    return load_pipeline(model, "cpu", dtype or None)
