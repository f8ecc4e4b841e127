"""The efficiency chart (Fig. 2, right): time, memory and parameters of networks in one image."""

import math
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scsnet_hf.io.panels import rendered
from scsnet_hf.io.saving import save_image

from .records import repeats_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path as Line
    from matplotlib.transforms import Bbox

_SIZE = (10, 5.6)  # inches
_DPI = 100  # so that the image is 1000 pixels wide
_AREA = 32  # square points for a million parameters
_OURS, _OTHERS, _TEXT = "C3", "C0", "0.15"
_SIZES_SHOWN = (1, 10, 50)  # million parameters
_GAPS = (3, 10, 20, 32, 46, 62, 80, 100)  # from circle to name, in pixels, in order of choice
_DIRECTIONS = tuple(map(math.radians, (0, 180, 90, 270, *range(45, 360, 90), *range(20, 360, 20))))

_Place = tuple["Bbox", "Line | None"]  # of a name, and what joins it to its circle


class Efficiency(NamedTuple):
    """A circle."""

    seconds: float  # of the processor, for one image
    memory: float  # MiB
    parameters: int
    ours: bool


def read_efficiency(record: str | Path) -> dict[str, Efficiency]:
    """Rows of a record of `scripts/benchmark.py cascades --output`, medians over its rounds.

    Raises:
        OSError: if there is no such file.
        ValueError: if it is not such a record, or one without memory.
    """
    with repeats_of(record, "cascades") as repeats:
        return {
            row: Efficiency(
                statistics.median(seconds),
                repeats["memory"][row][0],
                repeats["parameters"][row][0],
                ours="@" not in row,  # only colorizers of cascades have a size of their own
            )
            for row, seconds in repeats["processor"].items()
        }


def draw_efficiency(rows: Mapping[str, Efficiency], path: str | Path) -> None:
    """Draw a circle for every row: seconds to the right, memory upwards, parameters its area.

    Args:
        rows: by name.
        path: image to write, in the format of its suffix; 1000 pixels wide.

    Raises:
        ValueError: if there is nothing to draw, or for a suffix that cannot be written.
    """
    if not rows:
        raise ValueError("nothing to draw: the record has no rows")
    save_image(rendered(efficiency_figure(rows)), Path(path))


def efficiency_figure(rows: Mapping[str, Efficiency]) -> "Figure":
    """The chart of `draw_efficiency`, of at least one row; names are texts of its axes."""
    from matplotlib.figure import Figure

    figure = Figure(_SIZE, dpi=_DPI, facecolor="white")
    axes = figure.add_axes((0.075, 0.1, 0.905, 0.87))
    for row in rows.values():
        _draw_circle(axes, row.seconds, row.memory, row.parameters / 1e6, row.ours)
    _set_axes(axes, rows)
    _name_circles(axes, rows)
    return figure


def _draw_circle(axes: "Axes", x: float, y: float, millions: float, ours: bool) -> None:
    color = _OURS if ours else _OTHERS
    axes.scatter(x, y, _AREA * millions, color=color, alpha=0.45, edgecolors=color, zorder=3)


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
    axes.set_xlabel("processor seconds for an image", fontsize=9)
    axes.set_ylabel("peak memory (MiB)", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    handles = [
        axes.scatter([], [], _AREA * millions, color="0.8", edgecolors="0.5")
        for millions in _SIZES_SHOWN
    ]
    axes.legend(
        handles,
        [f"{millions} M parameters" for millions in _SIZES_SHOWN],
        loc="upper left",
        ncols=len(_SIZES_SHOWN),
        fontsize=8,
        frameon=False,
        borderpad=2.5,
        columnspacing=3,
        handletextpad=2.2,
    )


def _name_circles(axes: "Axes", rows: Mapping[str, Efficiency]) -> None:
    """Write names where they cover neither circles nor each other, with a line to farther ones."""
    from matplotlib.transforms import Bbox

    axes.figure.draw_without_rendering()  # so that the legend has its place
    pixels_per_point = axes.figure.dpi / 72
    circles = {}
    for name, row in rows.items():
        x, y = axes.transData.transform((row.seconds, row.memory))
        radius = math.sqrt(_AREA * row.parameters / 1e6 / math.pi) * pixels_per_point
        circles[name] = Bbox.from_bounds(x - radius, y - radius, 2 * radius, 2 * radius)
    written = [axes.get_legend().get_window_extent()]
    for name, circle in sorted(circles.items(), key=lambda item: item[1].width):
        written += _write_name(axes, name, rows[name].ours, circle, [*circles.values()], written)


def _write_name(
    axes: "Axes",
    name: str,
    ours: bool,
    circle: "Bbox",
    circles: list["Bbox"],
    written: list["Bbox"],
) -> list["Bbox"]:
    """At the first free place around the circle, or the last if none is; returns what it covers."""
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
    places = list(_places(circle, text.get_window_extent()))
    free = (
        (box, line)
        for box, line in places
        if axes.bbox.count_contains(box.corners()) == 4
        and not box.count_overlaps([*circles, *written])
        and not (line and any(line.intersects_bbox(other) for other in written))
    )
    box, line = next(free, places[-1])
    text.set_position((box.x0, box.y0))
    if line is None:
        return [box]
    axes.plot(*line.vertices.T, transform=None, color="0.5", linewidth=0.7, zorder=2)
    return [box, line.get_extents()]


def _places(circle: "Bbox", extent: "Bbox") -> Iterator["_Place"]:
    """Where a text can stand around a circle, near ones first; farther ones have a line to it."""
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
