"""A folder of images to a folder of results.

    calls                        one call of the pipeline after another, each result saved
    command                      `scsnet colorize FOLDER -o OUT`
    command --skip-existing      the same with more options

Both load the model. Starting the process, importing, and a few images come before the measurement.
"""

import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm

from scsnet_hf.cli import main
from scsnet_hf.io.saving import save_image
from scsnet_hf.registration import load_pipeline

from .images import smooth_gray
from .interleaved import Measurements
from .process import run_in_fresh_process
from .profiling import clock

CALLS, COMMAND = "calls", "command"
_WARM_UP_IMAGES = 3


def measure_folder(
    model: str,
    rows: Sequence[str],
    runs: int,
    images: int,
    size: int,
    scale: float,
    device: str,
) -> dict[str, Measurements]:
    """Measure what a folder takes, each time in a fresh process.

    Args:
        model: name of an embedded checkpoint, folder or Hub id.
        rows: see the module; calls and the command if empty.
        runs: of every row.
        images: how many.
        size: side of them in pixels.
        scale: magnification.
        device: of torch.

    Returns:
        By row `images`, and `wall`, seconds of every run.

    Raises:
        ValueError: for a row that is none of these, or if an image has no result.
    """
    rows = rows or [CALLS, COMMAND]
    for row in rows:
        if row != CALLS and row.split()[:1] != [COMMAND]:
            raise ValueError(f"no row {row!r}: choose {CALLS}, or {COMMAND} with options behind it")
    wall: Measurements = {row: [] for row in rows}
    with TemporaryDirectory() as sources:
        for name, count in (("warm-up", _WARM_UP_IMAGES), ("all", images)):
            Path(sources, name).mkdir()
            for number in range(count):
                image = smooth_gray((size, size), seed=number)
                image.save(Path(sources, name, f"{number:05}.png"))
        for row in tqdm([*rows] * runs, unit="process"):
            seconds = run_in_fresh_process(time_folder, row, sources, model, scale, device)
            wall[row].append(seconds)
    return {"images": {row: [images] for row in rows}, "wall": wall}


def time_folder(row: str, sources: str, model: str, scale: float, device: str) -> float:
    """Measure the seconds for the folder `all` of the sources, in this process."""
    words = shlex.split(row)
    colorize = _run_calls if words == [CALLS] else partial(_run_command, words[1:])
    with TemporaryDirectory() as results:
        for name in ("warm-up", "all"):
            source, result = Path(sources, name), Path(results, name)
            seconds = clock(partial(colorize, source, result, model, scale, device)).wall
            missing = len(list(source.iterdir())) - len(list(result.iterdir()))
            if missing:
                raise ValueError(f"{row}: {missing} images have no result")
    return seconds


def _run_calls(source: Path, result: Path, model: str, scale: float, device: str) -> None:
    pipe = load_pipeline(model, device)
    for path in sorted(source.iterdir()):
        save_image(pipe(path, scale=scale), result / path.name)


def _run_command(
    options: Sequence[str], source: Path, result: Path, model: str, scale: float, device: str
) -> None:
    settings = ["--model", model, "--scale", str(scale), "--device", device]
    try:
        with redirect_stdout(sys.stderr):  # the table alone goes to stdout
            code = main(["colorize", str(source), "-o", str(result), *settings, *options])
    except SystemExit as stop:  # wrong options
        code = stop.code
    if code:
        raise ValueError(f"{COMMAND} {shlex.join(options)}: exit code {code}")
