"""Whole calls of the pipeline, from a PNG file to a PNG file: where their time goes.

    decode           the file of the source to an image
    pre-process      the image to the network's units
    color branch    F_color
    texture          F_tex, tile by tile where the source is large
    pixel mapping    features to pixels, likewise
    post-process     pixels to an image, and all that the pipeline does beside these
    encode           the image to a file

The stages are timed inside the call, so they add up to it at any size.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tqdm import tqdm

from scsnet_hf.io.saving import save_image
from scsnet_hf.registration import load_pipeline

from .images import smooth_gray
from .meters import (
    Run,
    clock,
    matrix_rate,
    multiply_adds,
)
from .process import in_fresh_process
from .rounds import Repeats, add_up
from .sizes import size_of, source_size_of

if TYPE_CHECKING:
    from scsnet_hf.pipeline_scsnet import ScsColorizeSrPipeline

RESULTS = ("512x512", "2048x2048", "4096x4096")
NETWORK = ("color branch", "texture", "pixel mapping")
STAGES = ("decode", "pre-process", *NETWORK, "post-process", "encode")
# Wall seconds are told, and threads of a user's call spin for a while before they sleep.
_AS_USERS = {"OMP_WAIT_POLICY": None}
SUMS = {
    "network": NETWORK,
    "all but the network": tuple(stage for stage in STAGES if stage not in NETWORK),
    "whole": STAGES,
}


def measure_call_stages(
    model: str, rows: Sequence[str], repeats: int, scale: float, device: str
) -> dict[str, dict[str, Repeats]]:
    """What the stages of calls cost, all in one fresh process.

    Args:
        model: name of an embedded checkpoint, folder or Hub id; not an exported one.
        rows: sizes of results, WIDTHxHEIGHT; `RESULTS` if there are none.
        repeats: rounds, in each of which every row runs once; one more before them warms up.
        scale: magnification.
        device: of torch.

    Returns:
        By row `wall`, seconds of `STAGES` and of `SUMS` in every round; `gmacs` of the same; and
        `matrix_rate` as in `measure`.

    Raises:
        ValueError: for a row that is no size.
    """
    rows = rows or RESULTS
    for row in rows:
        size_of(row)  # a wrong one is told before the measuring starts
    setting = {"model": model, "scale": scale, "device": device}
    return in_fresh_process(time_calls, _AS_USERS, rows=list(rows), repeats=repeats, **setting)


def time_calls(
    model: str, rows: Sequence[str], repeats: int, scale: float, device: str
) -> dict[str, dict[str, Repeats]]:
    """What `measure_call_stages` returns, in this process."""
    pipe = load_pipeline(model, device)
    ledger = Ledger()
    colorize = watched_call(pipe, ledger)
    rates: list[float] = []
    with TemporaryDirectory() as folder:
        calls = {}
        for row in rows:
            source = Path(folder, f"{row}.png")
            smooth_gray(source_size_of(row, scale)).save(source)
            calls[row] = partial(colorize, source, size_of(row))
        gmacs = {row: ledger.costs_of(call, multiply_adds) for row, call in calls.items()}
        times: dict[str, list[dict[str, float]]] = {row: [] for row in rows}
        for _ in tqdm(range(repeats), unit="round"):
            rates.append(matrix_rate())
            for row, call in calls.items():
                times[row].append(ledger.costs_of(call, _seconds))
    return {
        row: {
            "wall": _with_sums(times[row]),
            "gmacs": _with_sums([gmacs[row]]),
            "matrix_rate": {"float32": rates},
        }
        for row in rows
    }


class Ledger:
    """What stages cost; a stage inside another does not count as part of that."""

    def __init__(self):
        self._costs: dict[str, float] = defaultdict(float)
        self._meter: Callable[[Run], float] = _seconds
        self._going_on: list[str] = []

    def costs_of(self, run: Run, meter: Callable[[Run], float]) -> dict[str, float]:
        """Cost of every stage of one run, as `meter` tells it of what it runs itself."""
        self._costs.clear()
        self._meter = meter
        run()
        return dict(self._costs)

    def watched(self, stage: str, function: Callable) -> Callable:
        """The function, every call of which is booked as `stage`."""

        def call(*args, **kwargs):
            made = []
            self._going_on.append(stage)
            cost = self._meter(lambda: made.append(function(*args, **kwargs)))
            self._going_on.pop()
            self._costs[stage] += cost
            if self._going_on:
                self._costs[self._going_on[-1]] -= cost
            return made[0]

        return call


def watched_call(
    pipe: "ScsColorizeSrPipeline", ledger: Ledger
) -> Callable[[Path, tuple[int, int]], None]:
    """A function that colorizes a file to a size, with its stages in the ledger."""
    for holder, method, stage in (
        (pipe, "preprocess", "decode"),
        (pipe.image_processor, "source_tensor", "pre-process"),  # inside the one above
        (pipe.model, "encode_color", "color branch"),
        (pipe.model, "encode_texture", "texture"),
        (pipe.model, "decode", "pixel mapping"),
    ):
        setattr(holder, method, ledger.watched(stage, getattr(holder, method)))
    colorize = ledger.watched("post-process", pipe)  # what is left of it
    save = ledger.watched("encode", save_image)

    def call(source: Path, size: tuple[int, int]) -> None:
        save(colorize(source, size=size), source.with_suffix(".scs.png"))

    return call


def _seconds(run: Run) -> float:
    return clock(run).wall


def _with_sums(rounds: list[dict[str, float]]) -> Repeats:
    """By stage and by sum the value in every round."""
    values = {stage: [of_round[stage] for of_round in rounds] for stage in STAGES}
    return values | {name: add_up(values, stages) for name, stages in SUMS.items()}
