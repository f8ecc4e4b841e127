"""`ImageColorizer`: one image file of the command, from disk to disk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..tiling import Strips
from .animations import check_holds_frames, write_frames
from .atomic_files import replacing
from .formats import LOSSY_FORMATS, check_size, format_of
from .image_file import ImageFile
from .saving import keeps_16_bits, write_result

Colorize = Callable[..., Strips]  # of an image, with depth=8 or 16

_PROGRESS_PIXELS = 2**21  # results with at least so many have a progress bar of their own


@dataclass(frozen=True)
class ImageColorizer:
    """Colorizes image files.

    Example:
        >>> colorizer = ImageColorizer(pipe.strips, lambda: Series(pipe, "first").strips)
        >>> with ImageFile(Path("old.jpg")) as source:
        ...     colorizer(source, Path("new.png"))
        'new.png (1920x1280)'

    Attributes:
        colorize: colorizes single images and pages.
        new_animation: returns what colorizes the frames of one animation.
        quality: see `saving.save_image`; ignored for lossless formats.
        on_warning: called with one line about what could not be kept.
    """

    colorize: Colorize
    new_animation: Callable[[], Colorize]
    quality: int | None = None
    on_warning: Callable[[str], None] = print

    def __call__(self, source: ImageFile, target: str | Path, show_progress: bool = False) -> str:
        """Colorize one file and return what was written, as text.

        Pages of a TIFF that the format of `target` cannot hold are written to a `.tif` beside it.

        Args:
            source: the open file; its metadata are written if it keeps them.
            target: the file to write.
            show_progress: show a progress bar on a terminal while a large result is computed.

        Raises:
            ImageError: if the source cannot be read.
            ValueError: if the target cannot hold the source, or is the source.
            OSError: if the target cannot be written; then it is as it was before.
        """
        target = Path(target)
        if source.has_several and source.is_paged and format_of(target) != "TIFF":
            target = target.with_suffix(".tif")
        if target.resolve() == Path(source.path).resolve():
            raise ValueError(f"{target}: the result would overwrite its source")
        check_holds_frames(target, source)
        is_animation = source.has_several and not source.is_paged
        colorize = self.new_animation() if is_animation else self.colorize
        results = _Results(source, colorize, target, show_progress)
        image_format = format_of(target)
        quality = self.quality if image_format in LOSSY_FORMATS else None
        with replacing(target) as temporary, temporary.open("wb+") as file:
            if source.has_several:
                images = (strips.to_image() for strips in results)
                write_frames(images, file, image_format, source, quality)
            else:
                strips = next(iter(results))
                write_result(strips, file, image_format, quality, source.metadata)
        if results.lost_depth:
            self.on_warning(
                f"{source.path}: 16 bits were reduced to 8, as {target.suffix} holds no more"
            )
        frames = f", {source.frame_count} frames" if source.has_several else ""
        width, height = results.size
        return f"{target} ({width}x{height}{frames})"


class _Results:
    """Iterates over the results of one file.

    Attributes:
        lost_depth: whether a source of 16 bits became a result of 8.
        size: (width, height) of the last result.
    """

    def __init__(self, source: ImageFile, colorize: Colorize, target: Path, show_progress: bool):
        self._source, self._colorize, self._target = source, colorize, target
        self._keeps_16_bits, self._show_progress = keeps_16_bits(target), show_progress
        self.lost_depth = False
        self.size = (0, 0)

    def __iter__(self) -> Iterator[Strips]:
        for image in self._source.frames(keep_16_bits=True):
            has_16_bits = image.mode == "I;16"
            result = self._colorize(image, depth=16 if has_16_bits and self._keeps_16_bits else 8)
            self.lost_depth |= has_16_bits and not self._keeps_16_bits
            self.size = result.size
            check_size(self.size, self._target)  # before anything is computed
            yield _with_progress(result) if self._show_progress else result


def _with_progress(image: Strips) -> Strips:
    """The same image; while a large one is written, a bar shows how many rows are done."""
    if image.pixels < _PROGRESS_PIXELS:
        return image

    def arrays() -> Iterator[np.ndarray]:
        with progress_bar(total=image.size[1], unit="row") as bar:
            for strip in image.arrays:
                rows = len(strip)
                yield strip
                del strip  # otherwise it would be kept while the next one is computed
                bar.update(rows)

    return replace(image, arrays=arrays())


def progress_bar(**options: object) -> tqdm:
    """Return a bar for one file, below that of all files, if there is a terminal."""
    return tqdm(disable=None, leave=False, position=1, **options)
