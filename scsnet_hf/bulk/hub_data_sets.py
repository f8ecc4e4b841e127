"""Data sets that `datasets` loads, of the Hub above all: the key of a row is split/number, from 0.

They are downloaded whole, into the cache of `datasets`, on every machine that works on them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from .parquet_files import find_image_column, image_bytes, runs
from .parts import Fetch, Part

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class DataSetRows(Part):
    """Rows of a data set.

    Args:
        path: its id on the Hub.
        config: its configuration; None for the default.
        split: its split.
        fingerprint: what `datasets` calls its content; another version has another.
        column: of the images.
        numbers: of the rows.
    """

    path: str
    config: str | None
    split: str
    fingerprint: str
    column: str
    numbers: range

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self) -> Iterator[tuple[str, Fetch]]:
        """See `Part`.

        Raises:
            ValueError: if the data set is another one on this machine.
        """
        import datasets

        data = _load(self.path, self.config, self.split)
        if data._fingerprint != self.fingerprint:
            raise ValueError(
                f"{self.path}: another version than where the job began; "
                "delete the older one from the cache of `datasets`"
            )
        undecoded = data.cast_column(self.column, datasets.Image(decode=False))
        for number in self.numbers:
            yield f"{self.split}/{number}", partial(_image, undecoded, number, self.column)


def data_set_parts(
    path: str, config: str | None, split: str, rows_per_part: int, image_column: str | None
) -> list[Part]:
    """Parts of a split of a data set.

    Raises:
        ValueError: if it cannot be loaded, or has no such column.
    """
    data = _load(path, config, split)
    column = find_image_column(data.features.arrow_schema, image_column, path)
    return [
        DataSetRows(path, config, split, data._fingerprint, column, numbers)
        for numbers in runs(len(data), rows_per_part)
    ]


@cache
def _load(path: str, config: str | None, split: str) -> "datasets.Dataset":
    import datasets

    try:
        return datasets.load_dataset(path, config, split=split)
    except Exception as error:  # of the Hub, of the network, of the data
        raise ValueError(
            f"{path}: neither here nor a data set of the Hub that can be loaded; a gated one needs "
            f"its terms accepted and `hf auth login` ({error})"
        ) from error


def _image(data: "datasets.Dataset", number: int, column: str) -> bytes:
    return image_bytes(data[number][column])
