"""Tar shards of webdataset: a row is the files of one name, its key shard/name.

The name of a file ends at the first dot of its last component; what follows is its column. Files
of a row follow each other. A name that comes again in a shard is another row, #2 at the end of its
key.
"""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..image_io import READABLE_SUFFIXES
from .parts import (
    BrokenRows,
    Fetch,
    Part,
    as_text,
    cut,
)

_MEMBER = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]*)", re.DOTALL)


class _File(NamedTuple):
    """A file in a shard; offset and size are in bytes."""

    name: str
    column: str
    offset: int
    size: int


@dataclass(frozen=True)
class TarRows(Part):
    """Rows of a shard.

    Args:
        shard: the file.
        rows_at: key, offset of the image in the shard, and its size, in bytes.
    """

    shard: Path = field(repr=False)
    rows_at: tuple[tuple[str, int, int], ...]

    def __len__(self) -> int:
        return len(self.rows_at)

    def rows(self) -> Iterator[tuple[str, Fetch]]:
        """See `Part`."""
        for key, offset, size in self.rows_at:
            yield key, partial(_read, self.shard, offset, size)


def tar_parts(
    shards: list[tuple[str, Path]], rows_per_part: int, image_column: str | None
) -> list[Part]:
    """Parts of shards; none has rows of two.

    Args:
        shards: name and path of each.
        rows_per_part: rows in a part.
        image_column: what follows the name of an image, such as "jpg"; None for the one column of
            a row that is an image by its suffix.

    Raises:
        ValueError: if it is not clear which file of a row is its image.
    """
    parts: list[Part] = []
    broken: list[tuple[str, str]] = []
    for name, path in shards:
        files, damage = _files_of(path)
        rows = []
        for key, columns in _rows_of(name, files):
            image = _image_of(key, columns, image_column)
            if image:
                rows.append((key, image.offset, image.size))
            else:
                wanted = image_column or "image"
                broken.append((key, f"the row has no {wanted}, only {', '.join(sorted(columns))}"))
        if damage:
            broken.append((name, f"{damage}; {len(rows)} rows before that are used"))
        parts += [TarRows(path, some) for some in cut(rows, rows_per_part)]
    return parts + [BrokenRows(some) for some in cut(broken, rows_per_part)]


def _files_of(shard: Path) -> tuple[list[_File], str | None]:
    """Files of webdataset in a shard, and what is wrong with it, if anything."""
    files = []
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                match = _MEMBER.fullmatch(member.name)
                if match and member.isreg():
                    name, column = match.groups()
                    files.append(
                        _File(as_text(name), as_text(column), member.offset_data, member.size)
                    )
            if _read(shard, tar.offset, tarfile.BLOCKSIZE).strip(b"\0"):
                raise tarfile.ReadError("what follows the last file is no file")
    except (tarfile.TarError, OSError, ValueError) as error:
        return files, f"cut off, damaged or no .tar file, fetch or write it again ({error})"
    return files, None


def _rows_of(shard: str, files: list[_File]) -> Iterator[tuple[str, dict[str, _File]]]:
    """Key and files by column, in lower case, of every row."""
    rows: list[tuple[str, dict[str, _File]]] = []
    for file in files:
        column = file.column.lower()
        if not rows or rows[-1][0] != file.name or column in rows[-1][1]:
            rows.append((file.name, {}))
        rows[-1][1][column] = file
    seen: set[str] = set()
    for name, columns in rows:
        key, again = name, 1
        while key in seen:
            again += 1
            key = f"{name}#{again}"
        seen.add(key)
        yield f"{shard}/{key}", columns


def _image_of(key: str, columns: dict[str, _File], image_column: str | None) -> _File | None:
    if image_column:
        return columns.get(image_column.lower())
    images = [name for name in columns if f".{name.split('.')[-1]}" in READABLE_SUFFIXES]
    if len(images) > 1:
        raise ValueError(f"{key}: {', '.join(images)} are images, choose one as image column")
    return columns[images[0]] if images else None


def _read(shard: Path, offset: int, size: int) -> bytes:
    with shard.open("rb") as file:
        file.seek(offset)
        content = file.read(size)
    if len(content) < size:
        raise ValueError(f"the shard ends at byte {offset + len(content)}, in the middle of a file")
    return content
