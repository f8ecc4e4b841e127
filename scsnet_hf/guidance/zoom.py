"""`ZoomView`: any window of an image at any magnification, and journeys into it (Fig. 9).

The network sees the source once; every window costs what its own pixels cost.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from PIL import Image

from ..decoding import split_alpha
from ..image_io import ImageSource, load_image
from ..modeling_scsnet import output_size_of
from ..pipeline_scsnet import LARGEST_SCALE, ScsColorizeSrPipeline
from ..pixel_mapping import PixelGrid
from ..tiling import decode_window

Point = tuple[float, float]  # x, y as shares of width and height, 0 to 1


class ZoomView:
    """An image that has been through the encoders.

    Args:
        pipe: whose model draws it.
        image: as `image_io.load_image` takes it; transparency is left out.
        reference: image whose colors to use, or several in a list.
        reference_strength: 0 (automatic) to 1.

    Raises:
        image_io.ImageError: if an image cannot be read.
    """

    def __init__(
        self,
        pipe: ScsColorizeSrPipeline,
        image: ImageSource,
        reference: ImageSource | list[ImageSource] | None = None,
        reference_strength: float = 1.0,
    ):
        self.pipe = pipe
        source, _ = split_alpha(load_image(image))
        self._pixels = pipe.image_processor.source_tensor(source).to(pipe.device)
        tokens = None if reference is None else pipe.encode_reference(reference)
        with torch.no_grad():
            color = pipe.model.encode_color(
                self._pixels, tokens, reference_strength=reference_strength
            )
        self._color = color.features

    @property
    def source_size(self) -> tuple[int, int]:
        """(H, W)."""
        return tuple(self._pixels.shape[-2:])

    def smallest_scale(self, size: tuple[int, int]) -> float:
        """Magnification, 1 or more, from which the image fills a window of (width, height)."""
        height, width = self.source_size
        return max(1.0, size[0] / width, size[1] / height)

    @torch.no_grad()
    def draw(
        self, scale: float, center: Point, size: tuple[int, int], saturation: float = 1.0
    ) -> Image.Image:
        """A window at one magnification, a pixel of the output per pixel.

        Lightness is the network's, without the correction that the pipeline makes on whole
        images.

        Args:
            scale: magnification; the window must not be larger than the output it lies in.
            center: what stands in its middle, as far as the image's borders allow.
            size: of the window, (width, height) in pixels.
            saturation: factor on the colors, 0 (gray) to 4.

        Raises:
            ValueError: if the window does not fit, or `center` is not inside the image.
        """
        if not all(0 <= share <= 1 for share in center):
            raise ValueError(f"center={center!r}: x and y must be from 0 to 1")
        output = output_size_of(self.source_size, scale)
        length = (size[1], size[0])
        if length[0] > output[0] or length[1] > output[1]:
            raise ValueError(
                f"a window of {size[0]}x{size[1]} is larger than the image at scale={scale:g}, "
                f"{output[1]}x{output[0]}"
            )
        start = tuple(
            min(max(0, round(share * whole - part / 2)), whole - part)
            for share, whole, part in zip(reversed(center), output, length, strict=True)
        )
        grid = PixelGrid(self.source_size, output, start, length)
        lab = decode_window(self.pipe.model, self._pixels, self._color, grid)
        return self.pipe.image_processor.post_process(lab, saturation)[0]

    def journey(
        self,
        center: Point,
        size: tuple[int, int],
        scale: float = 8.0,
        count: int = 48,
        saturation: float = 1.0,
    ) -> Iterator[Image.Image]:
        """Windows from the whole image to `scale`, each as much closer than the one before.

        Args:
            center: where it leads.
            size: of every window, (width, height) in pixels.
            scale: the last magnification, at most 16.
            count: how many windows, 2 or more.
            saturation: factor on the colors, 0 (gray) to 4.

        Raises:
            ValueError: on an argument out of its range, before the first window.
        """
        first = self.smallest_scale(size)
        if not first < scale <= LARGEST_SCALE:
            raise ValueError(
                f"scale={scale!r}: must be above {first:.2f}, where the image fills "
                f"{size[0]}x{size[1]}, and at most {LARGEST_SCALE:g}"
            )
        if count < 2:
            raise ValueError(f"count={count!r}: must be 2 or more")
        ratio = scale / first
        scales = (first * ratio ** (index / (count - 1)) for index in range(count))
        return (self.draw(one, center, size, saturation) for one in scales)

    def same_region(
        self, center: Point, width: int, scales: Iterable[float], saturation: float = 1.0
    ) -> dict[str, Image.Image]:
        """A region of the source, square, at several magnifications, by their captions (Fig. 9).

        Args:
            center: of the region, as far as the image's borders allow.
            width: its side in source pixels.
            scales: magnifications.
            saturation: factor on the colors, 0 (gray) to 4.
        """
        sides = {scale: max(1, round(width * scale)) for scale in scales}
        return {
            f"x{scale:g}": self.draw(scale, center, (side, side), saturation)
            for scale, side in sides.items()
        }

    def strip(
        self, center: Point, scale: float, width: int, saturation: float = 1.0
    ) -> dict[str, Image.Image]:
        """`same_region` at magnifications 1, 2, 4, ... and `scale`, where it is `width` pixels.

        Args:
            center: of the region, as far as the image's borders allow.
            scale: the last magnification.
            width: side of its image in pixels, fewer where the source is small.
            saturation: factor on the colors, 0 (gray) to 4.
        """
        side = max(1, min(*self.source_size, round(width / scale)))
        before = [2**step for step in range(5) if 2**step < scale]
        return self.same_region(center, side, [*before, scale], saturation)


def save_animation(
    frames: Iterable[Image.Image], path: str | os.PathLike, milliseconds: int = 60
) -> None:
    """Write frames of one size as an endless animated WebP; the last one stays for a second.

    Args:
        frames: RGB images, at least one.
        path: ends in .webp.
        milliseconds: how long a frame is shown.
    """
    first, *others = frames
    first.save(
        Path(path),
        format="WEBP",
        save_all=True,
        append_images=others,
        duration=[milliseconds] * len(others) + [1000],
        loop=0,
        quality=90,
    )
