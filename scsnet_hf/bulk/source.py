"""Which parts a data set consists of."""

import os
from dataclasses import dataclass
from pathlib import Path

from ..data.files import SourceFiles, find_files
from .hub_parts import hub_parts
from .parquet_parts import parquet_parts
from .parts import Part, as_utf8, image_parts
from .tar_parts import tar_parts

_SHARD_PARTS = {".parquet": parquet_parts, ".tar": tar_parts}


@dataclass(frozen=True)
class Source:
    """A data set to colorize.

        Source(("shards/*.tar",), image_column="jpg")

    Args:
        paths: a folder of parquet files, else of .tar files (webdataset), else of images; files or
            patterns, all .parquet or all .tar; or the id of a data set on the Hub, "owner/name".
        image_column: column of the images, see `find_image_column` and `tar_parts`.
        config: configuration of a data set on the Hub.
        split: split of a data set on the Hub; None for "train".
    """

    paths: tuple[str, ...]
    image_column: str | None = None
    config: str | None = None
    split: str | None = None

    def parts(self, rows_per_part: int, leave_out: Path) -> list[Part]:
        """Return its parts, the same ones in whatever order files are listed.

        Args:
            rows_per_part: maximum number of rows in a part.
            leave_out: folder whose files are not taken, that of the results.

        Raises:
            ValueError: if there are no images, or the arguments do not fit the files.
        """
        if rows_per_part < 1:
            raise ValueError(f"rows_per_part={rows_per_part}: must be 1 or more")
        paths = self.paths[0] if len(self.paths) == 1 else list(self.paths)
        found = find_files(paths, leave_out)
        if found is None:
            split = self.split or "train"
            parts = hub_parts(paths, self.config, split, rows_per_part, self.image_column)
        else:
            parts = self._file_parts(found, rows_per_part)
        if not parts:
            raise ValueError(f"{', '.join(self.paths)}: there are no images")
        return parts

    def _file_parts(self, found: SourceFiles, rows_per_part: int) -> list[Part]:
        if self.config or self.split:
            raise ValueError("config and split are of data sets on the Hub; name files instead")
        if not found.paths:
            return []
        files = {Path(path).absolute() for path in found.paths}  # workers run in other folders
        folder = found.folder or os.path.commonpath([path.parent for path in files])
        named = {path.relative_to(Path(folder).absolute()).as_posix(): path for path in files}
        if found.suffix:
            shards = sorted((as_utf8(name), path) for name, path in named.items())
            return _SHARD_PARTS[found.suffix](shards, rows_per_part, self.image_column)
        if self.image_column:
            raise ValueError(f"{folder}: images in a folder have no image column")
        return image_parts(Path(folder).absolute(), named, rows_per_part)
