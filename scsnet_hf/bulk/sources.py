"""Which kind of input a job has, and the parts it is cut into."""

import glob
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..io.folders import files_in, images_in
from .hub_data_sets import data_set_parts
from .image_folders import image_parts
from .parquet_files import parquet_parts
from .parts import Part, as_text
from .tar_shards import tar_parts

_SHARDS: dict[str, Callable[..., list[Part]]] = {".parquet": parquet_parts, ".tar": tar_parts}
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


@dataclass(frozen=True)
class Source:
    """The input of a job.

    Args:
        paths: one of
            - a folder of parquet files, else of .tar files (webdataset), else of images; searched
              in depth;
            - files or patterns, all of .parquet or all of .tar;
            - the id of a data set on the Hub, "owner/name".
        image_column: column of the images, see `find_image_column` and `tar_parts`.
        config: configuration of a data set on the Hub.
        split: split of a data set on the Hub, "train" if None.
    """

    paths: tuple[str, ...]
    image_column: str | None = None
    config: str | None = None
    split: str | None = None

    def parts(self, rows_per_part: int, leave_out: Path) -> list[Part]:
        """Cut it into parts, the same ones in whatever order its files are listed.

        Args:
            rows_per_part: rows in a part, at most.
            leave_out: folder whose files are not taken, that of the results.

        Raises:
            ValueError: if there is nothing, or what there is does not go with the arguments.
        """
        if rows_per_part < 1:
            raise ValueError(f"rows_per_part={rows_per_part}: must be 1 or more")
        if self._is_on_the_hub():
            split = self.split or "train"
            parts = data_set_parts(
                self.paths[0], self.config, split, rows_per_part, self.image_column
            )
        else:
            parts = self._local_parts(rows_per_part, leave_out)
        if not parts:
            raise ValueError(f"{', '.join(self.paths)}: there are no images")
        return parts

    def _is_on_the_hub(self) -> bool:
        path = Path(self.paths[0])
        is_id = _HUB_ID.fullmatch(self.paths[0]) and path.suffix.lower() not in _SHARDS
        return len(self.paths) == 1 and bool(is_id) and not path.exists()

    def _local_parts(self, rows_per_part: int, leave_out: Path) -> list[Part]:
        if self.config or self.split:
            raise ValueError("config and split are of data sets on the Hub; name files instead")
        folder = Path(self.paths[0]).absolute()  # workers may run elsewhere
        if len(self.paths) > 1 or not folder.is_dir():
            shards = _outside({file for path in self.paths for file in _expand(path)}, leave_out)
            return self._shard_parts(_common_folder(shards), shards, rows_per_part)
        for suffix in _SHARDS:
            shards = _outside(files_in(folder, frozenset({suffix})), leave_out)
            if shards:
                return self._shard_parts(folder, shards, rows_per_part)
        if self.image_column:
            raise ValueError(f"{folder}: images in a folder have no image column")
        return image_parts(folder, _outside(images_in(folder), leave_out), rows_per_part)

    def _shard_parts(self, folder: Path, shards: list[Path], rows_per_part: int) -> list[Part]:
        suffixes = {shard.suffix.lower() for shard in shards}
        if len(suffixes) > 1:
            raise ValueError(f"{', '.join(self.paths)}: give either .parquet or .tar files")
        named = sorted((as_text(shard.relative_to(folder).as_posix()), shard) for shard in shards)
        return [
            part
            for suffix in suffixes
            for part in _SHARDS[suffix](named, rows_per_part, self.image_column)
        ]


def _expand(pattern: str) -> list[Path]:
    """The files of a path or pattern, absolute."""
    if Path(pattern).suffix.lower() not in _SHARDS:
        raise ValueError(
            f"{pattern}: neither a folder, nor .parquet or .tar files, nor a data set of the Hub "
            "(owner/name)"
        )
    escaped = glob.escape(pattern) if Path(pattern).exists() else pattern
    files = glob.glob(escaped, recursive=True)  # noqa: PTH207 (may be absolute)
    if not files:
        raise ValueError(f"{pattern}: there is no such file")
    return [Path(file).absolute() for file in files]


def _outside(files: Iterable[Path], folder: Path) -> list[Path]:
    inside = os.path.join(os.path.abspath(folder), "")  # noqa: PTH100, PTH118 (of many files, fast)
    return [file for file in files if not os.path.abspath(file).startswith(inside)]  # noqa: PTH100


def _common_folder(files: list[Path]) -> Path:
    return Path(os.path.commonpath([file.parent for file in files])) if files else Path()
