"""Which files a source consists of: the one resolver for training, evaluation and bulk jobs."""

import glob
import os
import re
from pathlib import Path
from typing import NamedTuple

from ..image_io import READABLE_SUFFIXES, is_url

SourcePath = str | os.PathLike | list[str]

SHARD_KINDS = {".parquet": "parquet", ".tar": "webdataset"}  # suffix: builder of `datasets`

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


class SourceFiles(NamedTuple):
    """Files of one kind.

    Args:
        suffix: ".parquet", ".tar" (webdataset) or "" for image files.
        folder: the folder that was searched; None for files that were named.
        paths: the files: sorted within a folder or pattern, URLs as they were given.
    """

    suffix: str
    folder: Path | None
    paths: list[str]


def find_files(source: SourcePath, leave_out: Path | None = None) -> SourceFiles | None:
    """Find the files of a source; return None if it is the id of a data set on the Hub.

    Args:
        source: a folder, searched recursively for parquet files, else for .tar files, else for
            images; a file or pattern (on this machine or a URL) of .parquet or .tar, or a list of
            them; or "owner/name". Hidden files in a folder are skipped.
        leave_out: a folder whose files are not taken.

    Raises:
        ValueError: if `source` is none of these, or a file does not exist.
    """
    if not isinstance(source, list):
        path = Path(source)
        if path.is_dir():
            return _files_in_folder(path, leave_out)
        if path.suffix.lower() not in SHARD_KINDS:
            if _HUB_ID.fullmatch(str(source)):
                return None
            raise ValueError(
                f"{source}: neither a folder, nor .parquet or .tar files, nor the id of a data set "
                "on the Hub (owner/name)"
            )
        source = [str(source)]
    suffixes = {Path(pattern).suffix.lower() for pattern in source}
    if len(suffixes) != 1 or not suffixes <= SHARD_KINDS.keys():
        raise ValueError(f"{', '.join(source)}: give either .parquet files or .tar files")
    files = [file for pattern in source for file in _expand(pattern)]
    return SourceFiles(suffixes.pop(), None, _without(files, leave_out))


def _files_in_folder(folder: Path, leave_out: Path | None) -> SourceFiles:
    files = [
        str(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    files = _without(files, leave_out)
    for suffix, suffixes in (
        (".parquet", [".parquet"]),
        (".tar", [".tar"]),
        ("", READABLE_SUFFIXES),
    ):
        found = [file for file in files if Path(file).suffix.lower() in suffixes]
        if found:
            return SourceFiles(suffix, folder, found)
    raise ValueError(f"{folder}: there are no images, .parquet or .tar files")


def _without(files: list[str], folder: Path | None) -> list[str]:
    if folder is None:
        return files
    inside = os.path.join(os.path.abspath(folder), "")  # noqa: PTH100, PTH118 (of many files, fast)
    return [file for file in files if not os.path.abspath(file).startswith(inside)]  # noqa: PTH100


def _expand(pattern: str) -> list[str]:
    if is_url(pattern) or Path(pattern).is_file():
        return [pattern]
    files = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (may be absolute)
    if not files:
        raise ValueError(f"{pattern}: there is no such file")
    return files
