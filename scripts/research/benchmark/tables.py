"""Markdown tables of what was measured."""

import math
import statistics

from .rounds import Repeats
from .sizes import size_of

_SAMPLE_STAGES = {
    "read": "read the row, undecoded",
    "decode": "decode",
    "cut": "cut and resize",
    "collate": "collate",
}
_RATE_TITLE = "share of the matrix rate"


def spread(values: list[float], digits: int = 1) -> str:
    """Median and, in brackets, the smallest and the largest value."""
    numbers = (statistics.median(values), min(values), max(values))
    middle, low, high = (f"{number:.{digits}f}" for number in numbers)
    return f"{middle} ({low} to {high})"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, all columns but the first to the right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cost_table(title: str, values: dict[str, Repeats]) -> str:
    """What `measure` returned; ratios are to the first row in the same round."""
    header = [title, "parameters (M)", "GMACs", "processor s", "wall s", "images/s"]
    header += ["peak memory (MiB)", "processor s, ratio", "wall s, ratio", _RATE_TITLE]
    rows = []
    for row in values["wall"]:
        (parameters,), (gmacs,) = values["parameters"][row], values["gmacs"][row]
        memory = values["memory"].get(row)
        rows.append(
            [
                row,
                f"{parameters / 1e6:.2f}",
                f"{gmacs:.1f}",
                spread(values["processor"][row], 2),
                spread(values["wall"][row], 2),
                f"{1 / statistics.median(values['wall'][row]):.2f}",
                f"{memory[0]:.0f}" if memory else "-",
                spread(ratios(values["processor"], row), 2),
                spread(ratios(values["wall"], row), 2),
                share_of_rate(values, row),
            ]
        )
    return table(header, rows)


def size_table(values: dict[str, Repeats]) -> str:
    """What `measure_sizes` returned; ratios are to the first row in the same round."""
    header = ["result", "megapixels", "wall s", "s a megapixel", "peak memory (MiB)"]
    header += ["wall s, ratio", _RATE_TITLE]
    rows = []
    for row, seconds in values["wall"].items():
        megapixels = math.prod(size_of(row)) / 1e6
        memory = values["memory"].get(row)
        rows.append(
            [
                row,
                f"{megapixels:.1f}",
                spread(seconds, 2),
                spread([second / megapixels for second in seconds], 3),
                f"{memory[0]:.0f}" if memory else "-",
                spread(ratios(values["wall"], row), 2),
                share_of_rate(values, row),
            ]
        )
    return table(header, rows)


def call_stage_tables(values: dict[str, dict[str, Repeats]]) -> str:
    """What `measure_call_stages` returned, a table for every size of results."""
    return "\n\n".join(map(_call_stage_table, values, values.values()))


def _call_stage_table(size: str, values: dict[str, Repeats]) -> str:
    rows = []
    for stage, seconds in values["wall"].items():
        shares = [part / all_ for part, all_ in zip(seconds, values["wall"]["whole"], strict=True)]
        rows.append(
            [
                stage,
                spread([1000 * second for second in seconds]),
                f"{statistics.median(shares):.1%}",
                f"{values['gmacs'][stage][0]:.1f}",
                share_of_rate(values, stage),
            ]
        )
    return table([size, "ms", "share of the call", "GMACs", _RATE_TITLE], rows)


def folder_table(values: dict[str, Repeats]) -> str:
    """What `measure_folder` returned; ratios are to the first row in the same round."""
    rows = [
        [
            row,
            spread(seconds),
            f"{values['images'][row][0] / statistics.median(seconds):.2f}",
            spread(ratios(values["wall"], row), 2),
        ]
        for row, seconds in values["wall"].items()
    ]
    return table(["a folder", "wall s", "images/s", "wall s, ratio"], rows)


def backend_table(values: dict[str, Repeats]) -> str:
    """What `measure_backends` returned; ratios are to the first model in the same round."""
    rows = [
        [
            model,
            spread(seconds, 3),
            spread(ratios(values["wall"], model), 2),
            f"{values['psnr'][model][0]:.1f}",
        ]
        for model, seconds in values["wall"].items()
    ]
    return table(["model", "wall s of a call", "ratio", "dB to the first's image"], rows)


def loader_tables(values: dict[str, Repeats]) -> str:
    """What `measure_loader` returned: three tables."""
    steps = {name: statistics.median(speeds) for name, speeds in values["step"].items()}
    step = table(
        ["training step", "images/s"],
        [[f"{name} loss terms", spread(speeds)] for name, speeds in values["step"].items()],
    )
    loader = table(
        ["loader processes", "images/s", *(f"ratio to step, {name} terms" for name in steps)],
        [
            [workers, spread(speeds)]
            + [f"{statistics.median(speeds) / speed:.2f}" for speed in steps.values()]
            for workers, speeds in values["loader"].items()
        ],
    )
    return "\n\n".join((loader, step, _sample_table(values["sample"])))


def space_table(values: dict[str, Repeats]) -> str:
    """What `measure_space` returned."""
    rows = [[name, spread(seconds)] for name, seconds in values["visit"].items()]
    return table(["a visit", "seconds"], rows)


def _sample_table(seconds: Repeats) -> str:
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
    return table(["a sample, in one process", "ms", "share"], rows)


def share_of_rate(values: dict[str, Repeats], row: str) -> str:
    """How much of the machine's matrix rate a row reaches; the median over rounds."""
    (gmacs,), (rates,) = values["gmacs"][row], values["matrix_rate"].values()
    gflops = [2 * gmacs / seconds for seconds in values["wall"][row]]
    shares = [reached / rate for reached, rate in zip(gflops, rates, strict=True)]
    return f"{statistics.median(shares):.0%}"


def ratios(values: Repeats, row: str) -> list[float]:
    """A row to the first one, in every round."""
    first = next(iter(values.values()))
    return [value / other for value, other in zip(values[row], first, strict=True)]
