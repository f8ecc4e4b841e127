"""Large images in bounded memory: tiles, strips, and how much memory there is.

Texture and pixel mapping run tile by tile, equal to the whole: the color branch has seen the whole
image before, so colors cannot differ between tiles.
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers.utils import logging

from .pixel_mapping import PixelGrid, resize

REMEDY = "free memory, or ask for a smaller result (scale, size or long_side)"
_SYSTEM = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")  # of a container, version 2


def free_memory(device: torch.device) -> float:
    """Bytes that can be had on a device without taking them from others; infinity if unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return math.inf
    return min(_of_system(), _of_group())


def _of_system() -> float:
    try:
        return int(re.search(r"MemAvailable:\s+(\d+) kB", _SYSTEM.read_text())[1]) * 1024
    except (OSError, TypeError):
        return math.inf


def _of_group() -> float:
    try:
        limit, used, statistics = (
            (_GROUP / f"memory.{name}").read_text() for name in ("max", "current", "stat")
        )
        cached = re.search(r"^inactive_file (\d+)$", statistics, re.MULTILINE)[1]
        return max(0, int(limit) - int(used) + int(cached))
    except (OSError, ValueError, TypeError):  # the limit of a group without one is "max"
        return math.inf


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory did not suffice, of Python, an accelerator or the CPU."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    # What the allocator of the CPU raises is a RuntimeError like any other.
    return known or bool(re.search("can't allocate memory|not enough memory", str(error)))


@contextmanager
def explain_memory_errors(purpose: str) -> Iterator[None]:
    """Raise MemoryError that says what to do where memory does not suffice for `purpose`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error) or REMEDY in str(error):
            raise
        raise MemoryError(f"not enough memory {purpose}: {REMEDY}") from error


@dataclass(frozen=True)
class Strips:
    """An image in strips, which are computed as they are taken, once.

    Attributes:
        size: (width, height).
        channels: 3 for RGB, 4 with alpha, which is not multiplied in.
        dtype: uint8 or uint16.
        arrays: (h, width, channels) each, one below the other.
    """

    size: tuple[int, int]
    channels: int
    dtype: np.dtype
    arrays: Iterator[np.ndarray]

    @classmethod
    def from_image(cls, image: Image.Image | np.ndarray) -> "Strips":
        """An image that is there, RGB or RGBA, or (H, W, 3 or 4) uint16, as one strip."""
        levels = np.asarray(image)
        height, width, channels = levels.shape
        return cls((width, height), channels, levels.dtype, iter([levels]))

    @property
    def pixels(self) -> int:
        """How many the image has."""
        return self.size[0] * self.size[1]

    def to_image(self) -> Image.Image | np.ndarray:
        """All strips as one image of Pillow; of 16 bits, which it cannot hold, as an array."""
        width, height = self.size
        whole, top = np.empty((height, width, self.channels), self.dtype), 0
        for strip in self.arrays:
            whole[top : top + len(strip)] = strip
            top += len(strip)
        return Image.fromarray(whole) if whole.dtype == np.uint8 else whole

    def with_height(self, rows: int) -> Iterator[np.ndarray]:
        """The same image in strips of `rows` rows each, fewer only in the last."""
        held = np.empty((0, self.size[0], self.channels), self.dtype)
        for strip in self.arrays:
            held = np.concatenate((held, strip)) if len(held) else strip
            for top in range(0, len(held) - rows + 1, rows):
                yield held[top : top + rows]
            held = held[len(held) // rows * rows :]
        if len(held):
            yield held


logger = logging.get_logger(__name__)

# Source pixels a side: features of larger tiles leave the cache, of smaller ones most is halo.
AUTO_TILE_SIZES = (256, 128, 64, 32)
_SMALLEST_WINDOW = 64  # output pixels a side
_LARGEST_WINDOW = 1280  # output pixels a side: a row of tiles is held in one piece
_MOST_MEMORY = 2**30  # bytes for a tile, however many are free


def plan_tiles(
    source: tuple[int, int], output: tuple[int, int], tile_size: int | None
) -> Iterator[PixelGrid]:
    """Windows that cover the output once, each of about `tile_size` source pixels a side.

    None is one window. Their `origin` is left at 0, 0: see `decode_window`.
    """
    if tile_size is None:
        yield PixelGrid.whole(source, output)
        return
    steps = [max(1, tile_size * o // s) for s, o in zip(source, output, strict=True)]
    for top in range(0, output[0], steps[0]):
        for left in range(0, output[1], steps[1]):
            length = (min(steps[0], output[0] - top), min(steps[1], output[1] - left))
            yield PixelGrid(source, output, (top, left), length)


def source_interval(grid: PixelGrid, axis: int, halo: int) -> tuple[int, int]:
    """(start, stop) of the source pixels that the grid's window depends on, along one axis."""
    source, output, start, length = (
        values[axis] for values in (grid.source, grid.output, grid.start, grid.length)
    )
    first = start * source // output - halo
    last = -(-(start + length) * source // output) + halo
    return max(0, first), min(source, last)


@torch.no_grad()
def decode_in_tiles(
    model,
    pixel_values: torch.Tensor,
    color_features: torch.Tensor,
    output_size: tuple[int, int],
    tile_size: int | str | None = "auto",
) -> Iterator[torch.Tensor]:
    """Texture branch and pixel mapping of whole images, tile by tile.

    Args:
        model: an `SCSNetForImageToImage`.
        pixel_values: (B, 1, H, W) normalized L, on the model's device.
        color_features: `features` of `model.encode_color`.
        output_size: (Ho, Wo).
        tile_size: side of a tile in source pixels; None for no tiles; "auto" for tiles that fit
            into the memory that is free, of at most 256 and 1280 of the result, where the
            image is larger.

    Yields:
        (B, 3, h, Wo) normalized Lab, float32, on the CPU: a row of tiles, from the top.

    Raises:
        MemoryError: if memory does not even suffice for the smallest tiles. Where it does not
            suffice for a tile, that one is halved until it does.
    """
    source = tuple(pixel_values.shape[-2:])
    if tile_size == "auto":
        tile_size = automatic_tile_size(model, source, output_size)
    tiles = plan_tiles(source, output_size, tile_size)
    for top, row in groupby(tiles, key=lambda grid: grid.start[0]):
        todo = list(row)[::-1]
        strip = torch.empty(len(pixel_values), 3, todo[0].length[0], output_size[1])
        while todo:
            grid = todo.pop()
            try:
                pixels = decode_window(model, pixel_values, color_features, grid)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                todo += _halves(grid)
                continue
            (first, left), (height, width) = grid.start, grid.length
            strip[..., first - top : first - top + height, left : left + width] = pixels
        yield strip
        del strip  # or it would still be there while the next one is made


def automatic_tile_size(model, source: tuple[int, int], output: tuple[int, int]) -> int | None:
    """Side in source pixels of the largest tiles that fit into free memory; None for one piece.

    One of few sizes, so that results do not change by rounding whenever memory does.
    """
    config = model.config
    enlarged = output[0] * output[1] / (source[0] * source[1])
    # Of a source pixel at a time: a block's input, output and what lies between them; F_cs, and
    # the first layer of the mapping; the pixels that become of it.
    values = 4 * config.hidden_sizes[0] + 2 * config.mapping_size + config.mapping_hidden_sizes[0]
    bytes_a_pixel = 4 * (values + 6 * enlarged)
    memory = min(_MOST_MEMORY, free_memory(model.device) / 2)
    fitting = (
        side
        for side in AUTO_TILE_SIZES
        if (side + 2 * model.halo) ** 2 * bytes_a_pixel <= memory
        and side * enlarged**0.5 <= _LARGEST_WINDOW
    )
    tile_size = next(fitting, AUTO_TILE_SIZES[-1])
    return tile_size if max(source) > tile_size else None


def _halves(grid: PixelGrid) -> list[PixelGrid]:
    """Two windows that together are the grid's, split across its longer side."""
    axis = int(grid.length[1] > grid.length[0])
    if grid.length[axis] < 2 * _SMALLEST_WINDOW:
        raise MemoryError(
            f"not enough memory for {grid.length[1]}x{grid.length[0]} pixels of the result, the "
            f"smallest tile: {REMEDY}"
        )
    logger.warning_once("Not enough memory for a tile: tiles are halved (tile_size sets theirs).")
    half = grid.length[axis] // 2
    start, length = list(grid.start), list(grid.length)
    length[axis] = half
    first = grid._replace(length=tuple(length))
    start[axis] += half
    length[axis] = grid.length[axis] - half
    return [grid._replace(start=tuple(start), length=tuple(length)), first]


def decode_window(
    model, pixel_values: torch.Tensor, color_features: torch.Tensor, grid: PixelGrid
) -> torch.Tensor:
    """Texture branch and pixel mapping of one window of the output, from what it depends on.

    Args:
        model: an `SCSNetForImageToImage`.
        pixel_values: (B, 1, H, W) normalized L of whole images, on the model's device.
        color_features: `features` of `model.encode_color`.
        grid: the window; its `origin` is left at 0, 0.

    Returns:
        (B, 3, *grid.length) normalized Lab, float32: what the whole output has there.
    """
    (y0, y1), (x0, x1) = (source_interval(grid, axis, model.halo) for axis in (0, 1))
    region = pixel_values[..., y0:y1, x0:x1]
    color_grid = PixelGrid(
        tuple(color_features.shape[-2:]), grid.source, (y0, x0), tuple(region.shape[-2:])
    )
    features = model.features(region, resize(color_features, color_grid))
    return model.decode(features, grid.output, grid._replace(origin=(y0, x0)))
