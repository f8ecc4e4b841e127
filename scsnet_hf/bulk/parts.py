"""What a job is cut into: parts of a few rows, the same at every start and on every machine."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

Fetch = Callable[[], bytes]  # the encoded image of a row; raises what is wrong with it

T = TypeVar("T")


class Part(ABC):
    """Rows that one worker works through and writes in one go.

    It can be pickled. Its `repr` tells what is in it, not where that lies: the same rows elsewhere
    have the same.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @abstractmethod
    def rows(self) -> Iterator[tuple[str, Fetch]]:
        """Key and image of every row, always in the same order."""


@dataclass(frozen=True)
class BrokenRows(Part):
    """Rows of which it is known beforehand why they fail.

    Args:
        reasons: (key, reason) of each.
    """

    reasons: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.reasons)

    def rows(self) -> Iterator[tuple[str, Fetch]]:
        """See `Part`; every image raises ValueError."""
        for key, reason in self.reasons:
            yield key, failing(ValueError(reason))


def failing(error: Exception) -> Fetch:
    """An image that cannot be had."""

    def fetch() -> bytes:
        raise error

    return fetch


def cut(rows: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    """Runs of `size` rows, the last one may be shorter."""
    for start in range(0, len(rows), size):
        yield tuple(rows[start : start + size])


def fingerprint(parts: Iterable[Part]) -> str:
    """SHA-256 of what is in all parts, by names and sizes of files, not by their content."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part!r}\n".encode())
    return digest.hexdigest()


def as_text(name: str) -> str:
    """A file's name as text that can be written as UTF-8: other bytes become \\udcXX."""
    return name.encode("utf-8", "backslashreplace").decode()
