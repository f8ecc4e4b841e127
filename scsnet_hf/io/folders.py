"""Files of a folder that concern us."""

from collections.abc import Iterator
from pathlib import Path

from ..image_io import READABLE_SUFFIXES
from .atomic_files import TEMPORARY_PREFIX

RESULT_MARK = ".scs"  # before the suffix of a result that lies beside its input


def files_in(folder: Path, suffixes: frozenset[str]) -> Iterator[Path]:
    """Files of a folder with one of `suffixes` (lower case), searched in depth, in order."""
    for file in sorted(folder.rglob("*")):
        left_behind = file.name.startswith(TEMPORARY_PREFIX)  # by a run that was killed
        if file.suffix.lower() in suffixes and not left_behind and file.is_file():
            yield file


def images_in(folder: Path) -> Iterator[Path]:
    """Files of a folder, searched in depth, in order, whose suffix is one that can be read."""
    return files_in(folder, READABLE_SUFFIXES)
