"""The folder of a job: finished parts, images, table of errors."""

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..io.atomic_files import TEMPORARY_PREFIX, replacing
from ..io.run_settings import check_same_settings, write_json

_UNSAFE = re.compile(r'[\x00-\x1f\x7f%\\:*?"<>|]')
_MAX_NAME_BYTES, _MAX_PATH_BYTES = 200, 1000  # well below what file systems take


class Colorized(NamedTuple):
    """The result of a row: a PNG file, its width and height in pixels."""

    key: str
    png: bytes
    width: int
    height: int


class Failed(NamedTuple):
    """A row without a result."""

    key: str
    reason: str


class Counts(NamedTuple):
    """How many rows of a part have a result, and how many failed."""

    done: int
    failed: int


@dataclass(frozen=True)
class Output(ABC):
    """The folder of a job.

        job.json        the settings of the job
        parts/          a file for every finished part, with the rows of it that failed
        images/         the results
        errors.parquet  key and reason of every row that failed, written at the end

    A part is finished when its file in parts/ exists, which is written last. All files are written
    atomically, and a part that is written again gets the same files.

    Args:
        folder: a new folder, or that of the same job.
    """

    folder: str | Path

    def __post_init__(self):
        object.__setattr__(self, "folder", Path(self.folder))

    @abstractmethod
    def _write_images(self, part: int, results: Iterator[Colorized | Failed]) -> int:
        """Write the results of a part, remove those of rows that failed; return their number."""

    def start(self, settings: dict[str, Any]) -> None:
        """Start a job in the folder, or check that it is the job that was started there.

        Args:
            settings: everything that results depend on, as JSON values.

        Raises:
            ValueError: if the folder holds another job, or other files.
        """
        record = self.folder / "job.json"
        if self.folder.exists() and not record.exists():
            names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else [""]
            if not all(name.startswith(TEMPORARY_PREFIX) for name in names):
                raise ValueError(f"{self.folder}: holds other files; choose a new folder")
        check_same_settings(record, settings)

    def write(self, part: int, results: Iterable[Colorized | Failed]) -> Counts:
        """Write a part; raise OSError if that is not possible."""
        failed = []

        def noted() -> Iterator[Colorized | Failed]:
            for result in results:
                if isinstance(result, Failed):
                    failed.append(result)
                yield result

        done = self._write_images(part, noted())
        write_json(self._record(part), {"done": done, "failed": failed})
        return Counts(done, len(failed))

    def counts(self, part: int) -> Counts | None:
        """Return the counts of a part; None if it is not finished."""
        if not self._record(part).exists():
            return None
        record = json.loads(self._record(part).read_text())
        return Counts(record["done"], len(record["failed"]))

    def crash_log(self, part: int) -> Path:
        """Return the path of the `CrashLog` of a part."""
        return self._record(part).with_suffix(".crashes")

    def finish(self, parts: int) -> None:
        """Write the table of errors of all parts, and remove what killed processes left behind."""
        import pyarrow
        from pyarrow import parquet

        failed = [
            {"key": key, "reason": reason}
            for part in range(parts)
            for key, reason in json.loads(self._record(part).read_text())["failed"]
        ]
        schema = pyarrow.schema([("key", pyarrow.string()), ("reason", pyarrow.string())])
        with replacing(self.folder / "errors.parquet") as temporary:
            parquet.write_table(pyarrow.Table.from_pylist(failed, schema), temporary)
        for pattern in (f"{TEMPORARY_PREFIX}*", "parts/*.crashes"):
            for leftover in self.folder.rglob(pattern):
                leftover.unlink(missing_ok=True)

    def _record(self, part: int) -> Path:
        return self.folder / "parts" / f"{part:06}.json"


class FolderOutput(Output):
    """Results as images/KEY.png, see `image_path`."""

    def _write_images(self, part: int, results: Iterator[Colorized | Failed]) -> int:
        done = 0
        for result in results:
            path = self.folder / "images" / image_path(result.key)
            if isinstance(result, Failed):
                path.unlink(missing_ok=True)  # it may have succeeded before a crash
                continue
            with replacing(path) as temporary:
                temporary.write_bytes(result.png)
            done += 1
        return done


class ParquetOutput(Output):
    """Results as images/000000.parquet and so on, one for every part that has any.

    Columns: `key`; `image`, {"bytes", "path"} as `datasets` stores images, PNG; `width` and
    `height` in pixels.
    """

    def _write_images(self, part: int, results: Iterator[Colorized | Failed]) -> int:
        import datasets
        import pyarrow
        from pyarrow import parquet

        rows = [
            {
                "key": result.key,
                "image": {"bytes": result.png, "path": image_path(result.key).name},
                "width": result.width,
                "height": result.height,
            }
            for result in results
            if isinstance(result, Colorized)
        ]
        path = self.folder / "images" / f"{part:06}.parquet"
        if not rows:
            path.unlink(missing_ok=True)  # rows may have succeeded before a crash
            return 0
        features = datasets.Features(
            key=datasets.Value("string"),
            image=datasets.Image(),
            width=datasets.Value("int32"),
            height=datasets.Value("int32"),
        )
        table = pyarrow.Table.from_pylist(rows, features.arrow_schema)
        with replacing(path) as temporary:
            parquet.write_table(table, temporary)
        return len(rows)


OUTPUTS = {"parquet": ParquetOutput, "folder": FolderOutput}


def image_path(key: str) -> PurePosixPath:
    """Return the path of an image, relative to the folder of images: its key and `.png`.

    It never leads out of the folder, whatever the key is, and no two keys share one. What is not
    safe in a file name is written as % and its code, as in a URL: `../a:b` becomes
    `%2E./a%3Ab.png`. So are hidden names (a leading dot) and folders that end in .png. A key that
    is too long for a file system becomes a hash.
    """
    *folders, name = map(_quoted, key.split("/"))
    folders = [re.sub(r"\.png$", "%2Epng", folder) for folder in folders]
    path = PurePosixPath(*folders, f"{name}.png")
    longest = max(len(part.encode()) for part in path.parts)
    if longest > _MAX_NAME_BYTES or len(str(path).encode()) > _MAX_PATH_BYTES:
        return PurePosixPath(f"%-{hashlib.sha256(key.encode()).hexdigest()}.png")
    return path


def _quoted(name: str) -> str:
    quoted = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", name)
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted or "%"
