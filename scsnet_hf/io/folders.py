"""Image and video files of a folder."""

from collections.abc import Iterator
from pathlib import Path

from ..image_io import READABLE_SUFFIXES
from .atomic_files import TEMPORARY_PREFIX

RESULT_MARK = ".scs"  # before the suffix of a result that is beside its input
VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .m2v .vob .ts .mts .m2ts .wmv .asf .flv .3gp .ogv"
    " .mxf .dv".split()
)
_OF_SYSTEMS = ("thumbs.db", ".ds_store", "desktop.ini")
WRITABLE_VIDEO_SUFFIXES = frozenset(".mp4 .m4v .mov .mkv".split())


def files_in(folder: str | Path, suffixes: frozenset[str]) -> Iterator[Path]:
    """Yield the files of a folder and its subfolders, sorted, that have one of `suffixes`.

    Args:
        folder: where to search.
        suffixes: in lower case; those of files may be in any case.
    """
    for file in sorted(Path(folder).rglob("*")):
        if file.suffix.lower() in suffixes and not is_hidden(file) and file.is_file():
            yield file


def is_hidden(file: Path) -> bool:
    """Return whether a file is one that systems or a killed run leave behind in folders."""
    return file.name.startswith(("._", TEMPORARY_PREFIX)) or file.name.lower() in _OF_SYSTEMS


def images_in(folder: str | Path) -> Iterator[Path]:
    """Yield the image files of a folder and its subfolders, sorted, by their suffixes."""
    return files_in(folder, READABLE_SUFFIXES)
