"""Markdown tables of what was measured."""

import math
import statistics

from .rounds import Repeats
from .sizes import size_of


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
    header = [title, "parameters (M)", "GMACs", "processor s", "wall s", "pictures/s"]
    header += ["peak memory (MiB)", "processor s, ratio", "wall s, ratio"]
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
            ]
        )
    return table(header, rows)


def size_table(values: dict[str, Repeats]) -> str:
    """What `measure_sizes` returned."""
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
            ]
        )
    return table(["result", "megapixels", "wall s", "s a megapixel", "peak memory (MiB)"], rows)


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
    return table(["model", "wall s of a call", "ratio", "dB to the first's picture"], rows)


def ratios(values: Repeats, row: str) -> list[float]:
    """A row to the first one, in every round."""
    first = next(iter(values.values()))
    return [value / other for value, other in zip(values[row], first, strict=True)]
