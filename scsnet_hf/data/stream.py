"""Training pairs from colour photographs, streamed with `datasets`.

Two steps, kept apart: which pictures (`stream_photographs`), and what one picture becomes
(`PairMaker`). Samples are uint8 sRGB; the trainer turns a batch into the network's units on its
device, and makes the reference there.

ImageNet-C in the paper means *colourful* ImageNet (files of 80 KB and more with enough colour
variation), not the corruption benchmark of the same name.
"""

import random
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from transformers.utils import logging

from ..color import normalize_lab, srgb_to_lab
from .pairs import PairMaker
from .sources import open_photograph

if TYPE_CHECKING:
    import datasets

logger = logging.get_logger(__name__)

_MOST_LEFT_OUT = 1000  # unusable pictures in a row
_PICTURE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def training_stream(
    photographs: "datasets.IterableDataset",
    make_pair: PairMaker,
    seed: int = 0,
    buffer_size: int = 1000,
) -> "datasets.IterableDataset":
    """Endless shuffled samples of a stream of photographs.

    Unreadable and too small pictures are left out, each with a warning; ValueError after a
    thousand of them in a row.
    """
    left_out_in_a_row = 0

    def samples(rows: dict, indices: list[int]) -> dict[str, list]:
        nonlocal left_out_in_a_row
        made = []
        for image, index in zip(rows["image"], indices, strict=True):
            try:
                made.append(make_pair(open_photograph(image), random.Random(f"{seed}-{index}")))
                left_out_in_a_row = 0
            except _PICTURE_ERRORS as error:
                logger.warning("picture %d (%s) left out: %s", index, image["path"], error)
                left_out_in_a_row += 1
        if left_out_in_a_row > _MOST_LEFT_OUT:
            raise ValueError(f"the last {left_out_in_a_row} pictures could not be used")
        return {name: [sample[name] for sample in made] for name in (made[0] if made else ())}

    return (
        photographs.shuffle(seed=seed, buffer_size=buffer_size, max_buffer_input_shards=1)
        .repeat(None)
        .map(samples, batched=True, batch_size=8, with_indices=True, remove_columns=["image"])
    )


def collate(samples: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Stack samples to tensors."""
    return {
        name: torch.from_numpy(np.stack([sample[name] for sample in samples]))
        for name in samples[0]
    }


def normalized_lab_of(rgb: torch.Tensor) -> torch.Tensor:
    """uint8 sRGB (B, 3, H, W) to normalized Lab, float32."""
    return normalize_lab(srgb_to_lab(rgb.float() / 255))


def flip_vertically(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The batch upside down; the labels' windows move accordingly."""
    height = batch["labels"].shape[-2]
    start = batch["output_start"].clone()
    start[:, 0] = batch["output_size"][:, 0] - height - start[:, 0]
    flipped = {name: batch[name].flip(-2) for name in ("source", "labels", "reference")}
    return {**batch, **flipped, "output_start": start}
