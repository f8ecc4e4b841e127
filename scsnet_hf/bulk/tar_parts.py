"""Tar shards of webdataset: a row is the files of one name, its key shard/name.

The name of a file ends at the first dot of its last component; what follows is its column. Files of
a row follow each other. A name that is repeated in a shard is another row, with #2 after its key.
"""

import re
import tarfile
from pathlib import Path
from typing import NamedTuple

from ..image_io import READABLE_SUFFIXES
from ..io.folders import is_hidden
from .parts import Part, as_utf8, broken_parts, chunks

_MEMBER = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]*)", re.DOTALL)


class _Place(NamedTuple):
    offset: int  # bytes
    size: int  # bytes


def tar_parts(
    shards: list[tuple[str, Path]], rows_per_part: int, image_column: str | None
) -> list[Part]:
    """Return the parts of tar shards, none of which has rows of two shards.

    Args:
        shards: name and path of each.
        rows_per_part: maximum number of rows in a part.
        image_column: suffix of the images, such as "jpg"; None if each row has only one file with
            the suffix of an image.

    Raises:
        ValueError: if it is ambiguous which file of a row is its image.
    """
    parts: list[Part] = []
    broken: list[tuple[str, str]] = []
    for shard, path in shards:
        rows, damage = _list_rows(path)
        images = []
        for name, columns in rows.items():
            key = f"{shard}/{name}"
            place = columns.get(_find_image_column(key, list(columns), image_column))
            if place:
                images.append((name, place))
            else:
                wanted, found = image_column or "image", ", ".join(sorted(columns))
                broken.append((key, f"the row has no {wanted}, only {found}"))
        if damage:
            broken.append((shard, f"{damage}; {len(images)} rows before that are used"))
        version = f"{path.stat().st_size} bytes"
        for some in chunks(images, rows_per_part):
            parts.append(Part(_read, (path,), f"{shard}/", *zip(*some, strict=True), version))
    return parts + broken_parts(broken, rows_per_part)


def _list_rows(shard: Path) -> tuple[dict[str, dict[str, _Place]], str | None]:
    """Return the places of the files of each row, by column, and how the shard is damaged."""
    rows: dict[str, dict[str, _Place]] = {}
    last = columns = None
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                match = _MEMBER.fullmatch(member.name)
                if not match or not member.isreg() or is_hidden(Path(member.name)):
                    continue
                name, column = as_utf8(match[1]), as_utf8(match[2]).lower()
                if name != last or column in columns:
                    last, key, count = name, name, 1
                    while key in rows:
                        count += 1
                        key = f"{name}#{count}"
                    columns = rows[key] = {}
                columns[column] = _Place(member.offset_data, member.size)
            if _read(shard, _Place(tar.offset, tarfile.BLOCKSIZE)).strip(b"\0"):
                raise tarfile.ReadError("there is no file header after the last file")
    except (tarfile.TarError, OSError, ValueError) as error:
        return rows, f"cut off, damaged or no .tar file, fetch or write it again ({error})"
    return rows, None


def _find_image_column(key: str, columns: list[str], image_column: str | None) -> str | None:
    if image_column:
        return image_column.lower()
    images = [name for name in columns if f".{name.split('.')[-1]}" in READABLE_SUFFIXES]
    if len(images) > 1:
        raise ValueError(f"{key}: {', '.join(images)} are images, choose one as image column")
    return images[0] if images else None


def _read(shard: Path, place: _Place) -> bytes:
    with shard.open("rb") as file:
        file.seek(place.offset)
        content = file.read(place.size)
    if len(content) < place.size:
        end = place.offset + len(content)
        raise ValueError(f"the shard ends at byte {end}, in the middle of a file")
    return content
