"""Streams of encoded photographs with `datasets`, and their decoding."""

import glob
import heapq
import random
import re
import tarfile
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from transformers.utils import logging

from ..image_io import load_image
from ..image_processing_scsnet import drop_alpha
from ..io.extras import needs_extra
from .files import SHARD_KINDS, SourceFiles, SourcePath, find_files, is_url
from .selection import Selection
from .sources import DataSource, resolve_source

if TYPE_CHECKING:
    import datasets

logger = logging.get_logger(__name__)

_HELD_OUT = {"validation": {"validation", "valid", "val"}, "test": {"test"}}
_MAX_REMOTE_SHARDS = 16  # reading the footer of a remote parquet file takes a request or two
_TAR_END = bytes(1024)  # a tar archive ends in two empty blocks


def stream_photographs(
    source: SourcePath | DataSource,
    image_column: str | None = None,
    selection: Selection | None = None,
) -> "datasets.IterableDataset":
    """Stream the encoded color photographs of a source in their order.

    Files below the selection's size are excluded here. Colorfulness takes decoding, so callers that
    decode apply `Selection.rejection_reason`.

    A shard of the stream is an image file, a row group of a parquet file where that is quick to
    find out, or else a whole .parquet or .tar file; loader workers share the shards.

    Args:
        source: one of
            - a name of `SOURCES` (for a folder of the same name write ./name);
            - a folder of parquet files, else of .tar files (webdataset), else of images. Parquet
              and .tar files named after validation or test (validation-0.parquet, test/0.parquet)
              belong to that split and all others to train; images are not split;
            - a file or pattern (on this machine or a URL) of .parquet or .tar, or a list of them;
            - the id of a data set on the Hub, "owner/name";
            - a `DataSource`, which has more options.
        image_column: replaces that of the source, unless None.
        selection: replaces that of the source, unless None.

    Returns:
        A `datasets.IterableDataset` with the one column `image`: {"bytes", "path"}; images of a
        folder have a path and no bytes.

    Raises:
        TypeError: if `source` is of another type.
        ValueError: if the source does not exist or cannot be accessed, has no such column, or if a
            local parquet or .tar file is truncated. Damage inside a file is found when the stream
            reaches it, and raises an error of pyarrow (OSError, ValueError) or tarfile.
    """
    with needs_extra("eval", "data sets"):
        import datasets

    chosen = resolve_source(source, image_column, selection)
    stream = _load(chosen)
    column = _find_column(stream, chosen)
    stream = stream.select_columns(column)
    if column != "image":
        stream = stream.rename_column(column, "image")
    stream = stream.cast_column("image", datasets.Image(decode=False))
    if chosen.selection.min_bytes > 0:
        is_large = partial(_is_large, min_bytes=chosen.selection.min_bytes)
        stream = stream.filter(is_large, input_columns=["image"])
    return stream


def iterate_photographs(
    source: SourcePath | DataSource, shuffle_seed: int | None = None, limit: int | None = None
) -> Iterator[Image.Image]:
    """Yield the selected images of a source, decoded by `open_photograph`.

    Args:
        source: see `stream_photographs`.
        shuffle_seed: seed of the choice of images and of their order; None takes the first ones.
        limit: number of images, all if None. With a seed each choice of as many images is equally
            likely, so all of the source is read first, and the chosen files are in memory.

    Raises:
        ValueError, OSError: at an image that cannot be read.
    """
    chosen = resolve_source(source)
    if shuffle_seed is None:
        images = (open_photograph(row["image"]) for row in stream_photographs(chosen))
        yield from islice((one for one in images if _is_selected(one, chosen)), limit)
    else:
        yield from map(open_photograph, choose_photographs(chosen, shuffle_seed, limit))


def choose_photographs(
    source: SourcePath | DataSource, seed: int, limit: int | None = None
) -> list[dict | None]:
    """Choose encoded images of a source at random, each choice of as many being equally likely.

    Each row gets a random number, and the selected rows with the lowest ones are taken. Only rows
    that may be among them are decoded.

    Args:
        source: see `stream_photographs`.
        seed: seed of the choice and of its order.
        limit: number of images, all if None; fewer are returned if there are fewer.
    """
    source, rng = resolve_source(source), random.Random(seed)
    chosen: list[tuple[float, int, dict | None]] = []  # a heap with the highest number first
    for index, row in enumerate(stream_photographs(source)):
        encoded = row["image"]
        entry = (-rng.random(), index, encoded)
        is_full = limit is not None and len(chosen) >= limit
        if is_full and (not chosen or entry < chosen[0]):
            continue
        if source.selection.min_colorfulness and not _is_selected(open_photograph(encoded), source):
            continue
        (heapq.heapreplace if is_full else heapq.heappush)(chosen, entry)
    return [encoded for *_, encoded in sorted(chosen, reverse=True)]


def _is_selected(image: Image.Image, source: DataSource) -> bool:
    return source.selection.rejection_reason(image) is None


def open_photograph(encoded: dict | None) -> Image.Image:
    """Decode the `image` column of a row to an RGB image, in the same way as `load_image`.

    The image is upright and in sRGB; gray of 16 bits is reduced to 8, and what is hidden by
    transparency is filled with its visible surroundings.

    Args:
        encoded: {"bytes", "path"}, of which one is given.

    Raises:
        ValueError: if there is no image, or it is damaged or of an unsupported format.
        OSError: if its file cannot be read.
    """
    return drop_alpha(load_image(encoded_bytes(encoded))).convert("RGB")


def encoded_size(encoded: dict | None) -> int:
    """Return the file size of an `image` column {"bytes", "path"} in bytes, 0 without an image."""
    if not _has_image(encoded):
        return 0
    if encoded["bytes"] is not None:
        return len(encoded["bytes"])
    if is_url(encoded["path"]):
        import fsspec

        system, path = fsspec.core.url_to_fs(encoded["path"])
        return system.size(path)
    return Path(encoded["path"]).stat().st_size


def encoded_bytes(encoded: dict | None) -> bytes:
    """Return the file of an `image` column {"bytes", "path"}; ValueError without an image."""
    if not _has_image(encoded):
        raise ValueError("the row has no image")
    if encoded["bytes"] is not None:
        return encoded["bytes"]
    if is_url(encoded["path"]):
        import fsspec

        with fsspec.open(encoded["path"], "rb") as file:
            return file.read()
    return Path(encoded["path"]).read_bytes()


def _has_image(encoded: dict | None) -> bool:
    return encoded is not None and (encoded["bytes"] is not None or encoded["path"] is not None)


def _is_large(encoded: dict | None, min_bytes: int) -> bool:
    return encoded_size(encoded) >= min_bytes


def damaged_shards(source: DataSource) -> list[Path]:
    """Return the local parquet files of a source that cannot be read to their end.

    Arrow's errors in the middle of a file do not name it. This reads all files to find it.
    """
    import pyarrow
    from pyarrow import parquet

    found = find_files(source.path)
    damaged = []
    for path in found.paths if found and found.suffix == ".parquet" else []:
        if is_url(path):
            continue
        try:
            shard = parquet.ParquetFile(path)
            for group in range(shard.num_row_groups):
                shard.read_row_group(group)
        except (pyarrow.ArrowInvalid, OSError):
            damaged.append(Path(path))
    return damaged


def _load(source: DataSource) -> "datasets.IterableDataset":
    found = find_files(source.path)
    if found is None:
        return _load_from_hub(str(source.path), source)
    if not found.suffix:
        return _stream_files(found.paths)
    paths = found.paths if found.folder is None else _shards_of_split(found, source.split)
    for path in paths:
        if not is_url(path):
            _check_shard(Path(path))
    escaped = [path if is_url(path) else glob.escape(path) for path in paths]
    return _load_local(SHARD_KINDS[found.suffix], ", ".join(paths), escaped)


def _stream_files(paths: list[str]) -> "datasets.IterableDataset":
    """Stream image files, each of which is a shard, so they are shuffled and shared one by one."""
    import datasets

    features = datasets.Features(image=datasets.Image(decode=False))
    return datasets.IterableDataset.from_generator(
        _file_rows, features=features, gen_kwargs={"paths": paths}
    )


def _file_rows(paths: list[str]) -> Iterator[dict]:
    for path in paths:
        yield {"image": {"bytes": None, "path": path}}


def _shards_of_split(found: SourceFiles, split: str) -> list[str]:
    splits = split.split("+")
    chosen = [path for path in found.paths if _split_name(path, found.folder) in splits]
    if not chosen:
        raise ValueError(
            f"{found.folder}: has {found.suffix} files, but none of the split {split!r}"
        )
    return chosen


def _split_name(path: str, folder: Path) -> str:
    words = set(re.split(r"[\W_]+", str(Path(path).relative_to(folder)).lower()))
    return next((split for split, names in _HELD_OUT.items() if names & words), "train")


def _check_shard(path: Path) -> None:
    """Raise ValueError if a parquet or .tar file is truncated, as after an interrupted download.

    The errors of `datasets` do not name the file, and a .tar truncated between two images would be
    read as a shorter one.
    """
    if path.suffix.lower() == ".tar":
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(_TAR_END)))
            if file.read() != _TAR_END:
                raise ValueError(f"{path}: truncated or no .tar file; fetch or write it again")
        return
    import pyarrow
    from pyarrow import parquet

    try:
        rows = parquet.read_metadata(path).num_rows
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(
            f"{path}: damaged or no parquet file, fetch or write it again ({error})"
        ) from error
    if rows == 0:
        raise ValueError(f"{path}: has no rows; remove it")


def _load_local(builder: str, name: str, files: list[str]) -> "datasets.IterableDataset":
    import datasets

    try:
        stream = datasets.load_dataset(builder, data_files=files, split="train", streaming=True)
    except FileNotFoundError as error:
        raise ValueError(f"{name}: no such file ({error})") from error
    except tarfile.ReadError as error:
        raise ValueError(f"{name}: a .tar file is damaged ({error})") from error
    return stream.reshard() if hasattr(stream, "reshard") else stream


def _load_from_hub(path: str, source: DataSource) -> "datasets.IterableDataset":
    import datasets
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import HfHubHTTPError

    try:
        splits = [
            datasets.load_dataset(path, source.config, split=split, streaming=True)
            for split in source.split.split("+")
        ]
        stream = splits[0] if len(splits) == 1 else datasets.concatenate_datasets(splits)
    except (DatasetNotFoundError, HfHubHTTPError) as error:
        raise ValueError(
            f"{path}: there is no such folder, and no such data set on the Hub that you may read. "
            f"If it is gated, accept the terms at https://huggingface.co/datasets/{path}, then "
            f"`hf auth login` or set HF_TOKEN ({error})"
        ) from error
    except ConnectionError as error:
        offline = datasets.config.HF_HUB_OFFLINE
        advice = "HF_HUB_OFFLINE is set: unset it" if offline else "check the network"
        raise ValueError(
            f"{path}: there is no such folder, and the Hub cannot be reached; {advice}, "
            f"or give a local copy ({error})"
        ) from error
    if source.selection != Selection():
        logger.warning(
            "%s: each pass downloads all images, also those that the selection leaves out; "
            "scripts/prepare_data.py makes a local copy of the others in one pass",
            path,
        )
    is_small = stream.num_shards <= _MAX_REMOTE_SHARDS
    return stream.reshard() if is_small and hasattr(stream, "reshard") else stream


def _find_column(stream: "datasets.IterableDataset", source: DataSource) -> str:
    import datasets

    features = stream.features or {}
    images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    candidates = [source.image_column] if source.image_column else ["image", *images]
    for name in candidates:
        if name in features:
            return name
    raise ValueError(
        f"{source.path}: no column {candidates[0]!r} of images, only "
        f"{', '.join(map(repr, features)) or 'unknown ones'}; choose one with image_column"
    )
