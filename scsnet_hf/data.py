"""Training pairs from colour photographs, streamed with `datasets`.

Two steps, kept apart: which pictures (`stream_photographs`), and what one picture becomes
(`PairMaker`). Samples are uint8 sRGB; the trainer turns a batch into the network's units on its
device, and makes the reference there.

ImageNet-C in the paper means *colourful* ImageNet (files of 80 KB and more with enough colour
variation), not the corruption benchmark of the same name.
"""

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from transformers.utils import logging

from .color import normalize_lab, srgb_to_lab

if TYPE_CHECKING:
    import datasets

logger = logging.get_logger(__name__)

_MOST_LEFT_OUT = 1000  # unusable pictures in a row
_PICTURE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True)
class PairMaker:
    """Makes one training sample of one photograph.

    A square view of the picture is cut out at random, reduced (never enlarged) to the high
    resolution round(source_size p), and from that to the source, both by Pillow's antialiased
    bicubic kernel. The magnification p is drawn per sample, and lowered where the view has too few
    pixels. The labels are a random window of the high resolution, so samples of different p batch.

    Args:
        source_size: side of the low-resolution source in pixels.
        label_size: side of the labels' window in pixels, at most source_size.
        reference_size: side of the reference in pixels.
        scale_range: smallest and largest p; the smallest is at least 1.
        view_range: side of the view as a share of the picture's short side.
    """

    source_size: int = 128
    label_size: int = 128
    reference_size: int = 128
    scale_range: tuple[float, float] = (1.0, 4.0)
    view_range: tuple[float, float] = (0.5, 1.0)

    def __post_init__(self):
        if not 1 <= self.scale_range[0] <= self.scale_range[1]:
            raise ValueError(f"scale_range {self.scale_range} must be 1 <= low <= high")
        if not 0 < self.view_range[0] <= self.view_range[1] <= 1:
            raise ValueError(f"view_range {self.view_range} must be 0 < low <= high <= 1")
        if not 1 <= self.label_size <= self.source_size:
            raise ValueError(
                f"label_size {self.label_size} must be from 1 to source_size {self.source_size}"
            )
        if self.reference_size < 1:
            raise ValueError(f"reference_size {self.reference_size} must be at least 1")

    def __call__(self, picture: Image.Image, rng: random.Random) -> dict[str, np.ndarray]:
        """The sample of `picture`, RGB.

        Returns:
            `source`, `labels`, `reference`: uint8 sRGB (3, side, side); `output_size`,
            `output_start`: int64 (2,), the whole output and where in it the labels lie.

        Raises:
            ValueError: if the picture's short side is below source_size * scale_range[0].
        """
        smallest = round(self.source_size * self.scale_range[0])
        if min(picture.size) < smallest:
            raise ValueError(
                f"{picture.width}x{picture.height} is too small: "
                f"training at these settings needs a short side of {smallest} pixels"
            )
        view = max(smallest, round(min(picture.size) * rng.uniform(*self.view_range)))
        left, top = (rng.randint(0, side - view) for side in picture.size)
        high = min(view, round(self.source_size * rng.uniform(*self.scale_range)))
        flip = rng.random() < 0.5
        region = (left, top, left + view, top + view)
        target = picture.resize((high, high), Image.Resampling.BICUBIC, box=region)
        if flip:
            target = target.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        start = [rng.randint(0, high - self.label_size) for _ in range(2)]
        row, column = start
        labels = target.crop((column, row, column + self.label_size, row + self.label_size))
        return {
            "source": _channels_first(_square(target, self.source_size)),
            "labels": _channels_first(labels),
            "reference": _channels_first(_square(target, self.reference_size)),
            "output_size": np.array([high, high]),
            "output_start": np.array(start),
        }


def _square(picture: Image.Image, side: int) -> Image.Image:
    return picture.resize((side, side), Image.Resampling.BICUBIC)


def _channels_first(picture: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


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


def _gaussian_kernel(sigma: float, device: torch.device) -> torch.Tensor:
    radius = max(1, round(3 * sigma))
    positions = torch.arange(-radius, radius + 1, device=device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (positions / sigma) ** 2)
    return kernel / kernel.sum()


def elastic_distortion(
    pictures: torch.Tensor,
    amplitude: float = 0.03,
    smoothness: float = 0.08,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Random elastic distortion and horizontal flip of each picture (Simard et al. 2003).

    Args:
        pictures: (B, C, H, W).
        amplitude: root mean square of the displacement, as a share of the side.
        smoothness: standard deviation of the Gaussian that smooths the displacement field, as a
            share of the shorter side.
        generator: source of the randomness, on the CPU.

    Returns:
        The distorted pictures, (B, C, H, W), borders repeated.
    """
    batch, _, height, width = pictures.shape
    field = torch.rand(2 * batch, 1, height, width, generator=generator) * 2 - 1
    flip = torch.rand(batch, generator=generator) < 0.5
    field, flip = field.to(pictures.device), flip.to(pictures.device)
    kernel = _gaussian_kernel(max(0.5, smoothness * min(height, width)), pictures.device)
    radius = len(kernel) // 2
    for shape, padding in (((1, 1, -1, 1), (radius, 0)), ((1, 1, 1, -1), (0, radius))):
        field = torch.nn.functional.conv2d(field, kernel.view(shape), padding=padding)
    field = field.view(batch, 2, height, width)
    field = field / field.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
    identity = torch.eye(2, 3, device=pictures.device).repeat(batch, 1, 1)
    identity[:, 0, 0] = torch.where(flip, -1.0, 1.0)
    grid = torch.nn.functional.affine_grid(identity, list(pictures.shape), align_corners=False)
    grid = grid + 2 * amplitude * field.permute(0, 2, 3, 1)
    return torch.nn.functional.grid_sample(
        pictures, grid, padding_mode="border", align_corners=False
    )


def iterate_photographs(source: str | list[str]) -> Iterator[Image.Image]:
    """The RGB pictures of a source, in its order; unreadable ones raise."""
    for row in stream_photographs(source):
        yield open_photograph(row["image"])
