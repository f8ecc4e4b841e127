"""Folders of images: a row is a file, its key the path in the folder."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .parts import (
    Fetch,
    Part,
    as_text,
    cut,
)


@dataclass(frozen=True)
class ImageFiles(Part):
    """Files of a folder.

    Args:
        folder: where they lie.
        files: path in the folder, with slashes, and bytes of each.
    """

    folder: Path = field(repr=False)
    files: tuple[tuple[str, int], ...]

    def __len__(self) -> int:
        return len(self.files)

    def rows(self) -> Iterator[tuple[str, Fetch]]:
        """See `Part`."""
        for name, _ in self.files:
            yield as_text(name), (self.folder / name).read_bytes


def image_parts(folder: Path, images: Iterable[Path], rows_per_part: int) -> list[Part]:
    """Parts of the images of a folder, ordered by name."""
    files = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in images]
    return [ImageFiles(folder, some) for some in cut(sorted(files), rows_per_part)]
