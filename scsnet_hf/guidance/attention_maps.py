"""Which parts of the reference each part of the source attends to, and the valves (Fig. 8)."""

from dataclasses import dataclass

import torch
from PIL import Image

from ..image_io import ImageSource, load_image
from ..image_processing_scsnet import drop_alpha
from ..pipeline_scsnet import ScsColorizeSrPipeline
from ..pixel_mapping import CELL
from .points import Point, check_point

_DARKEST = 0.25  # brightness of an image where the attention or the valve is 0


@dataclass(frozen=True)
class AttentionMaps:
    """Attention and valve maps of one source and one reference, finest pyramid level first.

    Args:
        source_size: (H, W) of the source at the working size of the color branch.
        reference_size: (Hr, Wr) of the reference at the working size.
        attentions: for each level (h, w, hr, wr), float32; the last two dimensions sum to 1.
        valves: for each level (2, h, w) in (0, 1), source valve and reference valve; empty for
            models without valves.

    Example:
        >>> maps = AttentionMaps.from_images(pipe, "old.jpg", "modern.jpg")
        >>> finest, *coarser = maps.draw_attention("modern.jpg", point=(0.5, 0.5))
        >>> finest.save("attention.png")
    """

    source_size: tuple[int, int]
    reference_size: tuple[int, int]
    attentions: tuple[torch.Tensor, ...]
    valves: tuple[torch.Tensor, ...]

    @classmethod
    def from_images(
        cls, pipe: ScsColorizeSrPipeline, image: ImageSource, reference: ImageSource
    ) -> "AttentionMaps":
        """Compute the maps of an image and a reference.

        Args:
            pipe: the pipeline whose network to look into.
            image: the source, as `image_io.load_image` takes it.
            reference: the reference, likewise.

        Raises:
            ValueError: if the model takes no references.
            image_io.ImageError: if an image cannot be read.
        """
        encoded = pipe.encode_color(image, reference, return_attention=True)
        source_size, reference_size = (
            pipe.model.working_size(tensor.shape[-2:])
            for tensor in (encoded.pixel_values, *encoded.reference_pixel_values)
        )
        attentions = tuple(
            weights[0, 0].float().view(*_cells(source_size, level), *_cells(reference_size, level))
            for level, weights in enumerate(encoded.attentions)
        )
        valves = tuple(level[0].float() for level in encoded.valves)
        return cls(source_size, reference_size, attentions, valves)

    def at(self, point: Point) -> tuple[torch.Tensor, ...]:
        """Return the attention of a point of the source: for each level (hr, wr), sums to 1.

        Raises:
            ValueError: if the point is not inside the image.
        """
        check_point("point", point)
        maps = []
        for level, weights in enumerate(self.attentions):
            row, column = (
                min(int(fraction * side) // (CELL * 2**level), cells - 1)
                for fraction, side, cells in zip(
                    reversed(point), self.source_size, weights.shape[:2], strict=True
                )
            )
            maps.append(weights[row, column])
        return tuple(maps)

    def draw_attention(self, reference: ImageSource, point: Point) -> list[Image.Image]:
        """Draw the reference, bright where a point of the source attends; one image per level.

        The cell with the most attention has full brightness, others in proportion.

        Args:
            reference: the image that the maps were computed from.
            point: of the source.

        Raises:
            ValueError: if the point is not inside the image.
        """
        image = drop_alpha(load_image(reference)).convert("RGB")
        return [
            lit(image, self._pixels(weights / weights.max(), level, self.reference_size))
            for level, weights in enumerate(self.at(point))
        ]

    def draw_valves(self, image: ImageSource) -> list[tuple[Image.Image, Image.Image]]:
        """Draw the source, bright where the source valve and where the reference valve is open.

        Args:
            image: the source that the maps were computed from.

        Returns:
            A pair for each level; full brightness is a valve of 1.
        """
        gray = drop_alpha(load_image(image)).convert("L").convert("RGB")
        return [
            tuple(lit(gray, self._pixels(valve, level, self.source_size)) for valve in pair)
            for level, pair in enumerate(self.valves)
        ]

    def _pixels(self, cells: torch.Tensor, level: int, size: tuple[int, int]) -> torch.Tensor:
        """Repeat cells (h, w) over the pixels (H, W) that they cover, without the padding."""
        side = CELL * 2**level
        pixels = cells.repeat_interleave(side, 0).repeat_interleave(side, 1)
        return pixels[: size[0], : size[1]]


def _cells(size: tuple[int, int], level: int) -> tuple[int, int]:
    """Count rows and columns of a level: ceil(side / 4), halved and rounded up at every level."""
    rows, columns = (-(-side // (CELL * 2**level)) for side in size)
    return rows, columns


def lit(image: Image.Image, light: torch.Tensor) -> Image.Image:
    """Darken an image where `light` (H, W) is 0, and leave it as it is where it is 1."""
    levels = ((_DARKEST + (1 - _DARKEST) * light) * 255).round().to(torch.uint8).numpy()
    mask = Image.fromarray(levels).resize(image.size, Image.Resampling.BILINEAR)
    return Image.composite(image, Image.new("RGB", image.size), mask)
