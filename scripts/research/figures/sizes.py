"""Time and memory over the size of results, for one or several models."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..benchmark.result_sizes import parse_size
from .records import read_measurements

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE, _DPI = (10, 3.8), 100  # inches, and 1000 pixels wide


class SizeCost(NamedTuple):
    """What a result of some size costs."""

    megapixels: float
    seconds: float  # per megapixel
    memory: float  # MiB


def draw_sizes(output: Path, records: Sequence[Path]) -> None:
    """Draw records of `scripts/benchmark.py sizes`, a line for each, named after its file.

    Args:
        output: image to write, 1000 pixels wide, in the format of its suffix.
        records: files that `--output` wrote.

    Raises:
        OSError: if a record cannot be read.
        ValueError: if a file is no such record, or the suffix cannot be written.
    """
    costs = {str(record.with_suffix("")): read_sizes(record) for record in records}
    size_figure(costs).savefig(output)


def read_sizes(record: Path) -> list[SizeCost]:
    """Read the costs in a record of `scripts/benchmark.py sizes`: medians, by size."""
    values = read_measurements(record, "sizes")
    costs = []
    for row, seconds in values["wall"].items():
        megapixels = math.prod(parse_size(row)) / 1e6
        second = statistics.median(seconds) / megapixels
        costs.append(SizeCost(megapixels, second, values["memory"][row][0]))
    return sorted(costs)


def size_figure(records: Mapping[str, Sequence[SizeCost]]) -> "Figure":
    """Plot seconds per megapixel and peak memory over megapixels, a line for every record."""
    from matplotlib.figure import Figure

    figure = Figure(_SIZE, dpi=_DPI, layout="constrained", facecolor="white")
    time, memory = figure.subplots(1, 2)
    for costs in records.values():
        megapixels, seconds, mebibytes = zip(*costs, strict=True)
        time.plot(megapixels, seconds, marker="o", markersize=4)
        memory.plot(megapixels, mebibytes, marker="o", markersize=4)
    _set_axes(time, "seconds per megapixel")
    _set_axes(memory, "peak memory (MiB)")
    if len(records) > 1:
        time.legend(list(records), fontsize=8, frameon=False)
    return figure


def _set_axes(axes: "Axes", quantity: str) -> None:
    from matplotlib.ticker import NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(bottom=0)
    axes.set_xlabel("megapixels of the result", fontsize=9)
    axes.set_ylabel(quantity, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
