"""`ImageFile`: one image file, opened once and decoded once."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from PIL import Image

from ..decoding import ImageError, decode, report_damage
from ..image_io import check_pixels, open_image
from ..unusual_files import is_reduced
from .metadata import Metadata

ANIMATED_FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
PAGED_FORMATS = ("TIFF",)
MAX_FRAMES = 1000  # of one file, unless the caller allows more


class ImageFile:
    """An open image file: an image, an animation or the pages of a TIFF.

    Example:
        >>> with ImageFile(Path("moving.gif")) as file:
        ...     sizes = [frame.size for frame in file.frames()]

    Args:
        path: the file.
        max_frames: a file with more frames or pages is refused.
        keep_metadata: read metadata together with the first frame.

    Attributes:
        format: Pillow's name of the format.
        width: of the first frame in pixels, as stored: before the EXIF orientation is applied.
        height: the same.
        frame_count: number of frames or pages, 1 for a single image.
        loop: how often an animation is shown, 0 without end; None for a GIF that does not say and
            is shown once.
        durations: milliseconds of each frame that has been read.
        metadata: of the first frame once it has been read; None unless `keep_metadata`.

    Raises:
        ImageError: if the file cannot be read, or has too many frames.
    """

    def __init__(self, path: Path, max_frames: int = MAX_FRAMES, keep_metadata: bool = False):
        with ExitStack() as resources:
            self._image, self._name = resources.enter_context(open_image(path))
            self._keep_metadata = keep_metadata
            self.path = path
            self.format = self._image.format
            self._frames = _frames(self._image, max_frames)
            self.frame_count = len(self._frames)
            self.width, self.height = self._image.size
            if self.frame_count > max_frames:
                raise ImageError(
                    f"{self._name}: has more frames than the limit of {max_frames}; if you trust "
                    "it, raise the limit (--max-frames)"
                )
            self.loop = self._image.info.get("loop", None if self.format == "GIF" else 0)
            self.durations: list[int] = []
            self.metadata: Metadata | None = None
            self.close = resources.pop_all().close

    def __enter__(self) -> "ImageFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()  # without the error: `open_image` would take it for damage of this file

    @property
    def has_several(self) -> bool:
        """Whether the file is an animation or has several pages."""
        return self.frame_count > 1

    @property
    def is_paged(self) -> bool:
        """Whether its images are pages, each with a size of its own, rather than an animation."""
        return self.format in PAGED_FORMATS

    def frames(self, keep_16_bits: bool = False) -> Iterator[Image.Image]:
        """Yield the frames or pages in order, once, decoded as by `image_io.load_image`.

        Args:
            keep_16_bits: keep gray of more than 8 bits, as mode I;16.

        Raises:
            ImageError: at the first frame that is damaged.
        """
        for index, position in enumerate(self._frames):
            name = f"{self._name}, frame {index + 1}" if self.has_several else self._name
            with report_damage(self._name):
                self._image.seek(position)
                check_pixels(self._image.size, name)
                frame = decode(self._image, name, keep_16_bits)
                if self.format == "GIF":  # which may draw beyond its screen
                    frame = frame.crop((0, 0, self.width, self.height))
                self.durations.append(round(self._image.info.get("duration") or 0))
                if self._keep_metadata and index == 0:
                    self.metadata = Metadata.from_image(self._image, self._name)
            yield frame


def _frames(image: Image.Image, most: int) -> list[int]:
    """Return the positions of frames or pages, up to `most` + 1; the first one is selected."""
    if image.format in ANIMATED_FORMATS:
        # A PNG may have an image for viewers without animation before its frames.
        return list(range(int(getattr(image, "default_image", False)), image.n_frames))
    return _full_size_pages(image, most) if image.format in PAGED_FORMATS else [image.tell()]


def _full_size_pages(image: Image.Image, most: int) -> list[int]:
    # The time of `n_frames` grows with the square of their number.
    first, info = image.tell(), dict(image.info)
    positions, every_page_is_reduced = [first], is_reduced(image)
    try:
        while len(positions) <= most:
            image.seek(image.tell() + 1)
            if every_page_is_reduced or not is_reduced(image):
                positions.append(image.tell())
    except EOFError:
        pass
    image.seek(first)
    image.info = info  # a profile or resolution of later pages would stay
    return positions
