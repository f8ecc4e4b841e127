"""Animations (GIF, WebP, PNG, AVIF) and pages of a TIFF to files."""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from .formats import format_of
from .image_file import ANIMATED_FORMATS, PAGED_FORMATS, ImageFile
from .saving import encoding_arguments, fit_to_format, write_image


def check_holds_frames(target: Path, source: ImageFile) -> None:
    """Raise ValueError unless the format of `target` holds all frames or pages of `source`."""
    formats = PAGED_FORMATS if source.is_paged else ANIMATED_FORMATS + PAGED_FORMATS
    if source.has_several and format_of(target) not in formats:
        kind, suffixes = (
            ("pages", ".tif") if source.is_paged else ("frames", ".png, .webp, .gif, .avif")
        )
        raise ValueError(
            f"{target}: {target.suffix} does not hold {source.frame_count} {kind}; use {suffixes}"
        )


def write_frames(
    images: Iterable[Image.Image | np.ndarray],
    file: BinaryIO,
    image_format: str,
    source: ImageFile,
    quality: int | None = None,
) -> None:
    """Write all frames or pages into one file, with the timing and metadata of their source.

    Args:
        images: results of `source.frames()`, taken one at a time. Pages are written one at a time
            and may have 16 bits a channel, as (H, W, 3 or 4) uint16.
        file: open for reading and writing.
        image_format: Pillow's name of the format.
        source: where durations, loops and metadata come from.
        quality: see `saving.save_image`.
    """
    if image_format in PAGED_FORMATS:
        with TiffImagePlugin.AppendingTiffWriter(file) as pages:
            for image in images:
                write_image(image, pages, image_format, quality, source.metadata)
                pages.newFrame()
        return
    images = list(images)
    arguments = source.metadata.save_arguments(image_format) if source.metadata else {}
    if image_format == "GIF" and any(image.mode == "RGBA" for image in images):
        images = [image.convert("RGBA") for image in images]
        # Otherwise transparent pixels would show the previous frame, or its background color:
        # Pillow drops an index that a frame declares transparent but does not use.
        arguments |= {"disposal": 2, "optimize": False}
    frames = [fit_to_format(image, image_format) for image in images]
    if source.loop is not None:
        arguments["loop"] = source.loop
    elif image_format != "GIF":
        arguments["loop"] = 1
    frames[0].save(
        file,
        image_format,
        save_all=True,
        append_images=frames[1:],
        duration=source.durations,
        **encoding_arguments(image_format, quality),
        **arguments,
    )
