"""Which files the command reads, and where their results go."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..image_io import READABLE_SUFFIXES
from .folders import RESULT_MARK, VIDEO_SUFFIXES, WRITABLE_VIDEO_SUFFIXES, files_in
from .formats import LOSSY_FORMATS, check_writable_suffix, format_of

DEFAULT_FORMAT = "png"
_RESULT_NAME = re.compile(rf"{re.escape(RESULT_MARK)}\.[a-z0-9]+$", re.IGNORECASE)


class Job(NamedTuple):
    """One image or video file to colorize.

    Attributes:
        source: the file to read.
        target: the file to write.
    """

    source: Path
    target: Path

    @property
    def is_done(self) -> bool:
        """Whether the result exists, perhaps as the `.tif` that holds the pages of a TIFF."""
        pages = self.target.with_suffix(".tif")
        return self.target.exists() or (_may_have_pages(self.source) and pages.exists())

    @property
    def is_video(self) -> bool:
        """Whether the source is a video, by its suffix."""
        return _is_video(self.source)

    @property
    def has_quality(self) -> bool:
        """Whether the format of the target is lossy, with a quality to choose."""
        return self.is_video or format_of(self.target) in LOSSY_FORMATS


def _may_have_pages(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".tiff")


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(inputs: list[str], output: str | None) -> Iterator[tuple[Path, Path]]:
    """Yield each input file with its path relative to the output folder.

    Folders are searched with their subfolders. Results of earlier runs (`*.scs.*`, and what is in
    the output folder) are left out.

    Args:
        inputs: files and folders.
        output: the output folder, if there is one.
    """
    for name in inputs:
        path = Path(name)
        if not path.is_dir():
            yield path, Path(path.name)
            continue
        results = Path(output).resolve() if output else None
        for file in files_in(path, READABLE_SUFFIXES | VIDEO_SUFFIXES):
            inside = results != path.resolve() and results in file.resolve().parents
            if not inside and not _RESULT_NAME.search(file.name):
                yield file, file.relative_to(path)


def plan_jobs(inputs: list[str], output: str | None, image_format: str | None = None) -> list[Job]:
    """Pair every input file with the file of its result.

    Args:
        inputs: files and folders.
        output: a file for one input, otherwise a folder; None puts results beside their inputs.
        image_format: suffix of image results, without dot; videos keep theirs.

    Raises:
        ValueError: if there are no inputs, `output` does not fit them, or a result would overwrite
            an input or another result.
    """
    found = list(find_inputs(inputs, output))
    if not found:
        raise ValueError(f"no images in {', '.join(inputs)}")
    if output is not None and _is_one_file(inputs, Path(output)):
        jobs = [Job(found[0][0], _check_output_file(found[0][0], Path(output), image_format))]
    elif output is not None and Path(output).is_file():
        raise ValueError(f"{output}: is a file, but several images need a folder")
    else:
        jobs = []
        for source, place in found:
            suffix = _result_suffix(source, image_format)
            beside = source.with_suffix(f"{RESULT_MARK}{suffix}")
            inside = place.with_suffix(suffix)
            jobs.append(Job(source, beside if output is None else Path(output) / inside))
    _check_targets(jobs)
    return jobs


def _result_suffix(source: Path, image_format: str | None) -> str:
    if not _is_video(source):
        return f".{image_format or DEFAULT_FORMAT}"
    return source.suffix if source.suffix.lower() in WRITABLE_VIDEO_SUFFIXES else ".mkv"


def _is_one_file(inputs: list[str], output: Path) -> bool:
    one_input = len(inputs) == 1 and not Path(inputs[0]).is_dir()
    return one_input and bool(output.suffix) and not output.is_dir()


def _check_output_file(source: Path, output: Path, image_format: str | None) -> Path:
    if _is_video(source):
        if output.suffix.lower() not in WRITABLE_VIDEO_SUFFIXES:
            suffixes = " ".join(sorted(WRITABLE_VIDEO_SUFFIXES))
            raise ValueError(f"{output}: a video is written as {suffixes}")
        return output
    check_writable_suffix(output)
    if image_format is not None and output.suffix.lower() != f".{image_format}":
        raise ValueError(f"{output}: is not of --format {image_format}; leave one of them out")
    return output


def _check_targets(jobs: list[Job]) -> None:
    """Raise ValueError if a result would overwrite an input or another result."""
    sources = {source.resolve() for source, _ in jobs}
    first: dict[Path, Path] = {}
    for source, target in jobs:
        place = target.resolve()
        if place in sources:
            raise ValueError(f"{target}: the result would overwrite an input")
        if place in first:
            raise ValueError(f"{first[place]} and {source} would both be written to {target}")
        first[place] = source
