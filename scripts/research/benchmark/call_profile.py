"""Where the time of a whole call goes, from PNG file to PNG file.

    decode           the file of the source to an image
    pre-process      the image to the network's units
    color branch     F_color
    texture          F_tex, tile by tile where the source is large
    pixel mapping    features to pixels, likewise
    post-process     pixels to an image, and the rest of the pipeline's work
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
from .interleaved import Measurements, sum_runs
from .process import run_in_fresh_process
from .profiling import Run, clock, matrix_rate, multiply_adds
from .result_sizes import parse_size, source_size

if TYPE_CHECKING:
    from scsnet_hf.pipeline_scsnet import ScsColorizeSrPipeline

RESULTS = ("512x512", "2048x2048", "4096x4096")
NETWORK = ("color branch", "texture", "pixel mapping")
STAGES = ("decode", "pre-process", *NETWORK, "post-process", "encode")
SUMS = {
    "network": NETWORK,
    "all but the network": tuple(stage for stage in STAGES if stage not in NETWORK),
    "whole": STAGES,
}


def measure_call_profile(
    model: str, rows: Sequence[str], runs: int, scale: float, device: str
) -> dict[str, dict[str, Measurements]]:
    """Measure what the stages of calls cost, all in one fresh process.

    Args:
        model: name of an embedded checkpoint, folder or Hub id.
        rows: sizes of results, WIDTHxHEIGHT; `RESULTS` if empty.
        runs: of every row, after one to warm up.
        scale: magnification.
        device: of torch.

    Returns:
        By row `wall`, seconds of `STAGES` and of `SUMS` in every run; `gmacs` of the same; and
        `matrix_rate` as in `measure_rows`.

    Raises:
        ValueError: for a row that is no size.
    """
    rows = rows or RESULTS
    for row in rows:
        parse_size(row)  # so that a wrong one is reported before the measurements start
    # Threads of a user's call spin for a while before they sleep, and so do these.
    return run_in_fresh_process(profile_calls, model, rows, runs, scale, device, environment={})


def profile_calls(
    model: str, rows: Sequence[str], runs: int, scale: float, device: str
) -> dict[str, dict[str, Measurements]]:
    """Measure what `measure_call_profile` returns, in this process."""
    pipe = load_pipeline(model, device)
    profile = StageProfile()
    colorize = _instrument(pipe, profile)
    rates: list[float] = []
    with TemporaryDirectory() as folder:
        calls = {}
        for row in rows:
            source = Path(folder, f"{row}.png")
            smooth_gray(source_size(row, scale)).save(source)
            calls[row] = partial(colorize, source, parse_size(row))
        gmacs = {row: profile.costs_of(call, multiply_adds) for row, call in calls.items()}
        times: dict[str, list[dict[str, float]]] = {row: [] for row in rows}
        for _ in tqdm(range(runs), unit="run"):
            rates.append(matrix_rate())
            for row, call in calls.items():
                times[row].append(profile.costs_of(call, _wall_seconds))
    return {
        row: {
            "wall": _with_sums(times[row]),
            "gmacs": _with_sums([gmacs[row]]),
            "matrix_rate": {"float32": rates},
        }
        for row in rows
    }


class StageProfile:
    """Costs of nested stages, each without the stages inside it.

    Example:
        >>> profile = StageProfile()
        >>> load = profile.instrument("load", time.sleep)
        >>> profile.costs_of(lambda: load(1), lambda run: clock(run).wall)
        {'load': 1.0}
    """

    def __init__(self):
        self._costs: dict[str, float] = defaultdict(float)
        self._measure: Callable[[Run], float] = _wall_seconds
        self._open_stages: list[str] = []

    def costs_of(self, run: Run, measure: Callable[[Run], float]) -> dict[str, float]:
        """Return the cost of every stage of one run, as `measure` gives it for a function."""
        self._costs.clear()
        self._measure = measure
        run()
        return dict(self._costs)

    def instrument(self, stage: str, function: Callable) -> Callable:
        """Wrap a function so that the cost of its calls is added to `stage`."""

        def call(*args, **kwargs):
            results = []
            self._open_stages.append(stage)
            cost = self._measure(lambda: results.append(function(*args, **kwargs)))
            self._open_stages.pop()
            self._costs[stage] += cost
            if self._open_stages:
                self._costs[self._open_stages[-1]] -= cost
            return results[0]

        return call


def _instrument(
    pipe: "ScsColorizeSrPipeline", profile: StageProfile
) -> Callable[[Path, tuple[int, int]], None]:
    """Return a function that colorizes a file to a size, all stages instrumented."""
    for owner, method, stage in (
        (pipe, "preprocess", "decode"),
        (pipe.image_processor, "source_tensor", "pre-process"),  # inside the one above
        (pipe.model, "encode_color", "color branch"),
        (pipe.model, "encode_texture", "texture"),
        (pipe.model, "decode", "pixel mapping"),
    ):
        setattr(owner, method, profile.instrument(stage, getattr(owner, method)))
    colorize = profile.instrument("post-process", pipe)  # the remainder
    save = profile.instrument("encode", save_image)

    def call(source: Path, size: tuple[int, int]) -> None:
        save(colorize(source, size=size), source.with_suffix(".scs.png"))

    return call


def _wall_seconds(run: Run) -> float:
    return clock(run).wall


def _with_sums(runs: list[dict[str, float]]) -> Measurements:
    """The value of every stage and of every sum, run by run."""
    values = {stage: [run[stage] for run in runs] for stage in STAGES}
    return values | {name: sum_runs(values, stages) for name, stages in SUMS.items()}
