"""The folder of a job: what is finished, and what it was begun with."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..io.atomic_files import TEMPORARY_PREFIX, replacing
from ..io.run_settings import begin_or_go_on, write_json
from .file_names import image_path


class Colored(NamedTuple):
    """The result of a row, width and height in pixels."""

    key: str
    png: bytes
    width: int
    height: int


class Failed(NamedTuple):
    """A row without a result."""

    key: str
    reason: str


class Report(NamedTuple):
    """How many rows of a part have a result, and how many have none."""

    done: int
    failed: int


@dataclass(frozen=True)
class Output(ABC):
    """The folder of a job.

        job.json        what the job was begun with
        parts/          a file for every finished part, with the rows of it that failed
        images/       the results
        errors.parquet  key and reason of every row that failed, at the end

    A part counts once its file in parts/ is there, and that is written last. All files are there
    whole or not at all, and whoever writes a part again writes the same.

    Args:
        folder: new, or of the same job.
    """

    folder: Path

    @abstractmethod
    def _write_images(self, part: int, results: Iterator[Colored | Failed]) -> None:
        """Write the results of a part, and see to it that there are none of rows that failed."""

    def begin(self, settings: dict[str, Any]) -> None:
        """Begin a job, or check that it is the one that was begun here.

        Args:
            settings: what results depend on, as JSON takes it.

        Raises:
            ValueError: if the folder holds another job, or something else.
        """
        record = self.folder / "job.json"
        new = not record.exists() and self.folder.exists()
        if new and (not self.folder.is_dir() or _holds_files(self.folder)):
            raise ValueError(f"{self.folder}: holds other files; choose a new folder")
        begin_or_go_on(record, settings)

    def write(self, part: int, results: Iterable[Colored | Failed]) -> Report:
        """Write a part; OSError if that is not possible."""
        done, failures = 0, []

        def counted() -> Iterator[Colored | Failed]:
            nonlocal done
            for result in results:
                if isinstance(result, Failed):
                    failures.append(result)
                else:
                    done += 1
                yield result

        self._write_images(part, counted())
        write_json(self._record(part), {"done": done, "failed": failures})
        return Report(done, len(failures))

    def notes(self, part: int) -> Path:
        """The file of the `Attempts` at a part."""
        return self._record(part).with_suffix(".attempts")

    def report(self, part: int) -> Report | None:
        """What became of a part; None if it is not finished."""
        if not self._record(part).exists():
            return None
        record = json.loads(self._record(part).read_text())
        return Report(record["done"], len(record["failed"]))

    def finish(self, parts: int) -> None:
        """Write the table of errors of all parts, and remove what killed processes left behind."""
        import pyarrow
        from pyarrow import parquet

        failures = [
            {"key": key, "reason": reason}
            for part in range(parts)
            for key, reason in json.loads(self._record(part).read_text())["failed"]
        ]
        schema = pyarrow.schema([("key", pyarrow.string()), ("reason", pyarrow.string())])
        with replacing(self.folder / "errors.parquet") as temporary:
            parquet.write_table(pyarrow.Table.from_pylist(failures, schema), temporary)
        for pattern in (f"{TEMPORARY_PREFIX}*", "parts/*.attempts"):
            for leftover in self.folder.rglob(pattern):
                leftover.unlink(missing_ok=True)

    def _record(self, part: int) -> Path:
        return self.folder / "parts" / f"{part:06}.json"


class FolderOutput(Output):
    """Results as images/KEY.png, see `image_path`."""

    def _write_images(self, part: int, results: Iterator[Colored | Failed]) -> None:
        for result in results:
            path = self.folder / "images" / image_path(result.key)
            if isinstance(result, Failed):
                path.unlink(missing_ok=True)  # it may have gone well the last time
                continue
            with replacing(path) as temporary:
                temporary.write_bytes(result.png)


class ParquetOutput(Output):
    """Results as images/000000.parquet and so on, one for every part that has any.

    Columns: `key`; `image`, {"bytes", "path"} as `datasets` stores images, PNG; `width` and
    `height` in pixels.
    """

    def _write_images(self, part: int, results: Iterator[Colored | Failed]) -> None:
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
            if isinstance(result, Colored)
        ]
        if not rows:
            return
        features = datasets.Features(
            key=datasets.Value("string"),
            image=datasets.Image(),
            width=datasets.Value("int32"),
            height=datasets.Value("int32"),
        )
        table = pyarrow.Table.from_pylist(rows, features.arrow_schema)
        with replacing(self.folder / "images" / f"{part:06}.parquet") as temporary:
            parquet.write_table(table, temporary)


OUTPUTS = {"parquet": ParquetOutput, "folder": FolderOutput}


def _holds_files(folder: Path) -> bool:
    return any(not path.name.startswith(TEMPORARY_PREFIX) for path in folder.iterdir())
