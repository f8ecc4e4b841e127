"""Parquet files: the key of a row is file/number, from 0."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.sources import encoded_bytes
from .parts import (
    BrokenRows,
    Fetch,
    Part,
    as_text,
    cut,
    failing,
)

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class ParquetRows(Part):
    """Rows of a file.

    Args:
        path: the file.
        name: what keys call it.
        size: of the file, in bytes.
        column: of the images.
        numbers: of the rows.
    """

    path: Path = field(repr=False)
    name: str
    size: int
    column: str
    numbers: range

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self) -> Iterator[tuple[str, Fetch]]:
        """See `Part`; reads one row group at a time."""
        import pyarrow
        from pyarrow import parquet

        with parquet.ParquetFile(self.path) as file:
            for group, numbers, start in self._groups(file.metadata):
                try:
                    column = file.read_row_group(group, columns=[self.column])[self.column]
                    values = column.slice(start, len(numbers)).to_pylist()
                    images = [partial(image_bytes, value) for value in values]
                except (pyarrow.ArrowException, OSError) as error:
                    images = [failing(error)] * len(numbers)
                for number, image in zip(numbers, images, strict=True):
                    yield f"{self.name}/{number}", image

    def _groups(self, metadata) -> Iterator[tuple[int, range, int]]:
        """Row group, rows of this part in it, and place of the first of those in the group."""
        first = 0
        for group in range(metadata.num_row_groups):
            stop = first + metadata.row_group(group).num_rows
            numbers = range(max(first, self.numbers.start), min(stop, self.numbers.stop))
            if numbers:
                yield group, numbers, numbers.start - first
            first = stop


def parquet_parts(
    files: list[tuple[str, Path]], rows_per_part: int, image_column: str | None
) -> list[Part]:
    """Parts of parquet files; none has rows of two.

    Args:
        files: name and path of each.
        rows_per_part: rows in a part.
        image_column: see `find_image_column`.

    Raises:
        ValueError: if a file has no such column.
    """
    import pyarrow
    from pyarrow import parquet

    parts: list[Part] = []
    broken = []
    for name, path in files:
        key = as_text(name)
        try:
            with parquet.ParquetFile(path) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
        except (pyarrow.ArrowException, OSError) as error:
            broken.append(
                (key, f"is damaged or no parquet file, fetch or write it again ({error})")
            )
            continue
        column = find_image_column(schema, image_column, key)
        for numbers in runs(rows, rows_per_part):
            parts.append(ParquetRows(path, key, path.stat().st_size, column, numbers))
    return parts + [BrokenRows(some) for some in cut(broken, rows_per_part)]


def runs(rows: int, size: int) -> Iterator[range]:
    """Numbers from 0 to `rows`, `size` at a time."""
    for start in range(0, rows, size):
        yield range(start, min(start + size, rows))


def find_image_column(schema: "pyarrow.Schema", wanted: str | None, name: str) -> str:
    """The column of images: `wanted`, else `image`, else the first of its kind.

    Images are encoded files: binary, or {"bytes", "path"} as `datasets` stores them.

    Raises:
        ValueError: if there is no such column; it names those there are.
    """
    found = [field.name for field in schema if _holds_images(field.type)]
    for column in [wanted] if wanted else ["image", *found]:
        if column in found:
            return column
    raise ValueError(
        f"{name}: no column {wanted or 'image'!r} of images (encoded files); there are "
        f"{', '.join(f'{field.name} ({field.type})' for field in schema)}"
    )


def _holds_images(kind: "pyarrow.DataType") -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        names = [kind.field(index).name for index in range(kind.num_fields)]
        return {"bytes", "path"} <= set(names)
    return types.is_binary(kind) or types.is_large_binary(kind)


def image_bytes(value: bytes | dict | None) -> bytes:
    """The file in a cell of such a column; ValueError without one."""
    return value if isinstance(value, bytes) else encoded_bytes(value)
