"""Data sets that `datasets` loads, on the Hub above all: the key of a row is split/number, from 0.

They are downloaded as a whole into the cache of `datasets`, on every machine that works on them.
"""

from functools import cache
from typing import TYPE_CHECKING

from .parquet_parts import find_image_column, image_bytes
from .parts import InputError, Part, chunks

if TYPE_CHECKING:
    import datasets


def hub_parts(
    path: str, config: str | None, split: str, rows_per_part: int, image_column: str | None
) -> list[Part]:
    """Return the parts of a split; raise ValueError if it cannot be loaded or has no images."""
    data = _load(path, config, split)
    column = find_image_column(data.features.arrow_schema, image_column, path)
    source = (path, config, split, column, data._fingerprint)
    return [
        Part(_read, source, f"{split}/", numbers, numbers, str(source))
        for numbers in chunks(range(len(data)), rows_per_part)
    ]


def _read(
    path: str, config: str | None, split: str, column: str, fingerprint: str, number: int
) -> bytes:
    data = _load(path, config, split)
    if data._fingerprint != fingerprint:
        raise InputError(
            f"{path}: this machine has another version than the one the job started with; "
            "delete the older one from the cache of `datasets`"
        )
    return image_bytes(data[number][column])


@cache
def _load(path: str, config: str | None, split: str) -> "datasets.Dataset":
    """Load a split without decoding its images."""
    import datasets

    try:
        data = datasets.load_dataset(path, config, split=split)
    except Exception as error:  # from the Hub, the network or the data
        raise InputError(
            f"{path}: neither a folder here nor a data set on the Hub that can be loaded; if it is "
            f"gated, accept its terms and run `hf auth login` ({error})"
        ) from error
    for name, feature in data.features.items():
        if isinstance(feature, datasets.Image):
            data = data.cast_column(name, datasets.Image(decode=False))
    return data
