"""Endless shuffled samples of a stream of photographs, whose position can be saved.

Samples are uint8 sRGB; the trainer turns a batch into the network's units on its device, and makes
the reference there.
"""

import json
import random
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers.utils import logging

from ..color import normalize_lab, srgb_to_lab
from .pairs import PairMaker
from .sources import Selection, encoded_bytes, open_photograph

if TYPE_CHECKING:
    import datasets
    from torchdata.stateful_dataloader import StatefulDataLoader

logger = logging.get_logger(__name__)

_MOST_LEFT_OUT = 1000  # unusable images in a row
_DECODED_AT_ONCE = 8


class LeftOut:
    """The images that could not be used, and why: a file that all loader processes append to.

    Args:
        path: the file, a line of JSON for each.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def add(self, image: str, reason: str) -> None:
        """Note that `image` is left out; the same one again changes nothing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps([image, reason]) + "\n")

    def read(self) -> dict[str, str]:
        """Image -> reason; a line that was cut off, or broken by such a one, is ignored."""
        noted = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            with suppress(json.JSONDecodeError):
                image, reason = json.loads(line)
                noted[image] = reason
        return noted


class _SampleMaker:
    """Undecoded rows -> samples; a function for `map`.

    The samples hang on the rows alone; what it remembers is for messages, and for giving up.
    """

    def __init__(
        self, make_pair: PairMaker, seed: int, selection: Selection, left_out: LeftOut | None
    ):
        self.make_pair, self.seed = make_pair, seed
        self.selection, self.left_out = selection, left_out
        self.left_out_in_a_row = 0
        self.noted: set[str] = set()

    def __call__(self, rows: dict, indices: list[int]) -> dict[str, list]:
        made = []
        for encoded, index in zip(rows["image"], indices, strict=True):
            try:
                made.append(self._sample(encoded, index))
                self.left_out_in_a_row = 0
            except (OSError, ValueError) as error:
                self._leave_out(encoded, str(error))
        self._exchange_references(made, indices[0])
        return {name: [sample[name] for sample in made] for name in (made[0] if made else ())}

    def _sample(self, encoded: dict | None, index: int) -> dict[str, np.ndarray]:
        image = open_photograph(encoded)
        reason = self.selection.reason_against(image)
        if reason:
            raise ValueError(reason)
        # The index differs between two visits of an image, the content between two images that
        # have the same index in two loader processes.
        return self.make_pair(image, random.Random(f"{self.seed}-{index}-{_checksum(encoded)}"))

    def _exchange_references(self, samples: list[dict], index: int) -> None:
        """Give a share of the samples the reference of their neighbor."""
        rng = random.Random(f"{self.seed}-references-{index}")
        references = [sample["reference"] for sample in samples]
        for sample, neighbor in zip(samples, references[1:] + references[:1], strict=True):
            if rng.random() < self.make_pair.other_reference:
                sample["reference"] = neighbor
                sample["own_reference"] = np.array(False)

    def _leave_out(self, encoded: dict | None, reason: str) -> None:
        name = (encoded or {}).get("path") or f"image with CRC-32 {_checksum(encoded):08x}"
        if name not in self.noted:
            self.noted.add(name)
            logger.warning("%s left out: %s", name, reason)
            if self.left_out is not None:
                self.left_out.add(name, reason)
        self.left_out_in_a_row += 1
        if self.left_out_in_a_row > _MOST_LEFT_OUT:
            raise ValueError(
                f"the last {self.left_out_in_a_row} images could not be used, "
                f"at the end because: {reason}"
            )


def _checksum(image: dict | None) -> int:
    try:
        return zlib.crc32(encoded_bytes(image))
    except (OSError, ValueError):
        return 0


class _BlockShuffle:
    """Puts the rows of a block into random order; a function for `map`."""

    def __init__(self, seed: int):
        self.seed = seed

    def __call__(self, rows: dict, indices: list[int]) -> dict[str, list]:
        images = list(rows["image"])
        random.Random(f"{self.seed}-block-{indices[0]}").shuffle(images)
        return {"image": images}


def training_stream(
    photographs: "datasets.IterableDataset",
    make_pair: PairMaker,
    seed: int = 0,
    selection: Selection | None = None,
    left_out: LeftOut | None = None,
    block_size: int = 256,
) -> "datasets.IterableDataset":
    """Endless shuffled samples of a stream of photographs.

    Shards come in random order, and each block of rows in a random order of its own. Unlike that
    of a shuffle buffer, this order follows from seed and position alone, so the position, which
    `state_dict()` holds, is all there is to save.

    Args:
        photographs: from `stream_photographs`.
        make_pair: what one photograph becomes.
        seed: of all that is random.
        selection: which images to take, judged on their pixels.
        left_out: where images are noted that are unreadable, too small or not selected; each
            also gives a warning.
        block_size: rows that are shuffled together, undecoded in memory.

    Raises:
        ValueError: while iterating, after a thousand unusable images in a row.
    """
    samples = _SampleMaker(make_pair, seed, selection or Selection(), left_out)
    return (
        photographs.shuffle(seed=seed, buffer_size=1, max_buffer_input_shards=1)
        .repeat(None)
        .map(_BlockShuffle(seed), batched=True, batch_size=block_size, with_indices=True)
        .map(
            samples,
            batched=True,
            batch_size=_DECODED_AT_ONCE,
            with_indices=True,
            remove_columns=["image"],
        )
    )


def training_loader(
    stream: "datasets.IterableDataset",
    batch_size: int,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
) -> "StatefulDataLoader":
    """Batches of a training stream, of which process `rank` of `world_size` gets its part.

    Whole shards go to a process where there are enough of them, or else every `world_size`-th
    sample. `state_dict()` of the loader is exact with any number of workers.
    """
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


def save_position(loader: "StatefulDataLoader", path: Path) -> None:
    """Write where a training loader is in its stream."""
    torch.save({"workers": loader.num_workers, "position": loader.state_dict()}, path)


def load_position(loader: "StatefulDataLoader", path: Path) -> None:
    """Let a fresh training loader go on where another one was.

    Raises:
        ValueError: if that one had another number of workers.
    """
    saved = torch.load(path, weights_only=True)
    if saved["workers"] != loader.num_workers:
        raise ValueError(
            f"{path} was written with {saved['workers']} loader workers, this run has "
            f"{loader.num_workers}: resume with {saved['workers']}"
        )
    loader.load_state_dict(saved["position"])


def collate(samples: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Stack samples to tensors."""
    return {
        name: torch.from_numpy(np.stack([sample[name] for sample in samples]))
        for name in samples[0]
    }


def normalized_lab_of(rgb: torch.Tensor) -> torch.Tensor:
    """uint8 sRGB (B, 3, H, W) to normalized Lab, float32."""
    return normalize_lab(srgb_to_lab(rgb.float() / 255))


def flip_vertically(batch: dict[str, torch.Tensor], which: torch.Tensor) -> dict[str, torch.Tensor]:
    """The batch with the samples of `which`, bool (B,), upside down; their windows move along."""
    height = batch["labels"].shape[-2]
    start = batch["output_start"].clone()
    mirrored = batch["output_size"][:, 0] - height - start[:, 0]
    start[:, 0] = torch.where(which, mirrored, start[:, 0])
    turned = which.view(-1, 1, 1, 1)
    flipped = {
        name: torch.where(turned, batch[name].flip(-2), batch[name])
        for name in ("source", "labels", "reference")
    }
    return {**batch, **flipped, "output_start": start}
