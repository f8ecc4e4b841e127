"""Large pictures in bounded memory: texture and pixel mapping by tiles, equal to the whole.

The colour branch has seen the whole picture before, so colours cannot differ between tiles.
"""

from collections.abc import Iterator
from itertools import groupby

import torch
from transformers.utils import logging

from .memory import REMEDY, free_memory, is_out_of_memory
from .pixel_mapping import PixelGrid, resize

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
def tiled_strips(
    model,
    pixel_values: torch.Tensor,
    color_features: torch.Tensor,
    output_size: tuple[int, int],
    tile_size: int | str | None = "auto",
) -> Iterator[torch.Tensor]:
    """Texture branch and pixel mapping of whole pictures, tile by tile.

    Args:
        model: an `SCSNetForImageToImage`.
        pixel_values: (B, 1, H, W) normalized L, on the model's device.
        color_features: `features` of `model.encode_color`.
        output_size: (Ho, Wo).
        tile_size: side of a tile in source pixels; None for no tiles; "auto" for tiles that fit
            into the memory that is free, of at most 256 and 1280 of the result, where the
            picture is larger.

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
