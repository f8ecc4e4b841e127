"""Where in the reference each place of the source looks, and what the valves let pass (Fig. 8)."""

from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw

from ..decoding import split_alpha
from ..image_io import ImageSource, load_image
from ..pipeline_scsnet import ScsColorizeSrPipeline

_STRIDE = 4  # of the finest pyramid level, in pixels of the working size
_DRAWN_SIDE = 640  # pixels of an image with a point
_SHADE = 0.25  # how bright an image stays where nothing is looked at

Point = tuple[float, float]  # x, y as shares of width and height, 0 to 1


@dataclass(frozen=True)
class AttentionMaps:
    """What the cross attention did with one source and one reference, finest level first.

    Args:
        source_size: (H, W) of the source as the color branch saw it.
        reference_size: (Hr, Wr) of the reference likewise.
        attentions: per level (h, w, hr, wr), float32; the last two dimensions sum to 1.
        valves: per level (2, h, w) in (0, 1): source valve, reference valve; empty in models
            without valves.
    """

    source_size: tuple[int, int]
    reference_size: tuple[int, int]
    attentions: tuple[torch.Tensor, ...]
    valves: tuple[torch.Tensor, ...]

    @classmethod
    @torch.no_grad()
    def of(
        cls, pipe: ScsColorizeSrPipeline, image: ImageSource, reference: ImageSource
    ) -> "AttentionMaps":
        """Run the color branch on an image and a reference.

        Raises:
            ValueError: if the model takes no references.
            image_io.ImageError: if an image cannot be read.
        """
        pixels = pipe.image_processor.source_tensor(split_alpha(load_image(image))[0])
        seen = pipe.image_processor.reference_tensor(load_image(reference))
        color = pipe.model.encode_color(
            pixels.to(pipe.device),
            pipe.model.encode_reference(seen.to(pipe.device)),
            output_attentions=True,
        )
        sizes = [pipe.model.working_size(tensor.shape[-2:]) for tensor in (pixels, seen)]
        levels = range(len(color.attentions))
        attentions = tuple(
            weights[0].float().cpu().view(*_grid(sizes[0], level), *_grid(sizes[1], level))
            for level, weights in zip(levels, color.attentions, strict=True)
        )
        valves = tuple(level[0].float().cpu() for level in color.valves)
        return cls(*sizes, attentions, valves)

    def at(self, point: Point) -> tuple[torch.Tensor, ...]:
        """Where a point of the source looks: per level (hr, wr), sums to 1.

        Raises:
            ValueError: if the point is not inside the image.
        """
        if not all(0 <= share <= 1 for share in point):
            raise ValueError(f"point={point!r}: x and y must be from 0 to 1")
        maps = []
        for level, weights in enumerate(self.attentions):
            row, column = (
                min(int(share * side) // (_STRIDE * 2**level), cells - 1)
                for share, side, cells in zip(
                    reversed(point), self.source_size, weights.shape[:2], strict=True
                )
            )
            maps.append(weights[row, column])
        return tuple(maps)

    def draw_attention(self, reference: ImageSource, point: Point) -> list[Image.Image]:
        """The reference, lit where a point of the source looks; an image for every level.

        The place with the most attention has full light, others as much less as their share is.
        """
        image = split_alpha(load_image(reference))[0].convert("RGB")
        return [
            _lit(image, self._spread(weights / weights.max(), level, self.reference_size))
            for level, weights in enumerate(self.at(point))
        ]

    def draw_valves(self, image: ImageSource) -> list[tuple[Image.Image, Image.Image]]:
        """The source, lit where the source valve and where the reference valve is open.

        A pair for every level; full light is a valve of 1.
        """
        gray = split_alpha(load_image(image))[0].convert("L").convert("RGB")
        return [
            tuple(_lit(gray, self._spread(valve, level, self.source_size)) for valve in pair)
            for level, pair in enumerate(self.valves)
        ]

    def _spread(self, values: torch.Tensor, level: int, size: tuple[int, int]) -> torch.Tensor:
        """Cells (h, w) to the pixels (H, W) they stand for; padding is cut off."""
        side = _STRIDE * 2**level
        pixels = values.repeat_interleave(side, 0).repeat_interleave(side, 1)
        return pixels[: size[0], : size[1]]


def draw_point(image: Image.Image, point: Point) -> Image.Image:
    """The image in gray, 640 pixels on its long side, with a cross at a point.

    Args:
        image: as `image_io.load_image` gives it.
        point: x, y as shares of width and height, 0 to 1.
    """
    factor = _DRAWN_SIDE / max(image.size)
    size = tuple(max(1, round(side * factor)) for side in image.size)
    drawn = image.convert("L").resize(size, Image.Resampling.LANCZOS).convert("RGB")
    x, y = (share * (side - 1) for share, side in zip(point, size, strict=True))
    arm = _DRAWN_SIDE // 24
    pen = ImageDraw.Draw(drawn)
    for width, color in ((6, "white"), (3, "red")):
        pen.line((x - arm, y, x + arm, y), fill=color, width=width)
        pen.line((x, y - arm, x, y + arm), fill=color, width=width)
    return drawn


def _grid(size: tuple[int, int], level: int) -> tuple[int, int]:
    """Rows and columns of a pyramid level: ceil(side / 4), halved and rounded up at every level."""
    rows, columns = (-(-side // (_STRIDE * 2**level)) for side in size)
    return rows, columns


def _lit(image: Image.Image, light: torch.Tensor) -> Image.Image:
    """The image, dark where `light` (H, W) is 0 and as it is where it is 1."""
    levels = ((_SHADE + (1 - _SHADE) * light) * 255).round().to(torch.uint8).numpy()
    mask = Image.fromarray(levels).resize(image.size, Image.Resampling.BILINEAR)
    return Image.composite(image, Image.new("RGB", image.size), mask)
