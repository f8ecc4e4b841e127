"""Files of several images: animations (GIF, WebP, PNG, AVIF) and pages of a TIFF."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from ..decoding import ImageError, decode
from ..image_io import check_pixels, opened
from .metadata import Metadata
from .saving import (
    encoding_arguments,
    fitting,
    format_of,
    write_image,
)

ANIMATED_FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
PAGED_FORMATS = ("TIFF",)
MOST_FRAMES = 1000  # in one file, unless the caller allows more


@dataclass(frozen=True)
class Description:
    """What a file holds, before its pixels are read.

    Attributes:
        format: as Pillow names it.
        frames: how many frames or pages there are.
        durations: milliseconds that each frame stays, filled while frames are read.
        loop: how often an animation is shown, 0 for ever; None for a GIF that does not say, which
            is shown once.
    """

    format: str
    frames: int
    loop: int | None
    durations: list[int] = field(default_factory=list)

    @property
    def several(self) -> bool:
        """Whether it is an animation or has pages."""
        return self.frames > 1

    @property
    def paged(self) -> bool:
        """Whether its images are pages, each with a size of its own, not an animation."""
        return self.format in PAGED_FORMATS


def describe_file(path: Path, most_frames: int = MOST_FRAMES) -> Description:
    """Look at an image file.

    Raises:
        ImageError: if it cannot be read, or has more than `most_frames` frames.
    """
    with opened(path) as (image, name):
        known = image.format in ANIMATED_FORMATS + PAGED_FORMATS
        frames = _count_frames(image, most_frames) if known else 1
        if frames > most_frames:
            raise ImageError(
                f"{name}: has more frames than the limit of {most_frames}; if you trust it, raise "
                "the limit (--max-frames)"
            )
        loop = image.info.get("loop", None if image.format == "GIF" else 0)
        return Description(image.format, frames, loop)


def _count_frames(image: Image.Image, most: int) -> int:
    """How many frames or pages there are; of pages, not more than `most` + 1 are counted."""
    if image.format not in PAGED_FORMATS:
        return image.n_frames - _default_images(image)
    # Pillow's time to count them grows with the square of their number.
    for page in range(most + 1):
        try:
            image.seek(page)
        except EOFError:
            return page
    return most + 1


def _default_images(image: Image.Image) -> int:
    """1 where an image for viewers without animation comes before the frames of a PNG, else 0."""
    return int(getattr(image, "default_image", False))


def read_frames(path: Path, description: Description, deep: bool = False) -> Iterator[Image.Image]:
    """The frames or pages of a file one after the other, as `image_io.load_image` reads them.

    Args:
        path: the file.
        description: of the file; its `durations` are filled.
        deep: keep more than 8 bits of gray, as mode I;16.

    Raises:
        ImageError: at the first frame that is damaged.
    """
    with opened(path) as (image, name):
        first = _default_images(image)
        for index in range(description.frames):
            image.seek(first + index)
            label = f"{name}, frame {index + 1}" if description.several else name
            check_pixels(image.size, label)
            frame = decode(image, label, deep)
            description.durations.append(round(image.info.get("duration") or 0))
            yield frame


def read_metadata(path: Path) -> Metadata:
    """What an image file says beside its pixels.

    Raises:
        ImageError: if it cannot be read.
    """
    with opened(path) as (image, _):
        image.load()
        return Metadata.of(image)


def check_holds_several(path: Path, description: Description) -> None:
    """Raise ValueError unless a file with this suffix holds all frames or pages."""
    held = PAGED_FORMATS if description.paged else ANIMATED_FORMATS + PAGED_FORMATS
    if description.several and format_of(path) not in held:
        kind, suffixes = (
            ("pages", ".tif") if description.paged else ("frames", ".png, .webp, .gif, .avif")
        )
        raise ValueError(
            f"{path}: {path.suffix} does not hold {description.frames} {kind}; use {suffixes}"
        )


def write_frames(
    images: Iterable[Image.Image | np.ndarray],
    file: BinaryIO,
    image_format: str,
    description: Description,
    quality: int | None = None,
    metadata: Metadata | None = None,
) -> None:
    """Write all frames or pages into one file, with the timing of the source.

    Args:
        images: pages are written one at a time, and may have 16 bits a channel, as
            (H, W, 3 or 4) uint16.
        file: open for reading and writing.
        image_format: as Pillow names it.
        description: of the source.
        quality, metadata: see `saving.save_image`.
    """
    if image_format in PAGED_FORMATS:
        with TiffImagePlugin.AppendingTiffWriter(file) as pages:
            for image in images:
                write_image(image, pages, image_format, quality, metadata)
                pages.newFrame()
        return
    images = list(images)
    arguments = metadata.save_arguments(image_format) if metadata else {}
    if image_format == "GIF" and any(image.mode == "RGBA" for image in images):
        images = [image.convert("RGBA") for image in images]
        # Else transparent pixels would show the frame before, or its background color: Pillow
        # optimizes an index away that a frame declares transparent but has not.
        arguments |= {"disposal": 2, "optimize": False}
    frames = [fitting(image, image_format) for image in images]
    if description.loop is not None:
        arguments["loop"] = description.loop
    elif image_format != "GIF":
        arguments["loop"] = 1
    frames[0].save(
        file,
        image_format,
        save_all=True,
        append_images=frames[1:],
        duration=description.durations,
        **encoding_arguments(image_format, quality),
        **arguments,
    )
