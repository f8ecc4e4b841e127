"""Endless shuffled training samples of a stream of photographs, whose position can be saved.

Samples are uint8 sRGB. The trainer converts a batch to normalized Lab on its device, and makes the
reference there.
"""

import json
import random
import warnings
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers.utils import logging

from ..io.extras import needs_extra
from .pairs import PairMaker
from .photographs import encoded_bytes, open_photograph
from .selection import Selection

if TYPE_CHECKING:
    import datasets
    from torchdata.stateful_dataloader import StatefulDataLoader

logger = logging.get_logger(__name__)

_MAX_SKIPPED_IN_A_ROW = 1000
_DECODED_AT_ONCE = 8
_MAX_SHARDS = 1024  # of a Dataset; more make no difference to the order


class SkippedImages:
    """A log of the images that could not be used, which all loader processes append to.

    Args:
        path: the log file, one line of JSON, [image, reason], for each image.

    Example:
        >>> skipped = SkippedImages("run/skipped.jsonl")
        >>> skipped.add("a.png", "7x7 is too small")
        >>> skipped.read()
        {'a.png': '7x7 is too small'}
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def add(self, image: str, reason: str) -> None:
        """Append an image and the reason why it is skipped."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps([image, reason]) + "\n")

    def read(self) -> dict[str, str]:
        """Return image -> reason, ignoring lines that were written only in part."""
        reasons = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            with suppress(json.JSONDecodeError):
                image, reason = json.loads(line)
                reasons[image] = reason
        return reasons


class _MakeSamples:
    """Turns encoded rows into samples; a function for `IterableDataset.map`.

    The samples depend on the rows alone. Its state serves messages and the limit of skipped images.
    """

    def __init__(
        self, make_pair: PairMaker, seed: int, selection: Selection, skipped: SkippedImages | None
    ):
        self.make_pair, self.seed = make_pair, seed
        self.selection, self.skipped = selection, skipped
        self.skipped_in_a_row = 0
        self.reported: set[str] = set()

    def __call__(self, rows: dict, indices: list[int]) -> dict[str, list]:
        samples = []
        for encoded, index in zip(rows["image"], indices, strict=True):
            try:
                samples.append(self._make_sample(encoded, index))
                self.skipped_in_a_row = 0
            except (OSError, ValueError) as error:
                self._skip(encoded, str(error))
        self._exchange_references(samples, indices[0])
        return {name: [one[name] for one in samples] for name in (samples[0] if samples else ())}

    def _make_sample(self, encoded: dict | None, index: int) -> dict[str, np.ndarray]:
        image = open_photograph(encoded)
        reason = self.selection.rejection_reason(image)
        if reason:
            raise ValueError(reason)
        # The index differs between two visits of an image, the content between two images that
        # have the same index in two loader processes.
        return self.make_pair(image, random.Random(f"{self.seed}-{index}-{_checksum(encoded)}"))

    def _exchange_references(self, samples: list[dict], index: int) -> None:
        """Replace a share of the references by that of the next sample."""
        rng = random.Random(f"{self.seed}-references-{index}")
        references = [sample["reference"] for sample in samples]
        for sample, neighbor in zip(samples, references[1:] + references[:1], strict=True):
            if rng.random() < self.make_pair.other_reference_probability:
                sample["reference"] = neighbor
                sample["own_reference"] = np.array(False)

    def _skip(self, encoded: dict | None, reason: str) -> None:
        name = (encoded or {}).get("path") or f"image with CRC-32 {_checksum(encoded):08x}"
        if name not in self.reported:
            self.reported.add(name)
            logger.warning("%s skipped: %s", name, reason)
            if self.skipped is not None:
                self.skipped.add(name, reason)
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row > _MAX_SKIPPED_IN_A_ROW:
            raise ValueError(
                f"the last {self.skipped_in_a_row} images could not be used; "
                f"the reason for the last one: {reason}"
            )


def _checksum(encoded: dict | None) -> int:
    try:
        return zlib.crc32(encoded_bytes(encoded))
    except (OSError, ValueError):
        return 0


class _ShuffleBlock:
    """Shuffles the rows of a block; a function for `IterableDataset.map`."""

    def __init__(self, seed: int):
        self.seed = seed

    def __call__(self, rows: dict, indices: list[int]) -> dict[str, list]:
        images = list(rows["image"])
        random.Random(f"{self.seed}-block-{indices[0]}").shuffle(images)
        return {"image": images}


def training_stream(
    photographs: "datasets.IterableDataset | datasets.Dataset",
    make_pair: PairMaker,
    seed: int = 0,
    selection: Selection | None = None,
    skipped: SkippedImages | None = None,
    block_size: int = 256,
    min_shards: int = 32,
) -> "datasets.IterableDataset":
    """Make an endless stream of shuffled training samples.

    Shards come in random order, and the rows of a block in a random order of their own. Unlike that
    of a shuffle buffer, this order follows from seed and position alone, so the position, which
    `state_dict()` returns, is all that has to be saved. Files of a folder are shards, so their
    order is random as a whole.

    Args:
        photographs: the stream of `stream_photographs`, or another `IterableDataset` or `Dataset`
            with a column `image` of type `datasets.Image`.
        make_pair: makes a sample of an image.
        seed: seed of order, views and magnifications.
        selection: which images to take by their pixels; all if None.
        skipped: log of the images that are unreadable, too small or not selected; each of them
            also causes a warning.
        block_size: number of rows that are shuffled together, undecoded in memory.
        min_shards: where there are fewer, each shard is divided: one of n parts has every n-th row.
            For each part, all of the shard is read but only the part is decoded.

    Returns:
        A stream of the samples of `PairMaker`, as `datasets.IterableDataset`.

    Raises:
        ValueError: if there is no column `image`; while iterating, after a thousand unusable
            images in a row.
    """
    photographs = _divide_shards(_encoded_photographs(photographs, seed), min_shards)
    make_samples = _MakeSamples(make_pair, seed, selection or Selection(), skipped)
    return (
        photographs.shuffle(seed=seed, buffer_size=1, max_buffer_input_shards=1)
        .repeat(None)
        .map(_ShuffleBlock(seed), batched=True, batch_size=block_size, with_indices=True)
        .map(
            make_samples,
            batched=True,
            batch_size=_DECODED_AT_ONCE,
            with_indices=True,
            remove_columns=["image"],
            features=_sample_features(make_pair),
        )
    )


def _encoded_photographs(photographs, seed: int) -> "datasets.IterableDataset":
    """Return a stream of the one column `image`, undecoded; a `Dataset` is shuffled as a whole."""
    import datasets

    columns = photographs.column_names or ["image"]
    if "image" not in columns:
        raise ValueError(
            f"the photographs have no column 'image', only {', '.join(columns)}: rename one"
        )
    if columns != ["image"]:
        photographs = photographs.select_columns("image")
    if photographs.features and getattr(photographs.features["image"], "decode", False):
        photographs = photographs.cast_column("image", datasets.Image(decode=False))
    if isinstance(photographs, datasets.Dataset):
        shards = min(len(photographs), _MAX_SHARDS)
        photographs = photographs.shuffle(seed=seed).to_iterable_dataset(num_shards=shards)
    return photographs


def _divide_shards(
    photographs: "datasets.IterableDataset", min_shards: int
) -> "datasets.IterableDataset":
    """Divide each shard into equally many parts, for `min_shards` if there are so many rows."""
    import datasets

    parts = -(-min_shards // photographs.num_shards)
    if parts > 1:  # a loader process that had only parts without rows would wait forever
        parts = sum(1 for _ in islice(photographs.shard(photographs.num_shards, 0), parts))
    if parts <= 1:
        return photographs
    places = [(shard, part) for part in range(parts) for shard in range(photographs.num_shards)]
    return datasets.IterableDataset.from_generator(
        _rows_of_parts,
        features=datasets.Features(image=datasets.Image(decode=False)),
        gen_kwargs={"places": places, "parts": parts, "photographs": photographs},
    )


def _rows_of_parts(
    places: list[tuple[int, int]], parts: int, photographs: "datasets.IterableDataset"
) -> Iterator[dict]:
    for shard, part in places:
        # Unlike `iter(...)`, `.iter` does not divide it among the loader processes once more.
        for rows in photographs.shard(photographs.num_shards, shard).iter(parts):
            if part < len(rows["image"]):
                yield {"image": rows["image"][part]}


def _sample_features(make_pair: PairMaker) -> "datasets.Features":
    """Return the types of a sample of `PairMaker`."""
    from datasets import Array3D, Features, List, Value

    sides = {
        "source": make_pair.source_size,
        "labels": make_pair.label_size,
        "reference": make_pair.reference_size,
    }
    return Features(
        {
            **{name: Array3D((3, side, side), "uint8") for name, side in sides.items()},
            "output_size": List(Value("int64"), length=2),
            "output_start": List(Value("int64"), length=2),
            "own_reference": Value("bool"),
            "seed": Value("int64"),
        }
    )


def training_loader(
    stream: "datasets.IterableDataset",
    batch_size: int,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
) -> "StatefulDataLoader":
    """Make a loader of batches, of which each of several training processes gets its own.

    Whole shards go to a process where there are enough of them, otherwise every `world_size`-th
    sample. `state_dict()` of the loader is exact with any number of workers.

    Args:
        stream: the stream of `training_stream`.
        batch_size: samples per batch of this process.
        workers: loader processes of this process, 0 to load in the process itself.
        rank: number of this process, from 0.
        world_size: number of training processes.
        pin_memory: copy batches to page-locked memory, for CUDA.

    Returns:
        A loader of the batches of `collate`.
    """
    with needs_extra("train", "training runs"):
        from datasets.distributed import split_dataset_by_node
        from torchdata.stateful_dataloader import StatefulDataLoader

    if world_size > 1:
        strategy = "shards" if stream.num_shards >= world_size else "examples"
        stream = split_dataset_by_node(stream, rank, world_size, strategy=strategy)
    with warnings.catch_warnings():  # of torchdata, about its own use of PyTorch
        warnings.filterwarnings("ignore", message="'set_vital' is deprecated")
        return StatefulDataLoader(
            stream,
            batch_size=batch_size,
            collate_fn=collate,
            num_workers=min(workers, stream.num_shards),  # one without a shard would be idle
            pin_memory=pin_memory,
        )


def save_position(loader: "StatefulDataLoader", path: str | Path) -> None:
    """Save the position of a training loader in its stream to a file."""
    torch.save({"workers": loader.num_workers, "position": loader.state_dict()}, path)


def load_position(loader: "StatefulDataLoader", path: str | Path) -> None:
    """Move a new training loader to a saved position.

    Raises:
        ValueError: if the position was saved with another number of workers.
    """
    saved = torch.load(path, weights_only=True)
    if saved["workers"] != loader.num_workers:
        raise ValueError(
            f"{path} was written with {saved['workers']} loader workers, this run has "
            f"{loader.num_workers}: resume with {saved['workers']}"
        )
    loader.load_state_dict(saved["position"])


def collate(samples: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Stack the arrays of samples to tensors with a leading batch dimension."""
    return {
        name: torch.from_numpy(np.stack([sample[name] for sample in samples]))
        for name in samples[0]
    }
