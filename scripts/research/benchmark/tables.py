"""Measurements as Markdown tables."""

import math
import statistics

from ..markdown_tables import markdown_table
from .interleaved import Measurements
from .result_sizes import parse_size

_SAMPLE_STAGES = {
    "read": "read the row, encoded",
    "decode": "decode",
    "cut": "cut and resize",
    "collate": "collate",
}
_RATE_TITLE = "share of the matrix rate"


def spread(values: list[float], digits: int = 1) -> str:
    """Format the median and, in brackets, the smallest and the largest value."""
    numbers = (statistics.median(values), min(values), max(values))
    middle, low, high = (f"{number:.{digits}f}" for number in numbers)
    return f"{middle} ({low} to {high})"


def network_table(values: dict[str, Measurements]) -> str:
    """Format what `measure_rows` returned for networks or upsamplers."""
    header = ["network", "parameters (M)", "GMACs", "CPU s", "wall s", "images/s"]
    header += ["peak memory (MiB)", "CPU s, ratio", "wall s, ratio", _RATE_TITLE]
    rows = []
    for row in values["wall"]:
        (parameters,), (gmacs,) = values["parameters"][row], values["gmacs"][row]
        cells = [
            row,
            f"{parameters / 1e6:.2f}",
            f"{gmacs:.1f}",
            spread(values["cpu"][row], 2),
            spread(values["wall"][row], 2),
            f"{1 / statistics.median(values['wall'][row]):.2f}",
            _memory(values, row),
            spread(ratios(values["cpu"], row), 2),
            spread(ratios(values["wall"], row), 2),
            share_of_rate(values, row),
        ]
        rows.append(cells)
    return markdown_table(header, rows)


def size_table(values: dict[str, Measurements]) -> str:
    """Format what `measure_result_sizes` returned."""
    header = ["result", "megapixels", "wall s", "s per megapixel", "peak memory (MiB)"]
    header += ["wall s, ratio", _RATE_TITLE]
    rows = []
    for row, seconds in values["wall"].items():
        megapixels = math.prod(parse_size(row)) / 1e6
        cells = [
            row,
            f"{megapixels:.1f}",
            spread(seconds, 2),
            spread([second / megapixels for second in seconds], 3),
            _memory(values, row),
            spread(ratios(values["wall"], row), 2),
            share_of_rate(values, row),
        ]
        rows.append(cells)
    return markdown_table(header, rows)


def call_profile_tables(values: dict[str, dict[str, Measurements]]) -> str:
    """Format what `measure_call_profile` returned, a table for every size of results."""
    return "\n\n".join(map(_call_profile_table, values, values.values()))


def _call_profile_table(size: str, values: dict[str, Measurements]) -> str:
    rows = []
    for stage, seconds in values["wall"].items():
        whole = zip(seconds, values["wall"]["whole"], strict=True)
        cells = [
            stage,
            spread([1000 * second for second in seconds]),
            f"{statistics.median(part / total for part, total in whole):.1%}",
            f"{values['gmacs'][stage][0]:.1f}",
            share_of_rate(values, stage),
        ]
        rows.append(cells)
    return markdown_table([size, "ms", "share of the call", "GMACs", _RATE_TITLE], rows)


def folder_table(values: dict[str, Measurements]) -> str:
    """Format what `measure_folder` returned."""
    rows = [
        [
            row,
            spread(seconds),
            f"{values['images'][row][0] / statistics.median(seconds):.2f}",
            spread(ratios(values["wall"], row), 2),
        ]
        for row, seconds in values["wall"].items()
    ]
    return markdown_table(["a folder", "wall s", "images/s", "wall s, ratio"], rows)


def startup_table(values: dict[str, Measurements]) -> str:
    """Format what `measure_startup` returned."""
    rows = [
        [
            folder,
            spread(values["cpu"][folder], 2),
            spread(values["wall"][folder], 2),
            spread(ratios(values["cpu"], folder), 2),
            spread(ratios(values["wall"], folder), 2),
        ]
        for folder in values["wall"]
    ]
    header = ["one small photograph", "CPU s", "wall s", "CPU s, ratio", "wall s, ratio"]
    return markdown_table(header, rows)


def model_table(values: dict[str, Measurements]) -> str:
    """Format what `measure_models` returned."""
    rows = [
        [
            model,
            spread(seconds, 3),
            spread(ratios(values["wall"], model), 2),
            f"{values['psnr'][model][0]:.1f}",
        ]
        for model, seconds in values["wall"].items()
    ]
    return markdown_table(["model", "wall s per call", "ratio", "dB to the first's image"], rows)


def loader_tables(values: dict[str, Measurements]) -> str:
    """Format what `measure_loader` returned, as two or three tables."""
    training = values.get("step", {})
    steps = {name: statistics.median(speeds) for name, speeds in training.items()}
    loader = markdown_table(
        ["loader processes", "images/s", *(f"ratio to step, {name} terms" for name in steps)],
        [
            [workers, spread(speeds)]
            + [f"{statistics.median(speeds) / speed:.2f}" for speed in steps.values()]
            for workers, speeds in values["loader"].items()
        ],
    )
    step = markdown_table(
        ["training step", "images/s"],
        [[f"{name} loss terms", spread(speeds)] for name, speeds in training.items()],
    )
    parts = (loader, *[step] * bool(training), _sample_table(values["sample"]))
    return "\n\n".join(parts)


def _sample_table(seconds: Measurements) -> str:
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    whole = medians["stream"] + medians["collate"]
    rows = [
        [
            text,
            spread([1000 * value for value in seconds[stage]], 2),
            f"{medians[stage] / whole:.0%}",
        ]
        for stage, text in _SAMPLE_STAGES.items()
    ]
    rest = whole - sum(medians[stage] for stage in _SAMPLE_STAGES)
    rows.append(
        ["the rest: shuffle, checksum, selection", f"{1000 * rest:.2f}", f"{rest / whole:.0%}"]
    )
    return markdown_table(["a sample, in one process", "ms", "share"], rows)


def space_table(values: dict[str, Measurements]) -> str:
    """Format what `measure_space` returned."""
    rows = [[name, spread(seconds)] for name, seconds in values["visit"].items()]
    return markdown_table(["a visit", "seconds"], rows)


def _memory(values: dict[str, Measurements], row: str) -> str:
    memory = values["memory"].get(row)
    return f"{memory[0]:.0f}" if memory else "-"


def share_of_rate(values: dict[str, Measurements], row: str) -> str:
    """Format how much of the machine's matrix rate a row reaches, the median over runs."""
    (gmacs,), (rates,) = values["gmacs"][row], values["matrix_rate"].values()
    gflops = [2 * gmacs / seconds for seconds in values["wall"][row]]
    shares = [reached / rate for reached, rate in zip(gflops, rates, strict=True)]
    return f"{statistics.median(shares):.0%}"


def ratios(values: Measurements, row: str) -> list[float]:
    """Divide the values of a row by those of the first row in the same runs."""
    first = next(iter(values.values()))
    return [value / other for value, other in zip(values[row], first, strict=True)]
