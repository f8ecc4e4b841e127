"""Large pictures in bounded memory: texture and pixel mapping by tiles, equal to the whole.

The colour branch has seen the whole picture before, so colours cannot differ between tiles.
"""

import re
from collections.abc import Iterator

import torch
from transformers.utils import logging

from .pixel_mapping import PixelGrid, resize

logger = logging.get_logger(__name__)

AUTO_TILE_SIZE = 512  # source pixels; larger tiles gain no speed on a CPU
_SMALLEST_WINDOW = 64  # output pixels a side; smaller ones would be mostly halo


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


def run_tiled(
    model,
    pixel_values: torch.Tensor,
    color_features: torch.Tensor,
    output_size: tuple[int, int],
    tile_size: int | str | None = "auto",
) -> torch.Tensor:
    """Texture branch and pixel mapping of whole pictures, tile by tile.

    Args:
        model: an `SCSNetForImageToImage`.
        pixel_values: (B, 1, H, W) normalized L, on the model's device.
        color_features: `features` of `model.encode_color`.
        output_size: (Ho, Wo).
        tile_size: side of a tile in source pixels; None for no tiles; "auto" for tiles of 512 where
            the picture is larger.

    Returns:
        (B, 3, Ho, Wo) normalized Lab, float32, on the CPU.

    Raises:
        MemoryError: if memory does not even suffice for the smallest tiles. Where it does not
            suffice for a tile, that one is halved until it does.
    """
    source = tuple(pixel_values.shape[-2:])
    if tile_size == "auto":
        tile_size = AUTO_TILE_SIZE if max(source) > AUTO_TILE_SIZE else None
    result = torch.empty(len(pixel_values), 3, *output_size)
    todo = list(plan_tiles(source, output_size, tile_size))[::-1]
    while todo:
        grid = todo.pop()
        try:
            pixels = decode_window(model, pixel_values, color_features, grid)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            todo += _halves(grid)
            continue
        (top, left), (height, width) = grid.start, grid.length
        result[..., top : top + height, left : left + width] = pixels
    return result


def _is_out_of_memory(error: Exception) -> bool:
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    # What the allocator of the CPU raises is a RuntimeError like any other.
    return known or bool(re.search("can't allocate memory|not enough memory", str(error)))


def _halves(grid: PixelGrid) -> list[PixelGrid]:
    """Two windows that together are the grid's, split across its longer side."""
    axis = int(grid.length[1] > grid.length[0])
    if grid.length[axis] < 2 * _SMALLEST_WINDOW:
        raise MemoryError(
            f"not enough memory for {grid.length[1]}x{grid.length[0]} pixels of the result, the "
            "smallest tile: free memory, or ask for a smaller result (scale, size or long_side)"
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
        pixel_values: (B, 1, H, W) normalized L of whole pictures, on the model's device.
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
