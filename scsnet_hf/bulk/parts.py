"""Parts: rows that one worker colorizes and writes in one go, the same ones at every start."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class InputError(ValueError):
    """A file or data set is missing, or is not the one that the job started with."""


@dataclass(frozen=True)
class Part:
    """Rows of a file, a folder or a data set; it can be pickled.

    Args:
        reader: function of `source` and a place that returns the encoded image there, and raises
            ValueError or OSError if there is none.
        source: arguments of `reader`, the same for all rows.
        prefix: start of all keys.
        names: what follows in the key of each row.
        places: where the image of each row is.
        version: what identifies the content, such as the size of the file.
    """

    reader: Callable[..., bytes]
    source: tuple
    prefix: str
    names: Sequence[str | int]
    places: Sequence[Any]
    version: str = ""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def keys(self) -> list[str]:
        """Unique name of each row, always in the same order."""
        return [as_utf8(f"{self.prefix}{name}") for name in self.names]

    def read(self, index: int) -> bytes:
        """Return the encoded image of a row; raise what is wrong with it."""
        return self.reader(*self.source, self.places[index])


def image_parts(folder: Path, names: Iterable[str], rows_per_part: int) -> list[Part]:
    """Return the parts of image files, given by their paths in a folder; these are the keys."""
    parts = []
    for some in chunks(sorted(names), rows_per_part):
        sizes = [(folder / name).stat().st_size for name in some]
        parts.append(Part(_read_file, (folder,), "", some, some, f"{sizes} bytes"))
    return parts


def _read_file(folder: Path, name: str) -> bytes:
    return (folder / name).read_bytes()


def broken_parts(reasons: Sequence[tuple[str, str]], rows_per_part: int) -> list[Part]:
    """Return the parts of rows without an image, given by key and reason."""
    return [
        Part(_fail, (), "", *zip(*some, strict=True)) for some in chunks(reasons, rows_per_part)
    ]


def _fail(reason: str) -> bytes:
    raise ValueError(reason)


def chunks(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield slices of `size` rows; the last one may be shorter."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def fingerprint(parts: Iterable[Part]) -> str:
    """Return the SHA-256 of names, places and sizes; it is the same where the input is moved."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr((part.prefix, part.names, part.places, part.version)).encode())
    return digest.hexdigest()


def as_utf8(name: str) -> str:
    """Return the name of a file as text that UTF-8 can encode: other bytes become \\udcXX."""
    return name.encode("utf-8", "backslashreplace").decode()
