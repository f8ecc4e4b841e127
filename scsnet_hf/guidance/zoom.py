"""`ZoomView`: windows of an image at any magnification, and zooms into it (Fig. 9)."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from ..call_arguments import MAX_SCALE, output_size_of
from ..image_io import ImageSource
from ..pipeline_scsnet import ScsColorizeSrPipeline
from ..pixel_mapping import PixelGrid
from .points import Point, check_point


class ZoomView:
    """An image that is encoded once, and whose windows cost no more than their own pixels.

    Args:
        pipe: the pipeline whose network draws the image.
        image: as `image_io.load_image` takes it. Transparency is left out.
        reference: an image, or a list of several, whose colors to use.
        reference_strength: 0 (automatic) to 1.

    Raises:
        ValueError: if `reference_strength` is out of its range, or a reference is given for a
            model that takes none.
        image_io.ImageError: if an image cannot be read.

    Example:
        >>> from scsnet_hf.guidance.zoom import save_animation
        >>> view = ZoomView(pipe, "old.jpg", reference="modern.jpg")
        >>> view.draw(scale=8, center=(0.4, 0.6), size=(640, 480)).save("window.png")
        >>> save_animation(view.zoom_in((0.4, 0.6), size=(640, 480)), "zoom.webp")
    """

    def __init__(
        self,
        pipe: ScsColorizeSrPipeline,
        image: ImageSource,
        reference: ImageSource | list[ImageSource] | None = None,
        reference_strength: float = 1.0,
    ):
        self.pipe = pipe
        self._encoded = pipe.encode_color(image, reference, reference_strength=reference_strength)

    @property
    def source_size(self) -> tuple[int, int]:
        """(H, W) of the source."""
        height, width = self._encoded.pixel_values.shape[-2:]
        return height, width

    def smallest_scale(self, size: tuple[int, int]) -> float:
        """Return the magnification, 1 or more, at which the image fills (width, height)."""
        height, width = self.source_size
        return max(1.0, size[0] / width, size[1] / height)

    def draw(
        self, scale: float, center: Point, size: tuple[int, int], saturation: float = 1.0
    ) -> Image.Image:
        """Draw a window at one magnification, each pixel decoded by the network.

        The lightness is the network's own, without the correction that the pipeline applies to
        whole images.

        Args:
            scale: magnification.
            center: of the window, moved inward where the window would leave the image.
            size: (width, height) of the window in pixels, at most those of the whole output.
            saturation: factor on the chroma, 0 (gray) to 4.

        Raises:
            ValueError: if the window does not fit, or `center` is not inside the image.
        """
        check_point("center", center)
        output = output_size_of(self.source_size, scale)
        length = (size[1], size[0])
        if length[0] > output[0] or length[1] > output[1]:
            raise ValueError(
                f"a window of {size[0]}x{size[1]} is larger than the image at scale={scale:g}, "
                f"{output[1]}x{output[0]}"
            )
        start = tuple(
            min(max(0, round(fraction * whole - part / 2)), whole - part)
            for fraction, whole, part in zip(reversed(center), output, length, strict=True)
        )
        grid = PixelGrid(self.source_size, output, start, length)
        lab = self.pipe.decode_window(self._encoded, grid)
        return self.pipe.image_processor.post_process(lab, saturation)[0]

    def zoom_in(
        self,
        center: Point,
        size: tuple[int, int],
        scale: float = 8.0,
        count: int = 48,
        saturation: float = 1.0,
    ) -> Iterator[Image.Image]:
        """Draw frames from the whole image to a magnification, by equal factors.

        Args:
            center: where the zoom ends.
            size: (width, height) of each frame in pixels.
            scale: the last magnification, at most 16.
            count: number of frames, 2 or more.
            saturation: factor on the chroma, 0 (gray) to 4.

        Raises:
            ValueError: if an argument is out of its range; before the first frame.
        """
        first = self.smallest_scale(size)
        if not first < scale <= MAX_SCALE:
            raise ValueError(
                f"scale={scale!r}: must be above {first:.2f}, where the image fills "
                f"{size[0]}x{size[1]}, and at most {MAX_SCALE:g}"
            )
        if count < 2:
            raise ValueError(f"count={count!r}: must be 2 or more")
        ratio = scale / first
        scales = (first * ratio ** (index / (count - 1)) for index in range(count))
        return (self.draw(one, center, size, saturation) for one in scales)

    def compare_scales(
        self, center: Point, scale: float, width: int, saturation: float = 1.0
    ) -> dict[str, Image.Image]:
        """Draw a square of the source at magnifications 1, 2, 4, ... and `scale` (Fig. 9).

        Args:
            center: of the square, moved inward where it would leave the image.
            scale: the last magnification.
            width: pixels of the square at the last magnification; fewer if the source is small.
            saturation: factor on the chroma, 0 (gray) to 4.

        Returns:
            Images by their captions, such as "x2".
        """
        source_side = max(1, min(*self.source_size, round(width / scale)))
        smaller = [2**step for step in range(5) if 2**step < scale]
        return self.draw_square(center, source_side, [*smaller, scale], saturation)

    def draw_square(
        self, center: Point, side: int, scales: Iterable[float], saturation: float = 1.0
    ) -> dict[str, Image.Image]:
        """Draw a square of the source at several magnifications.

        Args:
            center: of the square, moved inward where it would leave the image.
            side: of the square, in source pixels.
            scales: magnifications.
            saturation: factor on the chroma, 0 (gray) to 4.

        Returns:
            Images by their captions, such as "x2".
        """
        sides = {scale: max(1, round(side * scale)) for scale in scales}
        return {
            f"x{scale:g}": self.draw(scale, center, (pixels, pixels), saturation)
            for scale, pixels in sides.items()
        }


def save_animation(
    frames: Iterable[Image.Image], path: str | os.PathLike, milliseconds: int = 60
) -> None:
    """Write frames as an animated WebP without end; the last one is shown for a second.

    Args:
        frames: RGB images of one size, at least one.
        path: ends in .webp.
        milliseconds: how long each frame is shown.
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
