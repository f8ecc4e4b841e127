"""Which photographs there are: `stream_photographs`."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    import datasets


def stream_photographs(source: str | list[str]) -> "datasets.IterableDataset":
    """Stream colour photographs that `datasets` can read, undecoded.

    Args:
        source: a folder of pictures, a pattern or list of patterns of parquet files, or the id of
            a data set on the Hub. Its pictures stand in the column `image`.

    Returns:
        A `datasets.IterableDataset` with the one column `image`: {"bytes", "path"}.

    Raises:
        ValueError: if there is no such column.
    """
    import datasets

    if isinstance(source, list) or str(source).endswith(".parquet"):
        stream = datasets.load_dataset("parquet", data_files=source, split="train", streaming=True)
    elif Path(source).is_dir():
        stream = datasets.load_dataset(
            "imagefolder", data_dir=str(source), split="train", streaming=True
        )
    else:
        stream = datasets.load_dataset(source, split="train", streaming=True)
    if "image" not in (stream.column_names or ()):
        raise ValueError(f"{source}: no column 'image', only {stream.column_names}")
    return stream.select_columns("image").cast_column("image", datasets.Image(decode=False))


def open_photograph(image: dict) -> Image.Image:
    """Decode the `image` column of a row, {"bytes", "path"}, to an RGB picture."""
    content = image["bytes"] or Path(image["path"]).read_bytes()
    with Image.open(io.BytesIO(content)) as picture:
        return picture.convert("RGB")


def iterate_photographs(source: str | list[str]) -> Iterator[Image.Image]:
    """The RGB pictures of a source, in its order; unreadable ones raise."""
    for row in stream_photographs(source):
        yield open_photograph(row["image"])
