"""Time, memory and parameters of networks in one chart (Fig. 2 of the paper, right)."""

import math
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..benchmark.networks import is_cascade
from .records import read_measurements

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path as Line
    from matplotlib.transforms import Bbox

_SIZE, _DPI = (10, 5.6), 100  # inches, and 1000 pixels wide
_AREA = 32  # square points per million parameters
_OURS, _OTHERS, _TEXT = "C3", "C0", "0.15"
_LEGEND_SIZES = (1, 10, 50)  # million parameters
_GAPS = (3, 10, 20, 32, 46, 62, 80, 100)  # from circle to label, in pixels, in order of choice
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
    from matplotlib.transforms import Bbox

    axes.figure.draw_without_rendering()  # places the legend
    pixels_per_point = axes.figure.dpi / 72
    circles = {}
    for name, row in rows.items():
        x, y = axes.transData.transform((row.seconds, row.memory))
        radius = math.sqrt(_AREA * row.parameters / 1e6 / math.pi) * pixels_per_point
        circles[name] = Bbox.from_bounds(x - radius, y - radius, 2 * radius, 2 * radius)
    occupied = [*circles.values()]
    labels = [axes.get_legend().get_window_extent()]
    for name, circle in sorted(circles.items(), key=lambda item: item[1].width):
        labels += _label_circle(axes, name, rows[name].ours, circle, occupied, labels)


def _label_circle(
    axes: "Axes",
    name: str,
    ours: bool,
    circle: "Bbox",
    circles: list["Bbox"],
    labels: list["Bbox"],
) -> list["Bbox"]:
    """Label at the first free position, or the last if none is free; returns what it covers."""
    text = axes.text(
        0,
        0,
        name.replace("+", " + "),
        transform=None,
        fontsize=8.5,
        color=_OURS if ours else _TEXT,
        weight="bold" if ours else "normal",
        zorder=4,
    )
    positions = list(_label_positions(circle, text.get_window_extent()))
    free = (
        (box, line)
        for box, line in positions
        if axes.bbox.count_contains(box.corners()) == 4
        and not box.count_overlaps([*circles, *labels])
        and not (line and any(line.intersects_bbox(other) for other in labels))
    )
    box, line = next(free, positions[-1])
    text.set_position((box.x0, box.y0))
    if line is None:
        return [box]
    axes.plot(*line.vertices.T, transform=None, color="0.5", linewidth=0.7, zorder=2)
    return [box, line.get_extents()]


def _label_positions(circle: "Bbox", extent: "Bbox") -> Iterator[tuple["Bbox", "Line | None"]]:
    """Yield boxes of a label around a circle, near ones first, and a line to distant ones."""
    from matplotlib.path import Path as Line
    from matplotlib.transforms import Bbox

    x, y = (circle.x0 + circle.x1) / 2, (circle.y0 + circle.y1) / 2
    for gap in _GAPS:
        for angle in _DIRECTIONS:
            across, up = math.cos(angle), math.sin(angle)
            edge, reach = circle.width / 2, circle.width / 2 + gap
            left = x + reach * across + (across - 1) * extent.width / 2
            bottom = y + reach * up + (up - 1) * extent.height / 2
            line = Line([(x + r * across, y + r * up) for r in (edge, reach)])
            box = Bbox.from_bounds(left, bottom, extent.width, extent.height)
            yield box, line if gap > _GAPS[1] else None
