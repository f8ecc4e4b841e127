"""How runs went: the terms that they logged, as an image."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from scsnet_hf.io.panels import rendered
from scsnet_hf.io.saving import save_image
from scsnet_hf.training.checkpoints import last_complete_checkpoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Log = dict[str, list[tuple[int, float]]]

_COLUMNS = 3
_PANEL_SIZE = (10 / _COLUMNS, 1.95)  # inches
_DPI = 100  # so that the image is 1000 pixels wide
_LINE_STYLES = ("solid", (0, (2, 1)))  # of the terms of one panel
_POSITIONS = ("step", "epoch")  # logged beside the terms


@dataclass(frozen=True)
class _Panel:
    title: str
    unit: str
    terms: Mapping[str, str]  # name in the log -> name in the image
    scale: str = "linear"


_PANELS = (
    _Panel("all terms (Eq. 4)", "weighted sum", {"loss": ""}),
    _Panel("content (Eq. 5)", "l1, normalized Lab", {"content": ""}),
    _Panel("perceptual (Eq. 6)", "l1 of features", {"perceptual": ""}),
    _Panel("adversarial (Eq. 7)", "squared error", {"adversarial": ""}),
    _Panel("color readout", "l1, normalized Lab", {"color_readout": ""}),
    _Panel("discriminator loss (Eq. 7)", "squared error", {"discriminator_loss": ""}),
    _Panel("discriminator", "mean score", {"d_real": "D(real)", "d_fake": "D(fake)"}),
    _Panel(
        "gradient norm",
        "before clipping",
        {"grad_norm": "network", "discriminator_grad_norm": "discriminator"},
        scale="log",
    ),
    _Panel("colorfulness", "M", {"colorfulness": "result", "colorfulness_truth": "truth"}),
    _Panel("learning rate", "", {"learning_rate": ""}),
    _Panel("speed", "images/s", {"images_per_second": ""}),
)


def read_log(run: str | Path) -> Log:
    """What a run has logged up to its newest complete checkpoint.

    Args:
        run: folder of the run.

    Returns:
        Term -> its (step, value), in the order of the steps. The terms are those of
        `SCSNetTrainer`, a mean over the steps since the one before, and those of its parent class.

    Raises:
        ValueError: if the folder holds no complete checkpoint.
    """
    folder = last_complete_checkpoint(run)
    if folder is None:
        raise ValueError(
            f"{run}: no complete checkpoint; give the --output folder of a run of scripts/train.py "
            "that has saved one"
        )
    state = TrainerState.load_from_json(str(folder / TRAINER_STATE_NAME))
    log: Log = {}
    for entry in state.log_history:
        for term, value in entry.items():
            if term not in _POSITIONS:
                log.setdefault(term, []).append((entry["step"], value))
    return log


def draw_curves(runs: Mapping[str, Log], path: str | Path) -> None:
    """Draw the terms of runs over the steps, a small panel each, and a color for each run.

    The strong line is the mean over a few neighbors of the pale one, the values themselves. Terms
    that no run has are left out.

    Args:
        runs: name of the run -> its log, from `read_log`.
        path: image to write, in the format of its suffix; 1000 pixels wide.

    Raises:
        ValueError: if there is nothing to draw, or for a suffix that cannot be written.
    """
    logged = {term for log in runs.values() for term in log}
    panels = [panel for panel in _PANELS if logged & panel.terms.keys()]
    if not panels:
        raise ValueError("nothing to draw: no run has logged a term yet")
    save_image(rendered(_draw_panels(panels, runs)), Path(path))


def _draw_panels(panels: Sequence[_Panel], runs: Mapping[str, Log]) -> "Figure":
    from matplotlib.figure import Figure

    rows, columns = -(-len(panels) // _COLUMNS), min(_COLUMNS, len(panels))
    width, height = _PANEL_SIZE
    figure = Figure(
        (_COLUMNS * width, rows * height + 0.4), dpi=_DPI, layout="constrained", facecolor="white"
    )
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, panel in zip(grid, panels, strict=False):
        _draw_panel(axes, panel, runs)
    for axes in grid[len(panels) :]:
        axes.remove()
    lines = [grid[0].plot([], [], color=f"C{number}")[0] for number in range(len(runs))]
    figure.legend(lines, list(runs), loc="outside upper center", ncols=4, fontsize=9, frameon=False)
    return figure


def _draw_panel(axes: "Axes", panel: _Panel, runs: Mapping[str, Log]) -> None:
    for number, log in enumerate(runs.values()):
        for (term, _), style in zip(panel.terms.items(), _LINE_STYLES, strict=False):
            if term in log:
                _draw_term(axes, log[term], color=f"C{number}", style=style)
    axes.set_title(panel.title, loc="left", fontsize=9)
    axes.set_xlabel("step", fontsize=8)
    axes.set_ylabel(panel.unit, fontsize=8)
    _set_ticks(axes, panel.scale)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    if len(panel.terms) > 1:
        _name_line_styles(axes, panel.terms.values())


def _set_ticks(axes: "Axes", scale: str) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    axes.set_yscale(scale)
    if scale == "log":
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10), integer=True))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.tick_params(labelsize=7)


def _draw_term(axes: "Axes", points: Sequence[tuple[int, float]], color: str, style) -> None:
    steps, values = np.array(points, dtype=float).T
    marker = "." if len(steps) == 1 else None  # a line of one point would not be seen
    axes.plot(steps, values, color=color, alpha=0.3, linewidth=0.8, linestyle=style, marker=marker)
    axes.plot(steps, _smoothed(values), color=color, linewidth=1.4, linestyle=style)


def _name_line_styles(axes: "Axes", names: Iterable[str]) -> None:
    """In the line of the title, where they hide nothing."""
    lines = [
        axes.plot([], [], color="0.3", linewidth=1.2, linestyle=style)[0] for style in _LINE_STYLES
    ]
    axes.legend(
        lines,
        list(names),
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=len(lines),
        fontsize=7,
        frameon=False,
        borderpad=0,
        borderaxespad=0.5,
        handlelength=1.8,
        columnspacing=1,
    )


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Means over windows of about a twentieth of the points, (N,) to (N,).

    A window is centered, so that nothing is late, and cut off at the ends.
    """
    reach = max(1, len(values) // 40)
    windows = (values[max(0, i - reach) : i + reach + 1] for i in range(len(values)))
    return np.array([window.mean() for window in windows])
