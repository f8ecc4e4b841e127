"""A folder of images to a folder of results: seconds.

    calls                        a call of the pipeline after another, each result saved
    command                      `scsnet colorize FOLDER -o OUT`
    command --skip-existing      the same with more options

Both load the model. Starting the process, importing, and a few images come before.
"""

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm

from scsnet_hf.cli import main
from scsnet_hf.io.saving import save_image
from scsnet_hf.registration import load_pipeline

from .images import smooth_gray
from .meters import clock
from .process import in_fresh_process
from .rounds import Repeats

CALLS, COMMAND = "calls", "command"
_FEW = 3  # images that warm up


def measure_folder(
    model: str,
    rows: Sequence[str],
    repeats: int,
    images: int,
    size: int,
    scale: float,
    device: str,
) -> dict[str, Repeats]:
    """What a folder takes, in a fresh process each.

    Args:
        model: name of an embedded checkpoint, folder or Hub id.
        rows: ways to do it; see the module. Calls and the command if there are none.
        repeats: rounds, in each of which every row runs once.
        images: how many.
        size: side of them in pixels.
        scale: magnification.
        device: of torch.

    Returns:
        By row `images`, and `wall`, seconds of every round.

    Raises:
        ValueError: for a row that is none, or if not all images are colored.
    """
    rows = rows or [CALLS, COMMAND]
    for row in rows:
        if row != CALLS and row.split()[:1] != [COMMAND]:
            raise ValueError(f"no row {row!r}: choose {CALLS}, or {COMMAND} with options behind it")
    setting = {"model": model, "scale": scale, "device": device}
    wall: Repeats = {row: [] for row in rows}
    with TemporaryDirectory() as sources:
        for name, count in (("few", _FEW), ("all", images)):
            Path(sources, name).mkdir()
            for number in range(count):
                image = smooth_gray((size, size), seed=number)
                image.save(Path(sources, name, f"{number:05}.png"))
        for row in tqdm([*rows] * repeats, unit="process"):
            seconds = in_fresh_process(time_folder, row=row, sources=sources, **setting)
            wall[row].append(seconds)
    return {"images": {row: [images] for row in rows}, "wall": wall}


def time_folder(row: str, sources: str, model: str, scale: float, device: str) -> float:
    """Seconds for the folder `all` of sources, after those for `few`, in this process."""
    words = shlex.split(row)
    colorize = _by_calls if words == [CALLS] else partial(_by_command, words[1:])
    with TemporaryDirectory() as results:
        for name in ("few", "all"):
            source, result = Path(sources, name), Path(results, name)
            seconds = clock(partial(colorize, source, result, model, scale, device)).wall
            missing = len(list(source.iterdir())) - len(list(result.iterdir()))
            if missing:
                raise ValueError(f"{row}: {missing} images have no result")
    return seconds


def _by_calls(source: Path, result: Path, model: str, scale: float, device: str) -> None:
    pipe = load_pipeline(model, device)
    for path in sorted(source.iterdir()):
        save_image(pipe(path, scale=scale), result / path.name)


def _by_command(
    options: Sequence[str], source: Path, result: Path, model: str, scale: float, device: str
) -> None:
    own = ["--model", model, "--scale", str(scale), "--device", device]
    try:
        code = main(["colorize", str(source), "-o", str(result), *own, *options])
    except SystemExit as stop:  # wrong options
        code = stop.code
    if code:
        raise ValueError(f"{COMMAND} {shlex.join(options)}: exit code {code}")
