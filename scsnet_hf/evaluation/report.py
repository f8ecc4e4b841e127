"""All measures of all methods over a stream of photographs, and the tables of README."""

from collections.abc import Iterable, Sequence

from .measures import TRUTH, Measure, Row
from .methods import Method
from .pixels import Pixels
from .samples import Sample

_Columns = dict[str, tuple[str, int]]  # heading and decimals by the name of a number

_TABLES: tuple[_Columns, ...] = (
    {
        "psnr_rgb": ("RGB PSNR (dB)", 2),
        "psnr_l": ("L PSNR (dB)", 2),
        "perceptual": ("VGG16 distance", 3),
        "perceptual_l": ("VGG16 distance of L", 3),
        "chroma": ("mean chroma", 1),
        "colorfulness": ("colorfulness", 1),
        "std_a": ("std of a", 1),
        "std_b": ("std of b", 1),
        "gray_share": ("share left gray", 3),
    },
    {
        "hue_correlation": ("hue correlation", 3),
        "hue_cosine": ("mean cosine of hue difference", 3),
    },
    {
        "shift_magnification": ("ab shift between magnifications", 2),
        "shift_source": ("ab shift between source sizes", 2),
    },
)


def evaluate(
    samples: Iterable[Sample], methods: dict[str, Method], measures: Sequence[Measure]
) -> dict[str, Row]:
    """Apply every method once to every sample, and every measure to the results.

    Returns:
        Numbers by method and by name; each measure documents its names and what they mean.

    Raises:
        ValueError: if there are no samples.
    """
    seen = False
    for sample in samples:
        seen = True
        outcomes = {TRUTH: Pixels(sample.truth)}
        outcomes |= {name: Pixels(method(sample)) for name, method in methods.items()}
        for measure in measures:
            measure.add(sample, outcomes)
    if not seen:
        raise ValueError("no pictures to evaluate on")
    results: dict[str, Row] = {}
    for measure in measures:
        for name, row in measure.rows().items():
            results.setdefault(name, {}).update(row)
    return results


def markdown_tables(results: dict[str, Row]) -> str:
    """The results as the tables of README; what was not measured is left out, or a dash."""
    tables = (_markdown_table(results, columns) for columns in _TABLES)
    return "\n\n".join(table for table in tables if table)


def _markdown_table(results: dict[str, Row], columns: _Columns) -> str:
    """Those columns and rows that have a number; empty if there are none."""
    rows = {name: row for name, row in results.items() if columns.keys() & row.keys()}
    measured = [key for key in columns if any(key in row for row in rows.values())]
    if not measured:
        return ""
    headings = " | ".join(columns[key][0] for key in measured)
    lines = [f"| | {headings} |", f"|---|{'---:|' * len(measured)}"]
    for name, row in rows.items():
        cells = (f"{row[key]:.{columns[key][1]}f}" if key in row else "-" for key in measured)
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines)
