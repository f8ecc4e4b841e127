"""Markdown tables."""

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table: the first column is left-aligned, all others right-aligned.

    Args:
        header: column titles.
        rows: cells, one for each column; pipes in them are escaped.
    """
    rule = f"|---|{'---:|' * (len(header) - 1)}"
    first, *others = map(_line, (header, *rows))
    return "\n".join((first, rule, *others))


def _line(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", r"\|") for cell in cells)
    return f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in escaped)}|"
