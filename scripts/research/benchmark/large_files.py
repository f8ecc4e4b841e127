"""Whole calls for large images and for videos, from file to file.

WIDTHxHEIGHT               a gray PNG to a color PNG of the same size
WIDTHxHEIGHT ddcolor-tiny  the same by DDColor-tiny at 512x512 with random weights, its colors
                           enlarged and joined with the lightness of the source
WIDTHxHEIGHT video SCALE   24 frames of a video, in the settings of the command
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from scsnet_hf.image_processing_scsnet import SCSNetImageProcessor
from scsnet_hf.io.saving import save_image
from scsnet_hf.pixel_mapping import PixelGrid, conversion_blocks, resize
from scsnet_hf.registration import load_pipeline
from scsnet_hf.tiling import Strips
from scsnet_hf.video.colorize import colorize_video
from scsnet_hf.video.series import FIRST, Series

from ..baselines import find_baseline
from .images import smooth_gray
from .interleaved import Measurements, Plan, measure_rows
from .profiling import Workload
from .result_sizes import parse_size

ROWS = ("1000x750", "2000x1500", "4000x3000", "4000x3000 ddcolor-tiny", "8000x6000")
_DDCOLOR, _VIDEO = "ddcolor-tiny", "video"
_SIDE = 512  # of DDColor's input
_STRONGEST = (
    0.2  # normalized a and b; those of random weights would need more or less gamut fitting
)
_FRAMES, _RATE = 24, 24


def measure_large_files(
    model: str, rows: Sequence[str], runs: int, device: str
) -> dict[str, Measurements]:
    """Measure what large files cost; see `measure_rows`.

    Args:
        model: name of an embedded checkpoint, folder or Hub id.
        rows: see the module; `ROWS` if empty.
        runs: of every row.
        device: of torch.

    Raises:
        ValueError: for a row that is none of these.
    """
    rows = rows or ROWS
    for row in rows:
        plan_file(row, model, device)  # so that a wrong one is reported before the measurements
    return measure_rows(plan_file, rows, runs, model=model, device=device)


def plan_file(row: str, model: str, device: str) -> Plan:
    """Plan the one call of a row; see `measure_large_files`."""
    text, *method = row.split(" ")
    size = parse_size(text)
    if not method:
        return {row: partial(_build_scan, size, model, device)}
    if method == [_DDCOLOR]:
        return {row: partial(_build_joined, size)}
    if len(method) == 2 and method[0] == _VIDEO:
        return {row: partial(_build_video, size, float(method[1]), model, device)}
    raise ValueError(f"no row {row!r}: behind the size goes nothing, {_DDCOLOR}, or {_VIDEO} SCALE")


def _in_folder(run: Callable[[Path], object]) -> Callable[[], None]:
    """Run in a new folder."""

    def call() -> None:
        with TemporaryDirectory() as folder:
            run(Path(folder))

    return call


def _build_scan(size: tuple[int, int], model: str, device: str) -> Workload:
    pipe, folder = load_pipeline(model, device), TemporaryDirectory()
    scan = Path(folder.name, "scan.png")
    smooth_gray(size).save(scan)

    def colorize(results: Path, _=folder) -> None:
        save_image(pipe(str(scan), scale=1), results / "color.png")

    return Workload(_in_folder(colorize), pipe.model.num_parameters())


def _build_joined(size: tuple[int, int]) -> Workload:
    network = find_baseline(_DDCOLOR).build().to(memory_format=torch.channels_last)
    processor, folder = SCSNetImageProcessor(), TemporaryDirectory()
    scan = Path(folder.name, "scan.png")
    smooth_gray(size).save(scan)

    @torch.inference_mode()
    def colorize(results: Path, _=folder) -> None:
        image = Image.open(scan)
        small = np.array(image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))
        pixels = torch.from_numpy(small).permute(2, 0, 1)[None] / 255
        colors = network(pixels).clamp(-_STRONGEST, _STRONGEST)
        lightness, (width, height) = processor.source_tensor(image), size

        def strip(start: int, stop: int) -> torch.Tensor:
            grid = PixelGrid((_SIDE, _SIDE), (height, width), (start, 0), (stop - start, width))
            return torch.cat((lightness[..., start:stop, :], resize(colors, grid)), dim=1)

        strips = (strip(*block) for block in conversion_blocks(height, width))
        arrays = processor.post_process_strips(strips, (height, width))
        result = Strips(size, 3, np.dtype(np.uint8), arrays).to_image()
        save_image(result, results / "color.png")

    return Workload(_in_folder(colorize), sum(map(torch.Tensor.numel, network.parameters())))


def _build_video(size: tuple[int, int], scale: float, model: str, device: str) -> Workload:
    import av

    pipe, folder = load_pipeline(model, device), TemporaryDirectory()
    source = Path(folder.name, "gray.mp4")
    scene = smooth_gray((size[0] + _FRAMES, size[1])).convert("RGB")
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=_RATE)
        stream.width, stream.height = size
        for left in range(_FRAMES):  # the camera pans
            window = scene.crop((left, 0, left + size[0], size[1]))
            container.mux(stream.encode(av.VideoFrame.from_image(window)))
        container.mux(stream.encode(None))

    def colorize(results: Path, _=folder) -> None:
        series = Series(pipe, FIRST, propagate=True, scale=scale)
        colorize_video(source, results / "color.mp4", series)

    return Workload(_in_folder(colorize), pipe.model.num_parameters())
