"""Time, memory and parameters of networks in one chart (Fig. 2 of the paper, right)."""

import math
import statistics
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..benchmark.networks import is_cascade
from .records import read_measurements

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

_SIZE, _DPI = (10, 5.6), 100  # inches, and 1000 pixels wide
_AREA = 32  # square points per million parameters
_OURS, _OTHERS, _TEXT = "C3", "C0", "0.15"
_LEGEND_SIZES = (1, 10, 50)  # million parameters
_GAPS = (2, 8, 15, 24, 34, 46, 60)  # from circle to label, in points, in order of choice
_DIRECTIONS = tuple(map(math.radians, (0, 180, 90, 270, *range(45, 360, 90), *range(20, 360, 20))))


class Efficiency(NamedTuple):
    """What a network costs, drawn as a circle."""

    seconds: float  # of CPU time for one image
    memory: float  # MiB
    parameters: int
    ours: bool


def draw_efficiency(output: Path, record: Path) -> None:
    """Draw a record of `scripts/benchmark.py networks`.

    Args:
        output: image to write, 1000 pixels wide, in the format of its suffix.
        record: file that `--output` wrote.

    Raises:
        OSError: if the record cannot be read.
        ValueError: if the file is no such record, or the suffix cannot be written.
    """
    efficiency_figure(read_efficiency(record)).savefig(output)


def read_efficiency(record: Path) -> dict[str, Efficiency]:
    """Read the medians of a record of `scripts/benchmark.py networks`."""
    values = read_measurements(record, "networks")
    return {
        row: Efficiency(
            statistics.median(seconds),
            values["memory"][row][0],
            values["parameters"][row][0],
            ours=not is_cascade(row),
        )
        for row, seconds in values["cpu"].items()
    }


def efficiency_figure(rows: Mapping[str, Efficiency]) -> "Figure":
    """Plot a labeled circle for every row: memory over seconds, its area the parameters."""
    from matplotlib.figure import Figure

    figure = Figure(_SIZE, dpi=_DPI, facecolor="white")
    axes = figure.add_axes((0.075, 0.1, 0.905, 0.87))
    for row in rows.values():
        color, area = _OURS if row.ours else _OTHERS, _AREA * row.parameters / 1e6
        axes.scatter(
            row.seconds, row.memory, area, color=color, alpha=0.45, edgecolors=color, zorder=3
        )
    _set_axes(axes, rows)
    _label_circles(axes, rows)
    return figure


def _set_axes(axes: "Axes", rows: Mapping[str, Efficiency]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set(xscale="log", yscale="log")
    seconds = [row.seconds for row in rows.values()]
    memory = [row.memory for row in rows.values()]
    axes.set_xlim(min(seconds) / 2.5, max(seconds) * 1.8)
    axes.set_ylim(min(memory) / 2, max(memory) * 2.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter("{x:g}")
    axes.set_xlabel("CPU seconds per image", fontsize=9)
    axes.set_ylabel("peak memory (MiB)", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    handles = [
        axes.scatter([], [], _AREA * millions, color="0.8", edgecolors="0.5")
        for millions in _LEGEND_SIZES
    ]
    axes.legend(
        handles,
        [f"{millions} M parameters" for millions in _LEGEND_SIZES],
        loc="upper left",
        ncols=len(_LEGEND_SIZES),
        fontsize=8,
        frameon=False,
        borderpad=2.5,
        columnspacing=3,
        handletextpad=2.2,
    )


def _label_circles(axes: "Axes", rows: Mapping[str, Efficiency]) -> None:
    """Write names where they cover neither circles nor each other, with a line to distant ones."""
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    axes.figure.draw_without_rendering()  # places the legend
    radii = {name: math.sqrt(_AREA * row.parameters / 1e6 / math.pi) for name, row in rows.items()}
    occupied = [axes.get_legend().get_window_extent()]
    for name, row in rows.items():
        (x, y), radius = axes.transData.transform(row[:2]), radii[name] * axes.figure.dpi / 72
        occupied.append(Bbox([(x - radius, y - radius), (x + radius, y + radius)]))
    for name in sorted(rows, key=radii.get):
        for gap, angle in product(_GAPS, _DIRECTIONS):
            label = _label_circle(axes, name, rows[name], radii[name], gap, angle)
            label.get_window_extent()  # sets its position
            box = Text.get_window_extent(label)  # without the line
            if axes.bbox.count_contains(box.corners()) == 4 and not box.count_overlaps(occupied):
                break
            label.remove()
        occupied.append(box)


def _label_circle(
    axes: "Axes", name: str, row: Efficiency, radius: float, gap: float, angle: float
) -> "Annotation":
    """Write a name at a distance of `gap` points from its circle."""
    across, up = math.cos(angle), math.sin(angle)
    line = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.7, "shrinkA": 0, "shrinkB": radius}
    return axes.annotate(
        name.replace("+", " + "),
        row[:2],
        ((radius + gap) * across, (radius + gap) * up),
        textcoords="offset points",
        horizontalalignment={-1: "right", 0: "center", 1: "left"}[round(across)],
        verticalalignment={-1: "top", 0: "center", 1: "bottom"}[round(up)],
        arrowprops=line if gap > _GAPS[1] else None,
        fontsize=8.5,
        color=_OURS if row.ours else _TEXT,
        weight="bold" if row.ours else "normal",
        zorder=4,
    )
