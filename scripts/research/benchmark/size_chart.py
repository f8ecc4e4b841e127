"""Time and memory over the size of results, of one or several models."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scsnet_hf.io.panels import rendered
from scsnet_hf.io.saving import save_image

from .records import repeats_of
from .sizes import size_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (10, 3.8)  # inches
_DPI = 100  # so that the image is 1000 pixels wide


class SizeCost(NamedTuple):
    """What a result costs."""

    megapixels: float
    seconds: float  # a megapixel
    memory: float  # MiB


def read_sizes(record: str | Path) -> list[SizeCost]:
    """Rows of a record of `scripts/benchmark.py sizes --output`, medians, small results first.

    Raises:
        OSError: if there is no such file.
        ValueError: if it is not such a record, or one without memory.
    """
    with repeats_of(record, "sizes") as repeats:
        costs = []
        for row, seconds in repeats["wall"].items():
            megapixels = math.prod(size_of(row)) / 1e6
            second = statistics.median(seconds) / megapixels
            costs.append(SizeCost(megapixels, second, repeats["memory"][row][0]))
        return sorted(costs)


def draw_sizes(records: Mapping[str, Sequence[SizeCost]], path: str | Path) -> None:
    """Draw seconds a megapixel and peak memory over megapixels, a line for every record.

    Args:
        records: by name.
        path: image to write, in the format of its suffix; 1000 pixels wide.

    Raises:
        ValueError: if there is nothing to draw, or for a suffix that cannot be written.
    """
    if not records or not all(records.values()):
        raise ValueError("nothing to draw: a record has no rows")
    save_image(rendered(size_figure(records)), Path(path))


def size_figure(records: Mapping[str, Sequence[SizeCost]]) -> "Figure":
    """The chart of `draw_sizes`."""
    from matplotlib.figure import Figure

    figure = Figure(_SIZE, dpi=_DPI, layout="constrained", facecolor="white")
    time, memory = figure.subplots(1, 2)
    for costs in records.values():
        megapixels, seconds, mebibytes = zip(*costs, strict=True)
        time.plot(megapixels, seconds, marker="o", markersize=4)
        memory.plot(megapixels, mebibytes, marker="o", markersize=4)
    _set_axes(time, "seconds a megapixel")
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
