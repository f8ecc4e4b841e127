"""One file of the command line after the other: images and videos, from disk to disk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..tiling import Strips
from ..video.colorize import colorize_video
from ..video.series import Series
from .atomic_files import replacing
from .frames import (
    MOST_FRAMES,
    Description,
    check_holds_several,
    describe_file,
    read_frames,
    read_metadata,
    write_frames,
)
from .jobs import Work
from .saving import (
    LOSSY_FORMATS,
    format_of,
    holds_deep,
    write_result,
)

Colorize = Callable[..., Strips]  # (image, depth=8 or 16) to the result

_LONG_WORK = 2**24  # pixels; from so many on, one looks for progress
_progress_bar = partial(tqdm, disable=None, leave=False, position=1)  # below that of all files


@dataclass(frozen=True)
class ImageColorizer:
    """Colorizes image files.

    Attributes:
        still: colorizes single images and pages, one after the other.
        animation: gives what colorizes the frames of one file.
        quality: see `saving.save_image`; formats without one are written as ever.
        keep_metadata: carry metadata of the source over.
        most_frames: files with more frames are refused.
        remark: takes a line about what could not be kept.
    """

    still: Colorize
    animation: Callable[[], Colorize]
    quality: int | None = None
    keep_metadata: bool = False
    most_frames: int = MOST_FRAMES
    remark: Callable[[str], None] = print

    def __call__(self, work: Work) -> str:
        """Colorize one file; returns what was written, in words.

        Pages of a TIFF that would go into a file without pages go into a `.tif` beside it.

        Raises:
            ImageError: if the source cannot be read.
            ValueError: if the target cannot hold it, or pages would overwrite the source.
            OSError: if the target cannot be written; then it is as it was before.
        """
        description = describe_file(work.source, self.most_frames)
        target = target_of(work.target, description)
        if target.resolve() == work.source.resolve():
            raise ValueError(f"{target}: the result would overwrite its source")
        check_holds_several(target, description)
        metadata = read_metadata(work.source) if self.keep_metadata else None
        animated = description.several and not description.paged
        colorize = self.animation() if animated else self.still
        results = _Results(colorize, holds_deep(target))
        with replacing(target) as temporary, temporary.open("wb+") as file:
            images = results.of(read_frames(work.source, description, deep=True))
            kind = format_of(target)
            options = (self.quality if kind in LOSSY_FORMATS else None, metadata)
            if description.several:
                whole = (strips.to_image() for strips in images)
                write_frames(whole, file, kind, description, *options)
            else:
                write_result(next(images), file, kind, *options)
        if results.lost_depth:
            self.remark(f"{work.source}: its 16 bits became 8, as {target.suffix} holds them")
        return f"{target} ({results.size})"


@dataclass(frozen=True)
class VideoColorizer:
    """Colorizes videos.

    Attributes:
        series: gives what colorizes the frames of one video.
        quality: see `video.colorize_video`.
        remark: takes a line about what is not as one would expect.
    """

    series: Callable[[], Series]
    quality: int | None = None
    remark: Callable[[str], None] = print

    def __call__(self, work: Work) -> str:
        """Colorize one video; returns what was written, in words. Raises as `colorize_video`."""
        with _progress_bar(unit="frame") as progress:

            def show(done: int, total: int | None) -> None:
                progress.total = total
                progress.update(done - progress.n)

            made = colorize_video(
                work.source, work.target, self.series(), quality=self.quality, progress=show
            )
        if made.damaged:
            self.remark(f"{work.source}: {made.damaged} damaged packets were left out")
        if made.interlaced:
            self.remark(f"{work.source}: is interlaced; deinterlace it first for better results")
        width, height = made.size
        return f"{made.target} ({width}x{height}, {made.frames} frames)"


def target_of(target: Path, description: Description) -> Path:
    """`target`, or a `.tif` beside it for pages that it cannot hold as one animation."""
    if description.several and description.paged and format_of(target) != "TIFF":
        return target.with_suffix(".tif")
    return target


class _Results:
    """Results of one file, and what is to be said about them."""

    def __init__(self, colorize: Colorize, deep: bool):
        self.colorize, self.deep = colorize, deep
        self.lost_depth = False
        self.size = ""

    def of(self, images: Iterator[Image.Image]) -> Iterator[Strips]:
        for number, image in enumerate(images, 1):
            is_deep = image.mode == "I;16"
            result = self.colorize(image, depth=16 if is_deep and self.deep else 8)
            self.lost_depth |= is_deep and not self.deep
            width, height = result.size
            self.size = f"{width}x{height}" + (f", {number} frames" if number > 1 else "")
            yield _with_progress(result)


def _with_progress(image: Strips) -> Strips:
    """The same image; a large one shows how many of its rows have been taken."""
    if image.pixels < _LONG_WORK:
        return image

    def arrays() -> Iterator[np.ndarray]:
        with _progress_bar(total=image.size[1], unit="row") as progress:
            for strip in image.arrays:
                taken = len(strip)
                yield strip
                del strip  # or it would still be there while the next one is made
                progress.update(taken)

    return replace(image, arrays=arrays())
