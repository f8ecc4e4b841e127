"""Positions of output pixels in the source, and interpolation there (Sec. 3.2).

Coordinates are computed in integers and therefore exact: a window of a large output has the same
positions as the whole.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import nn

CELL = 4  # pixels of the working size across one position of F_s and F_r

Axis = int | torch.Tensor
Taps = Callable[[torch.Tensor], dict[int, torch.Tensor]]  # fractions to weights by pixel offset


# Coordinates (Eq. 3)


class PixelGrid(NamedTuple):
    """The output pixels to compute, and the position of the available features in the source.

    Every pair is (vertical, horizontal). Entries of all but `length` may also be int64 tensors,
    scalars or (B,) with one value per item.

    Example:
        >>> PixelGrid.whole((48, 64), (192, 256))  # all pixels at magnification 4
        >>> PixelGrid((48, 64), (192, 256), start=(96, 0), length=(96, 256))  # the lower half
    """

    source: tuple[Axis, Axis]  # H, W of the whole source
    output: tuple[Axis, Axis]  # Ho, Wo of the whole output
    start: tuple[Axis, Axis]  # first output row and column to compute
    length: tuple[int, int]  # number of output rows and columns to compute
    origin: tuple[Axis, Axis] = (0, 0)  # source position of the features' first pixel

    @classmethod
    def whole(cls, source: tuple[int, int], output: tuple[int, int]) -> "PixelGrid":
        """Return the grid of a complete output image."""
        return cls(tuple(source), tuple(output), (0, 0), tuple(output))


class AxisCoordinates(NamedTuple):
    """Positions along one axis, each (1, n) or (B, n)."""

    lower: torch.Tensor  # int64, index of the source pixel at or before the position
    fraction: torch.Tensor  # float32 in [0, 1), distance from that pixel
    relative: torch.Tensor  # float32, Z_rel in [-1, 1], position inside the nearest source pixel

    def rows(self, start: int, stop: int) -> "AxisCoordinates":
        """Return the coordinates from `start` to `stop`."""
        return AxisCoordinates(*(values[:, start:stop] for values in self))


def axis_coordinates(
    grid: PixelGrid, axis: int, device: torch.device, align_corners: bool = False
) -> AxisCoordinates:
    """Compute the source positions of the grid's pixels along one axis.

    Args:
        grid: sizes and window.
        axis: 0 vertical, 1 horizontal.
        device: of the result.
        align_corners: False puts output pixel i at (i + 0.5) / output and source pixel j at
            (j + 0.5) / source. True puts both at i / (size - 1) (Sec. 3.2). Z_rel always divides
            the unit interval into cells of 1 / source, of which the last includes its end (Eq. 3).
    """
    source, output, start, origin = (
        as_column(values[axis], device)
        for values in (grid.source, grid.output, grid.start, grid.origin)
    )
    index = torch.arange(grid.length[axis], device=device) + start
    if align_corners:
        denominator = (output - 1).clamp(min=1)
        position, cell = index * (source - 1), index * source
    else:
        denominator = 2 * output
        cell = (2 * index + 1) * source
        position = cell - output
    # Not torch.div with a rounding mode, which becomes a float32 division in ONNX.
    lower = position // denominator
    anchor = (cell // denominator).clamp(max=source - 1)
    return AxisCoordinates(
        lower - origin,
        (position - lower * denominator) / denominator,
        2 * (cell - anchor * denominator) / denominator - 1,
    )


def as_column(value: Axis, device: torch.device) -> torch.Tensor:
    """One value, or one per item, as int64 (1, 1) or (B, 1)."""
    if torch.is_tensor(value):
        return value.to(device).reshape(-1, 1)
    # torch.as_tensor would tie compiled code to this number.
    return torch.full((1, 1), value, device=device)


# Interpolation


def linear_taps(fraction: torch.Tensor) -> dict[int, torch.Tensor]:
    """Return the weights of bilinear interpolation by pixel offset."""
    return {0: 1 - fraction, 1: fraction}


def cubic_taps(fraction: torch.Tensor) -> dict[int, torch.Tensor]:
    """Return the weights of bicubic interpolation (Keys 1981, a = -0.5) by pixel offset."""
    t = fraction
    return {-1: _cubic_far(1 + t), 0: _cubic_near(t), 1: _cubic_near(1 - t), 2: _cubic_far(2 - t)}


def cubic_kernel(distance: torch.Tensor) -> torch.Tensor:
    """Evaluate Keys' kernel (a = -0.5, that of Pillow's BICUBIC) at distances in pixels."""
    far = torch.where(distance < 2, _cubic_far(distance), torch.zeros_like(distance))
    return torch.where(distance < 1, _cubic_near(distance), far)


def _cubic_near(distance: torch.Tensor) -> torch.Tensor:
    """Keys' kernel at distances from 0 to 1."""
    return (1.5 * distance - 2.5) * distance * distance + 1


def _cubic_far(distance: torch.Tensor) -> torch.Tensor:
    """Keys' kernel at distances from 1 to 2."""
    return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2


def lookup(
    features: torch.Tensor,
    vertical: AxisCoordinates,
    horizontal: AxisCoordinates,
    taps: Taps = linear_taps,
    along_y: torch.Tensor | None = None,
    along_x: torch.Tensor | None = None,
) -> torch.Tensor:
    """Interpolate features at every crossing of the coordinates, first rows, then columns.

    The weights sum to 1, so a constant stays constant. Border pixels are repeated outwards.

    Args:
        features: (B, H, W, C).
        vertical: ho positions.
        horizontal: wo positions.
        taps: the kernel.
        along_y: (1 or B, ho, C), added to all columns, while these are still few.
        along_x: (1 or B, wo, C), added to all rows.

    Returns:
        (B, ho, wo, C).
    """
    batch, _, width, channels = features.shape
    rows = _interpolate(features.reshape(batch, -1, width * channels), vertical, taps)
    height = rows.shape[1]
    rows = rows.view(batch, height, width, channels)
    if along_y is not None:
        rows = rows + along_y[:, :, None]
    horizontal = AxisCoordinates(*(_repeat(values, height) for values in horizontal))
    if along_x is not None:
        along_x = _repeat(along_x, height)
    pixels = _interpolate(rows.view(batch * height, width, channels), horizontal, taps, along_x)
    return pixels.view(batch, height, -1, channels)


def _repeat(values: torch.Tensor, rows: int) -> torch.Tensor:
    """(B, n, ...) -> (B rows, n, ...), for interpolation with the rows in the batch dimension."""
    return values if len(values) == 1 else values.repeat_interleave(rows, dim=0)


def _interpolate(
    values: torch.Tensor, axis: AxisCoordinates, taps: Taps, added: torch.Tensor | None = None
) -> torch.Tensor:
    """Interpolate (B, N, K) along dim 1, and add `added`, which is broadcast: (B, n, K)."""
    weights = taps(axis.fraction)
    indices = [(axis.lower + offset).clamp(0, values.shape[1] - 1) for offset in weights]
    weights = [weight.to(values.dtype) for weight in weights.values()]
    # Single numbers are gathered faster, and few runtimes of exported graphs support embedding_bag.
    in_bags = values.device.type == "cpu" and values.shape[2] > 1 and not is_traced()
    return (_sum_bags if in_bags else _sum_tap_by_tap)(values, indices, weights, added)


def _sum_bags(values, indices, weights, added) -> torch.Tensor:
    """Sum all taps in one pass, in less than half the time and memory traffic."""
    batch, size, width = values.shape
    first = size * torch.arange(batch)[:, None, None]
    bags = nn.functional.embedding_bag(
        (torch.stack(indices, dim=-1) + first).flatten(0, 1),
        values.reshape(batch * size, width),
        per_sample_weights=torch.stack(weights, dim=-1).expand(batch, -1, -1).flatten(0, 1),
        mode="sum",
    ).view(batch, -1, width)
    return bags if added is None else bags.add_(added)


def _sum_tap_by_tap(values, indices, weights, added) -> torch.Tensor:
    batch, size, width = values.shape
    result = None
    for index, weight in zip(indices, weights, strict=True):
        if len(index) == 1:
            taken = values.index_select(1, index[0])
        else:
            first = torch.arange(batch, device=index.device)[:, None] * size
            taken = values.reshape(batch * size, width).index_select(0, (index + first).flatten())
            taken = taken.view(batch, -1, width)
        weight = weight[..., None]
        if result is not None:
            result.addcmul_(taken, weight)
        elif added is not None:
            result = torch.addcmul(added, taken, weight)
        else:
            result = taken * weight
    return result


# Sizes of feature maps


def resize(
    features: torch.Tensor, grid: PixelGrid, cubic: bool = False, align_corners: bool = False
) -> torch.Tensor:
    """Interpolate (B, C, H, W) on a grid of pixels, bilinear or bicubic.

    Returns:
        (B, C, *grid.length).
    """
    axes = (axis_coordinates(grid, axis, features.device, align_corners) for axis in (0, 1))
    pixels = lookup(features.permute(0, 2, 3, 1), *axes, cubic_taps if cubic else linear_taps)
    return pixels.permute(0, 3, 1, 2)


def resize_to(features: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Interpolate (B, C, H, W) bilinearly to (B, C, *size), if it does not have that size."""
    own = tuple(features.shape[-2:])
    return features if own == tuple(size) else resize(features, PixelGrid.whole(own, size))


def pad_to_multiple(pixels: torch.Tensor, multiple: int) -> torch.Tensor:
    """Repeat the last row and column of (B, C, H, W) until both sides are multiples."""
    for axis in (-2, -1):
        size = pixels.shape[axis]
        # By index, since padding ties exported code to the sizes that it was traced with.
        index = torch.arange(size + -size % multiple, device=pixels.device).clamp(max=size - 1)
        pixels = pixels.index_select(axis, index)
    return pixels


def crop(features: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Take the first rows and columns of (B, C, H, W): (B, C, *size)."""
    if not torch.compiler.is_compiling() and tuple(features.shape[-2:]) == tuple(size):
        return features  # index_select would lose the memory format channels_last
    for axis, length in zip((-2, -1), size, strict=True):  # by index, as in pad_to_multiple
        features = features.index_select(axis, torch.arange(length, device=features.device))
    return features


def hint_cells(positions: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return the positions of F_s, x and y (B, K, 2), in which pixels (B, K, 2) of (H, W) are."""
    last = positions.new_tensor([-(-side // CELL) - 1 for side in reversed(size)])
    return (positions / CELL).floor().clamp(min=0).minimum(last).long()


# Blocks of rows, which stay in the cache

_CACHED_ELEMENTS = 2**20  # 4 MB of float32


def is_traced() -> bool:
    """Return whether operations are recorded, for gradients, a compiler or an export."""
    return torch.is_grad_enabled() or torch.compiler.is_compiling()


def row_blocks(
    height: int, elements_per_row: int, max_elements: int = _CACHED_ELEMENTS
) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of blocks of output rows with at most `max_elements`, at least one row.

    Where operations are recorded all rows are one block; `height` may be symbolic there.
    """
    if is_traced():
        yield 0, height
        return
    block = max(1, max_elements // max(1, elements_per_row))
    for start in range(0, height, block):
        yield start, min(start + block, height)


def conversion_blocks(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield `row_blocks` for converting an image: larger, since conversion is many small steps."""
    return row_blocks(height, 2 * width)


def in_row_blocks(
    compute_rows: Callable[[int, int], torch.Tensor], height: int, elements_per_row: int
) -> torch.Tensor:
    """Compute an image block by block, see `row_blocks`.

    Args:
        compute_rows: from (start, stop) to these rows, (B, stop - start, W, C).
        height: number of rows.
        elements_per_row: size of the largest intermediate result per row.

    Returns:
        (B, height, W, C).
    """
    result = None
    for start, stop in row_blocks(height, elements_per_row):
        block = compute_rows(start, stop)
        if stop - start == height:
            return block
        if result is None:
            result = block.new_empty(len(block), height, *block.shape[2:])
        result[:, start:stop] = block
    return result
