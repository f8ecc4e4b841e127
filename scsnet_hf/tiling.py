"""Large images in bounded memory: tiles of the network's output, and strips of the result.

Only the texture branch and the pixel mapping run tile by tile. The color branch has seen the whole
image before, so colors cannot differ between tiles, and tiled results equal untiled ones.
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

logger = logging.get_logger(__name__)


# Memory

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")  # version 2, of a container
_REMEDY = "free memory, or ask for a smaller result (scale, size or long_side)"


def free_memory(device: torch.device, meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> float:
    """Return the bytes available on a device; infinity where the system does not report them.

    Args:
        device: CUDA devices and the CPU are supported.
        meminfo: Linux's file about the machine's memory.
        cgroup: folder of the control group that may limit this process.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return math.inf
    return min(_available_to_machine(meminfo), _available_to_container(cgroup))


def _available_to_machine(meminfo: Path) -> float:
    try:
        return int(re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text())[1]) * 1024
    except (OSError, TypeError):
        return math.inf


def _available_to_container(cgroup: Path) -> float:
    try:
        limit, used, statistics = (
            (cgroup / f"memory.{name}").read_text() for name in ("max", "current", "stat")
        )
        cached = re.search(r"^inactive_file (\d+)$", statistics, re.MULTILINE)[1]
        return max(0, int(limit) - int(used) + int(cached))
    except (OSError, ValueError, TypeError):  # without a limit, memory.max is "max"
        return math.inf


def is_out_of_memory(error: Exception) -> bool:
    """Return whether Python, the CPU's allocator or an accelerator ran out of memory."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    # The CPU's allocator raises a plain RuntimeError.
    return known or bool(re.search("can't allocate memory|not enough memory", str(error)))


@contextmanager
def explain_memory_errors(purpose: str) -> Iterator[None]:
    """Turn any out-of-memory error into a MemoryError that says what to do about it.

    Args:
        purpose: what the memory was needed for, as in "for an image".
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error) or _REMEDY in str(error):
            raise
        raise MemoryError(f"not enough memory {purpose}: {_REMEDY}") from error


# Tiles

# Source pixels a side. The features of larger tiles exceed the cache; smaller ones are mostly halo.
AUTO_TILE_SIZES = (256, 128, 64, 32)
_SMALLEST_TILE = 64  # output pixels a side
_LARGEST_TILE = 1280  # output pixels a side, since a whole row of tiles is in memory at once
_TILE_MEMORY = 2**30  # bytes that a tile may use, however many are free


@torch.no_grad()
def decode_in_tiles(
    model,
    pixel_values: torch.Tensor,
    color_features: torch.Tensor,
    output_size: tuple[int, int],
    tile_size: int | str | None = "auto",
) -> Iterator[torch.Tensor]:
    """Run the texture branch and the pixel mapping on whole images, tile by tile.

    Args:
        model: an `SCSNetForImageToImage`.
        pixel_values: (B, 1, H, W) normalized L, on the model's device.
        color_features: `features` of `model.encode_color`.
        output_size: (Ho, Wo).
        tile_size: side of a tile in source pixels; None for a single tile; "auto" for the largest
            tiles that fit into free memory, up to 256 source and 1280 output pixels a side.

    Yields:
        (B, 3, h, Wo) normalized Lab, float32, on the CPU: the rows of tiles, from top to bottom.

    Raises:
        MemoryError: if memory does not even suffice for the smallest tiles. A tile for which it
            does not suffice is halved until it does.
    """
    source = tuple(pixel_values.shape[-2:])
    if tile_size == "auto":
        tile_size = automatic_tile_size(model, source, output_size)
    tiles = plan_tiles(source, output_size, tile_size)
    for top, row in groupby(tiles, key=lambda grid: grid.start[0]):
        remaining = list(row)[::-1]
        strip = torch.empty(len(pixel_values), 3, remaining[0].length[0], output_size[1])
        while remaining:
            grid = remaining.pop()
            try:
                pixels = decode_window(model, pixel_values, color_features, grid)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                remaining += _halves(grid)
                continue
            (first, left), (height, width) = grid.start, grid.length
            strip[..., first - top : first - top + height, left : left + width] = pixels
        yield strip
        del strip  # otherwise it would still be in memory while the next one is computed


def decode_window(
    model, pixel_values: torch.Tensor, color_features: torch.Tensor, grid: PixelGrid
) -> torch.Tensor:
    """Compute one window of the output from the part of the source that it depends on.

    Args:
        model: an `SCSNetForImageToImage`.
        pixel_values: (B, 1, H, W) normalized L of whole images, on the model's device.
        color_features: `features` of `model.encode_color`.
        grid: the window, with the `origin` (0, 0).

    Returns:
        (B, 3, *grid.length) normalized Lab, float32, equal to that part of the whole output.
    """
    (y0, y1), (x0, x1) = (_source_interval(grid, axis, model.halo) for axis in (0, 1))
    region = pixel_values[..., y0:y1, x0:x1]
    color_grid = PixelGrid(
        tuple(color_features.shape[-2:]), grid.source, (y0, x0), tuple(region.shape[-2:])
    )
    features = model.features(region, resize(color_features, color_grid))
    return model.decode(features, grid.output, grid._replace(origin=(y0, x0)))


def plan_tiles(
    source: tuple[int, int], output: tuple[int, int], tile_size: int | None
) -> Iterator[PixelGrid]:
    """Cover the output exactly once with windows, row by row.

    Args:
        source: (H, W).
        output: (Ho, Wo).
        tile_size: approximate side of a window in source pixels; None for a single window.
    """
    if tile_size is None:
        yield PixelGrid.whole(source, output)
        return
    steps = [max(1, tile_size * o // s) for s, o in zip(source, output, strict=True)]
    for top in range(0, output[0], steps[0]):
        for left in range(0, output[1], steps[1]):
            length = (min(steps[0], output[0] - top), min(steps[1], output[1] - left))
            yield PixelGrid(source, output, (top, left), length)


def automatic_tile_size(model, source: tuple[int, int], output: tuple[int, int]) -> int | None:
    """Return the side in source pixels of the largest tiles that fit into free memory.

    It is one of a few sizes, so that rounding does not change with every byte of free memory, and
    None where a single tile covers the source (H, W).
    """
    config = model.config
    enlargement = output[0] * output[1] / (source[0] * source[1])
    # Values per source pixel: what a residual block holds, F_cs with the copy that is padded, and
    # the first layer of the mapping. The output pixels come on top.
    values = 4 * config.hidden_sizes[0] + 2 * config.mapping_size + config.mapping_hidden_sizes[0]
    bytes_per_pixel = 4 * (values + 6 * enlargement)
    memory = min(_TILE_MEMORY, free_memory(model.device) / 2)
    fitting = (
        side
        for side in AUTO_TILE_SIZES
        if (side + 2 * model.halo) ** 2 * bytes_per_pixel <= memory
        and side * enlargement**0.5 <= _LARGEST_TILE
    )
    tile_size = next(fitting, AUTO_TILE_SIZES[-1])
    return tile_size if max(source) > tile_size else None


def _source_interval(grid: PixelGrid, axis: int, halo: int) -> tuple[int, int]:
    """(start, stop) of the source pixels along `axis` that the grid's window depends on."""
    source, output, start, length = (
        values[axis] for values in (grid.source, grid.output, grid.start, grid.length)
    )
    first = start * source // output - halo
    last = -(-(start + length) * source // output) + halo
    return max(0, first), min(source, last)


def _halves(grid: PixelGrid) -> list[PixelGrid]:
    """Split a window across its longer side; the first half comes last."""
    axis = int(grid.length[1] > grid.length[0])
    if grid.length[axis] < 2 * _SMALLEST_TILE:
        raise MemoryError(
            f"not enough memory for {grid.length[1]}x{grid.length[0]} pixels of the result, the "
            f"smallest tile: {_REMEDY}"
        )
    logger.warning_once("Not enough memory for a tile: tiles are halved (see tile_size).")
    half = grid.length[axis] // 2
    start, length = list(grid.start), list(grid.length)
    length[axis] = half
    first = grid._replace(length=tuple(length))
    start[axis] += half
    length[axis] = grid.length[axis] - half
    return [grid._replace(start=tuple(start), length=tuple(length)), first]


# Strips


@dataclass(frozen=True)
class Strips:
    """An image as horizontal strips from top to bottom, which need not be in memory together.

    The strips are computed while they are iterated over, which is possible once.

    Args:
        size: (width, height).
        channels: 3 for RGB, 4 for RGBA with straight alpha.
        dtype: uint8 or uint16.
        arrays: the strips, each (h, width, channels).

    Example:
        >>> strips = pipe.strips("scan.tif", scale=8)
        >>> for rows in strips.with_height(64):
        ...     file.write(rows.tobytes())
    """

    size: tuple[int, int]
    channels: int
    dtype: np.dtype
    arrays: Iterator[np.ndarray]

    @classmethod
    def from_image(cls, image: Image.Image | np.ndarray) -> "Strips":
        """Wrap an RGB or RGBA image, or an array (H, W, 3 or 4) of uint16, as a single strip."""
        levels = np.asarray(image)
        height, width, channels = levels.shape
        return cls((width, height), channels, levels.dtype, iter([levels]))

    @property
    def pixels(self) -> int:
        """Number of pixels of the whole image."""
        return self.size[0] * self.size[1]

    def to_image(self) -> Image.Image | np.ndarray:
        """Assemble the image; with 16 bits, which Pillow does not support, as an array."""
        width, height = self.size
        whole, top = np.empty((height, width, self.channels), self.dtype), 0
        for strip in self.arrays:
            whole[top : top + len(strip)] = strip
            top += len(strip)
        return Image.fromarray(whole) if whole.dtype == np.uint8 else whole

    def with_height(self, rows: int) -> Iterator[np.ndarray]:
        """Yield the image in strips of `rows` rows; the last one may have fewer."""
        held = np.empty((0, self.size[0], self.channels), self.dtype)
        for strip in self.arrays:
            held = np.concatenate((held, strip)) if len(held) else strip
            for top in range(0, len(held) - rows + 1, rows):
                yield held[top : top + rows]
            held = held[len(held) // rows * rows :]
        if len(held):
            yield held
