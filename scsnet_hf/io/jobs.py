"""Which files the command line reads, and where their results go."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..image_io import READABLE_SUFFIXES
from ..video.colorize import VIDEO_SUFFIXES, WRITABLE_VIDEO_SUFFIXES, video_target
from .folders import RESULT_MARK, files_in
from .saving import LOSSY_FORMATS, check_writable_suffix, format_of

DEFAULT_FORMAT = "png"

_RESULT = re.compile(rf"{re.escape(RESULT_MARK)}\.[a-z0-9]+$", re.IGNORECASE)


class Work(NamedTuple):
    """One image or video to read and where its result goes."""

    source: Path
    target: Path

    @property
    def is_done(self) -> bool:
        """Whether the result is there, also as the pages that a `.tif` holds instead."""
        pages = self.target.with_suffix(".tif")
        return self.target.exists() or (_may_have_pages(self.source) and pages.exists())

    @property
    def is_video(self) -> bool:
        """Whether the source is a video, by its suffix."""
        return _is_video(self.source)

    @property
    def has_quality(self) -> bool:
        """Whether the target can be written at different qualities."""
        return self.is_video or format_of(self.target) in LOSSY_FORMATS


def _may_have_pages(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".tiff")


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(inputs: list[str], output: str | None) -> Iterator[tuple[Path, Path]]:
    """(file, its place in the output folder) for every input; folders are searched in depth.

    Results of earlier runs inside a folder (`*.scs.*`, or the output folder) are left out.
    """
    for name in inputs:
        path = Path(name)
        if not path.is_dir():
            yield path, Path(path.name)
            continue
        results = Path(output).resolve() if output else None
        for file in files_in(path, READABLE_SUFFIXES | VIDEO_SUFFIXES):
            inside = results != path.resolve() and results in file.resolve().parents
            if not inside and not _RESULT.search(file.name):
                yield file, file.relative_to(path)


def plan(inputs: list[str], output: str | None, image_format: str | None = None) -> list[Work]:
    """Pair every input with its target.

    Args:
        inputs: files and folders.
        output: file for one input, else a folder; beside the inputs if None.
        image_format: suffix of the results, without dot; videos keep theirs.

    Raises:
        ValueError: where that is impossible, or a result would overwrite an input or another one.
    """
    found = list(find_inputs(inputs, output))
    if not found:
        raise ValueError(f"no images in {', '.join(inputs)}")
    if output is not None and _is_one_file(inputs, Path(output)):
        work = [Work(found[0][0], _as_one_file(found[0][0], Path(output), image_format))]
    elif output is not None and Path(output).is_file():
        raise ValueError(f"{output}: is a file, but several images need a folder")
    else:
        suffixes = [_suffix(source, image_format) for source, _ in found]
        work = [
            Work(source, _beside(source, suffix) if output is None else Path(output) / inside)
            for (source, place), suffix in zip(found, suffixes, strict=True)
            for inside in [place.with_suffix(suffix)]
        ]
    _check_targets(work)
    return work


def _suffix(source: Path, image_format: str | None) -> str:
    if _is_video(source):
        return video_target(source).suffix
    return f".{image_format or DEFAULT_FORMAT}"


def _beside(source: Path, suffix: str) -> Path:
    return source.with_suffix(f"{RESULT_MARK}{suffix}")


def _is_one_file(inputs: list[str], output: Path) -> bool:
    one_input = len(inputs) == 1 and not Path(inputs[0]).is_dir()
    return one_input and bool(output.suffix) and not output.is_dir()


def _as_one_file(source: Path, output: Path, image_format: str | None) -> Path:
    if _is_video(source):
        if output.suffix.lower() not in WRITABLE_VIDEO_SUFFIXES:
            raise ValueError(
                f"{output}: a video is written as {' '.join(sorted(WRITABLE_VIDEO_SUFFIXES))}"
            )
        return output
    check_writable_suffix(output)
    if image_format is not None and output.suffix.lower() != f".{image_format}":
        raise ValueError(f"{output}: is not of --format {image_format}; leave one of them out")
    return output


def _check_targets(work: list[Work]) -> None:
    """Raise ValueError if a result would overwrite an input or another result."""
    sources = {source.resolve() for source, _ in work}
    first: dict[Path, Path] = {}
    for source, target in work:
        place = target.resolve()
        if place in sources:
            raise ValueError(f"{target}: the result would overwrite an input")
        if place in first:
            raise ValueError(f"{first[place]} and {source} would both be written to {target}")
        first[place] = source
