"""Parquet files: the key of a row is file/number, from 0."""

from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.photographs import encoded_bytes
from .parts import InputError, Part, as_utf8, broken_parts, chunks

if TYPE_CHECKING:
    import pyarrow


def parquet_parts(
    files: list[tuple[str, Path]], rows_per_part: int, image_column: str | None
) -> list[Part]:
    """Return the parts of parquet files, none of which has rows of two files.

    Args:
        files: name and path of each.
        rows_per_part: maximum number of rows in a part.
        image_column: see `find_image_column`.

    Raises:
        ValueError: if a file has no such column.
    """
    import pyarrow
    from pyarrow import parquet

    parts: list[Part] = []
    broken = []
    for file, path in files:
        name = as_utf8(file)
        try:
            metadata = parquet.read_metadata(path)
        except (pyarrow.ArrowException, OSError) as error:
            reason = f"is damaged or no parquet file, fetch or write it again ({error})"
            broken.append((name, reason))
            continue
        column = find_image_column(metadata.schema.to_arrow_schema(), image_column, name)
        source, version = (path, column), f"{path.stat().st_size} bytes, column {column}"
        for some in chunks(range(metadata.num_rows), rows_per_part):
            parts.append(Part(_read, source, f"{name}/", some, some, version))
    return parts + broken_parts(broken, rows_per_part)


def _read(path: Path, column: str, number: int) -> bytes:
    ends = _row_group_ends(path)
    group = bisect_right(ends, number)
    images = _read_row_group(path, group, column)
    if isinstance(images, str):
        raise ValueError(images)
    return image_bytes(images[number - ends[group]].as_py())  # counted from the end


@lru_cache(maxsize=1)
def _row_group_ends(path: Path) -> list[int]:
    from pyarrow import parquet

    try:
        metadata = parquet.read_metadata(path)
    except OSError as error:
        raise InputError(f"{path}: could be read when the job started ({error})") from error
    sizes = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
    return list(accumulate(sizes))


@lru_cache(maxsize=1)
def _read_row_group(path: Path, group: int, column: str) -> "pyarrow.ChunkedArray | str":
    """Read the images of a row group; return why if that fails, to try it only once."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            return file.read_row_group(group, columns=[column])[column]
    except (pyarrow.ArrowException, OSError) as error:
        return str(error)


def find_image_column(schema: "pyarrow.Schema", wanted: str | None, name: str) -> str:
    """Return the column of images: `wanted`, else "image", else the first that holds images.

    Images are encoded files: binary, or {"bytes", "path"} as `datasets` stores them.

    Args:
        schema: columns of a table.
        wanted: name of the column; None to find it.
        name: what to call the table.

    Raises:
        ValueError: if there is no such column; the message names all columns.
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
        return {"bytes", "path"} <= {field.name for field in kind}
    return types.is_binary(kind) or types.is_large_binary(kind)


def image_bytes(value: bytes | dict | None) -> bytes:
    """Return the file in a cell of a column of images; raise ValueError if there is none."""
    return value if isinstance(value, bytes) else encoded_bytes(value)
