"""The tables of an evaluation and of the paper, and the record of a run."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from ..environment import software_versions
from ..markdown_tables import markdown_table
from .methods import NETWORK_ALONE, REFERENTIAL, UNRELATED_REFERENCE, Method
from .metrics import Metric, Row
from .run import Evaluation

_Columns = dict[str, tuple[str, int]]  # heading and decimals by the name of a number

_TABLES: tuple[_Columns, ...] = (
    {
        "images": ("images", 0),
        "psnr_rgb": ("RGB PSNR (dB)", 2),
        "psnr_l": ("L PSNR (dB)", 2),
        "ssim": ("SSIM", 3),
        "fid": ("FID", 2),
        "kid": ("KID x 1000", 2),
        "perceptual": ("VGG16 distance", 3),
        "perceptual_l": ("VGG16 distance of L", 3),
        "perceptual_unit": ("VGG16 distance, unit length", 3),
        "perceptual_unit_l": ("VGG16 distance of L, unit length", 3),
        "chroma": ("mean chroma", 1),
        "colorfulness": ("colorfulness", 1),
        "std_a": ("std of a", 1),
        "std_b": ("std of b", 1),
        "gray_share": ("share left gray", 3),
        "ab_error": ("ab error", 2),
        "ab_error_edges": ("ab error at edges", 2),
    },
    {
        "parameters": ("parameters (M)", 3),
        "speed": ("images/s", 2),
    },
    {
        "hue_correlation": ("hue correlation", 3),
        "hue_cosine": ("mean cosine of hue difference", 3),
    },
    {
        "shift_magnification": ("ab shift between magnifications", 2),
        "shift_source": ("ab shift between source sizes", 2),
        "shift_mirrored": ("ab shift when mirrored", 2),
    },
)


_PAPER_TABLES = (("fid", "colorfulness"), ("psnr_rgb", "ssim"))
_PACKAGES = ("scsnet_hf", "torch", "transformers", "datasets", "numpy", "pillow", "scikit-image")


def make_record(
    evaluation: Evaluation,
    methods: dict[str, Method],
    metrics: Sequence[Metric],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Collect everything about a run but times as JSON, so equal runs have equal records."""
    definitions = {name: text for metric in metrics for name, text in metric.definitions.items()}
    return {
        "settings": settings,
        "versions": software_versions(_PACKAGES),
        "definitions": definitions,
        "images": evaluation.images,
        "images_sha256": evaluation.sha256,
        "parameters": {name: method.parameters for name, method in methods.items()},
        "counts": evaluation.counts,
        "results": evaluation.rows,
    }


def table_rows(evaluation: Evaluation, methods: dict[str, Method]) -> dict[str, Row]:
    """Add `parameters` in millions and `speed` in images/s to the rows of an evaluation.

    Also the number of `images`, where it differs between methods.
    """
    rows = {name: dict(row) for name, row in evaluation.rows.items()}
    for name, row in rows.items():
        method = methods.get(_costs_of(name))
        seconds = evaluation.seconds.get(_costs_of(name))
        if method and method.parameters is not None:
            row["parameters"] = method.parameters / 1e6
        if seconds and math.isfinite(seconds):
            row["speed"] = 1 / seconds
    if len(set(evaluation.counts.values())) > 1:
        for name in rows.keys() & evaluation.counts.keys():
            rows[name]["images"] = evaluation.counts[name]
    return rows


def evaluation_tables(results: dict[str, Row]) -> str:
    """Format results as tables; what was not measured is left out, or a dash."""
    tables = (_evaluation_table(results, columns) for columns in _TABLES)
    return "\n\n".join(table for table in tables if table)


def _evaluation_table(results: dict[str, Row], columns: _Columns) -> str:
    """Format the columns and rows that have a number; empty if there are none."""
    rows = {name: row for name, row in results.items() if columns.keys() & row.keys()}
    measured = [key for key in columns if any(key in row for row in rows.values())]
    if not measured:
        return ""
    cells = [
        [name, *(f"{row[key]:.{columns[key][1]}f}" if key in row else "-" for key in measured)]
        for name, row in rows.items()
    ]
    return markdown_table(["", *(columns[key][0] for key in measured)], cells)


def paper_tables(records: Sequence[dict[str, Any]], seconds: Sequence[dict[str, float]]) -> str:
    """Format runs on several data sets side by side, as Tables 1 and 2 of the paper.

    Args:
        records: of `make_record`, one for each data set, with the same methods.
        seconds: per image and method in these runs.

    Raises:
        ValueError: if a number that the tables need was not measured.
    """
    titles = [str(record["settings"]["data"]) for record in records]
    costs = {name: _costs(name, records[0], seconds) for name in records[0]["results"]}
    return "\n\n".join(_side_by_side(records, titles, keys, costs) for keys in _PAPER_TABLES)


def _side_by_side(
    records: Sequence[dict[str, Any]],
    titles: list[str],
    keys: tuple[str, ...],
    costs: dict[str, list[str]],
) -> str:
    columns = {key: next(one[key] for one in _TABLES if key in one) for key in keys}
    header = [f"{title} {columns[key][0]}" for title in [*titles, "average"] for key in keys]
    lines = []
    for name in _methods_with(records, keys):
        rows = [record["results"][name] for record in records]
        rows.append({key: sum(row[key] for row in rows) / len(rows) for key in keys})
        cells = [f"{row[key]:.{columns[key][1]}f}" for row in rows for key in keys]
        lines.append([name, *cells, *costs[name]])
    return markdown_table(["", *header, "parameters (M)", "images/s"], lines)


def _costs(name: str, record: dict[str, Any], seconds: Sequence[dict[str, float]]) -> list[str]:
    """Parameters in millions and images/s of a method; dashes where they are unknown."""
    count = record["parameters"].get(_costs_of(name))
    times = [run[_costs_of(name)] for run in seconds if _costs_of(name) in run]
    times = [one for one in times if math.isfinite(one)]
    return [
        "-" if count is None else f"{count / 1e6:.3f}",
        f"{1 / median(times):.2f}" if times else "-",
    ]


def _costs_of(name: str) -> str:
    """Name of the method whose costs a row has: both kinds of references cost the same."""
    kinds = {REFERENTIAL + kind: UNRELATED_REFERENCE + kind for kind in ("", NETWORK_ALONE)}
    return kinds.get(name, name)


def _methods_with(records: Sequence[dict[str, Any]], keys: tuple[str, ...]) -> list[str]:
    """Methods that have these numbers in every record."""
    names = [
        name
        for name in records[0]["results"]
        if all(key in record["results"].get(name, {}) for record in records for key in keys)
    ]
    if not names:
        raise ValueError(
            f"the runs have no method in common with {' and '.join(keys)}: evaluate them with "
            "--fid, and with the same methods"
        )
    return names
