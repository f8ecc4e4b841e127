"""Which files the command reads, and where their results go."""

import logging
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ..image_io import READABLE_SUFFIXES, download, is_url, open_image
from .folders import RESULT_MARK, VIDEO_SUFFIXES, WRITABLE_VIDEO_SUFFIXES, files_in, is_hidden
from .formats import LOSSY_FORMATS, WRITABLE_SUFFIXES, check_writable_suffix, format_of

_logger = logging.getLogger(__name__)

DEFAULT_FORMAT = "png"
STANDARD_STREAM = "-"  # as input or output
_RESULT_NAME = re.compile(rf"{re.escape(RESULT_MARK)}\.[a-z0-9]+$", re.IGNORECASE)
_UNSAFE_IN_NAMES = re.compile(r'[\x00-\x1f/\\:*?"<>|]')


class Job(NamedTuple):
    """One image or video file to colorize.

    Attributes:
        source: the file to read; of a URL or standard input, the file that `fetch` writes.
        target: the file to write.
        origin: the URL, or "-" for standard input; empty for a file.
    """

    source: Path
    target: Path
    origin: str = ""

    @property
    def name(self) -> str:
        """What messages call the source."""
        return (
            "standard input" if self.origin == STANDARD_STREAM else self.origin or str(self.source)
        )

    @property
    def result(self) -> Path | None:
        """The result if it exists, perhaps as the `.tif` that holds the pages of a TIFF."""
        pages = self.target.with_suffix(".tif") if _may_have_pages(self.source) else self.target
        return next((file for file in (self.target, pages) if file.exists()), None)

    @property
    def is_done(self) -> bool:
        """Whether the result exists."""
        return self.result is not None

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


class Input(NamedTuple):
    """An input file that was found.

    Attributes:
        path: the file to read.
        place: its path relative to the output folder, but for the suffix.
        origin: see `Job`.
    """

    path: Path
    place: Path
    origin: str = ""


def find_inputs(inputs: list[str], output: str | None, fetched: Path) -> Iterator[Input]:
    """Yield every input file.

    Folders are searched with their subfolders. Results of earlier runs (`*.scs.*`, and what is in
    the output folder) are left out.

    Args:
        inputs: files, folders, URLs and "-" for standard input.
        output: the output folder, if there is one.
        fetched: folder for the content of URLs and of standard input.
    """
    results = Path(output).resolve() if output else None
    for index, name in enumerate(inputs):
        path = Path(name)
        if name == STANDARD_STREAM or is_url(name):
            place = _name_of(name)
            yield Input(fetched / str(index) / place, place, name)
        elif not path.is_dir():
            yield Input(path, Path(path.name))
        else:
            for file in files_in(path, READABLE_SUFFIXES | VIDEO_SUFFIXES):
                inside = results != path.resolve() and results in file.resolve().parents
                if not inside and not _RESULT_NAME.search(file.name):
                    yield Input(file, file.relative_to(path))


def _name_of(origin: str) -> Path:
    """The name of a file for the content of a URL or of standard input."""
    if origin == STANDARD_STREAM:
        return Path("stdin")
    last = unquote(urlsplit(origin).path).rstrip("/").rpartition("/")[2]
    return Path(_UNSAFE_IN_NAMES.sub("_", last).strip(". ") or "download")


def plan_jobs(
    inputs: list[str],
    output: str | None,
    image_format: str | None = None,
    fetched: Path = Path("fetched"),
) -> list[Job]:
    """Pair every input file with the file of its result.

    Args:
        inputs: files, folders, URLs and "-" for standard input.
        output: a file for one input, otherwise a folder; "-" for standard output. None puts
            results beside their inputs, and those of URLs into the current folder.
        image_format: suffix of image results, without dot; videos keep theirs.
        fetched: folder for the content of URLs and standard input, and for the result that is
            copied to standard output.

    Raises:
        ValueError: if there are no inputs, `output` does not fit them, or a result would overwrite
            an input or another result.
    """
    to_stdout = output == STANDARD_STREAM
    found = list(find_inputs(inputs, None if to_stdout else output, fetched))
    if not found:
        raise ValueError(
            f"no images or videos in {', '.join(inputs)}; they are found by their suffixes, such "
            "as .jpg, .png, .tif or .mp4"
        )
    if to_stdout:
        jobs = [_job_to_stdout(found, image_format, fetched)]
    elif output is not None and _is_one_file(inputs, Path(output)):
        target = _check_output_file(found[0].path, Path(output), image_format)
        jobs = [Job(found[0].path, target, found[0].origin)]
    else:
        if output is not None:
            _check_output_folder(Path(output))
        jobs = [_job_in_folder(one, inputs, output, image_format) for one in dict.fromkeys(found)]
        jobs = _with_distinct_targets(jobs)
    _check_targets(jobs)
    return jobs


def _job_to_stdout(found: list[Input], image_format: str | None, fetched: Path) -> Job:
    if len(found) > 1:
        raise ValueError(
            f"-o -: standard output takes one result, but there are {len(found)} inputs; give a "
            "folder (-o results)"
        )
    suffix = _result_suffix(found[0].path, image_format)
    return Job(found[0].path, fetched / f"stdout{suffix}", found[0].origin)


def _job_in_folder(
    one: Input, inputs: list[str], output: str | None, image_format: str | None
) -> Job:
    suffix = _result_suffix(one.path, image_format)
    if output is not None:
        if Path(output).resolve() in {Path(name).resolve() for name in inputs}:
            suffix = RESULT_MARK + suffix  # or results would be inputs of the next run
        return Job(one.path, Path(output) / one.place.with_suffix(suffix), one.origin)
    beside = one.place if one.origin else one.path
    return Job(one.path, beside.with_suffix(f"{RESULT_MARK}{suffix}"), one.origin)


def _with_distinct_targets(jobs: list[Job]) -> list[Job]:
    """Name results after the whole name of their source where they would be one file, or an input.

    Those of the same name in several folders are numbered. A result of an earlier run, with other
    inputs, keeps its name.
    """
    sources = {job.source.resolve() for job in jobs}
    given = [job.target for job in jobs]
    groups = defaultdict(list)
    for job in jobs:
        groups[job.target.resolve()].append(job)
    for index, job in enumerate(jobs):
        place, joined = job.target.resolve(), _named_after_source(job)
        group = groups[place]
        if place in sources:
            marked = job.target.with_suffix(RESULT_MARK + job.target.suffix)
            jobs[index] = job._replace(target=marked)
            continue
        had_others = not job.is_done and joined.is_done and joined.target.resolve() not in groups
        if had_others or (len(group) > 1 and _owner(group) != job):
            jobs[index] = joined
    for numbered in (False, True):  # a joined name may be that of another result
        places = [job.target.resolve() for job in jobs]
        taken = Counter(places)
        for index, (job, place) in enumerate(zip(jobs, places, strict=True)):
            if taken[place] > 1 or place in sources:
                number = f"-{places[:index].count(place) + 1}" if numbered else ""
                jobs[index] = _named_after_source(job, number)
    for job, target in zip(jobs, given, strict=True):
        if job.target != target and not job.is_done:
            _logger.warning("%s: %s is not unique, so it becomes %s", job.name, target, job.target)
    return jobs


def _named_after_source(job: Job, number: str = "") -> Job:
    """Name a result after the whole name of its source, such as a.tif.png."""
    name = job.target.name
    ending = name.removeprefix(job.source.name).removeprefix(job.source.stem) or job.target.suffix
    return job._replace(target=job.target.with_name(f"{job.source.name}{number}{ending}"))


def _owner(jobs: list[Job]) -> Job | None:
    """Return which of several jobs with one target has made it in an earlier run, if only one can.

    A source that came into its folder later cannot have, nor one with a result of another name.
    """
    result = jobs[0].result
    if result is None:
        return None
    made = result.stat().st_mtime
    owners = [
        job
        for job in jobs
        if not _named_after_source(job).is_done
        and job.source.exists()
        and job.source.stat().st_ctime <= made
    ]
    return owners[0] if len(owners) == 1 else None


def count_passed_over(inputs: list[str]) -> int:
    """Count the files of the given folders that are neither images nor videos by their suffix."""
    known = READABLE_SUFFIXES | VIDEO_SUFFIXES
    files = (file for name in inputs if Path(name).is_dir() for file in Path(name).rglob("*"))
    return sum(
        file.suffix.lower() not in known and not is_hidden(file) and file.is_file()
        for file in files
    )


def fetch(job: Job) -> None:
    """Write the content of a URL or of standard input to the source of a job, once.

    Raises:
        OSError: if there is none. The message names it.
    """
    if not job.origin or job.source.exists():
        return
    if job.origin == STANDARD_STREAM:
        if sys.stdin.isatty():
            raise OSError(f"{job.name}: is a terminal; pipe an image into it (... | scsnet ... -)")
        content = sys.stdin.buffer.read()
    else:
        try:
            content = download(job.origin)
        except OSError as error:
            raise OSError(f"{job.name}: cannot be downloaded ({str(error).strip('<>')})") from None
    job.source.parent.mkdir(parents=True, exist_ok=True)
    job.source.write_bytes(content)


def check_readable(job: Job) -> None:
    """Raise an error if the source of a job is missing or, by its first bytes, not an image.

    A URL and standard input are fetched.

    Raises:
        ImageError, OSError: the message names the source.
    """
    fetch(job)
    if job.is_video:
        job.source.open("rb").close()
    else:
        with open_image(job.source):
            pass


def _result_suffix(source: Path, image_format: str | None) -> str:
    if not _is_video(source):
        return f".{image_format or DEFAULT_FORMAT}"
    return source.suffix if source.suffix.lower() in WRITABLE_VIDEO_SUFFIXES else ".mkv"


def _is_one_file(inputs: list[str], output: Path) -> bool:
    one_input = len(inputs) == 1 and not Path(inputs[0]).is_dir()
    return one_input and bool(output.suffix) and not output.is_dir()


def _check_output_folder(output: Path) -> None:
    """Raise ValueError if what should be the folder of several results is a file, or named so."""
    if output.is_dir():
        return
    if output.exists():
        raise ValueError(f"-o {output}: is a file, but several results need a folder")
    if output.suffix.lower() in WRITABLE_SUFFIXES | WRITABLE_VIDEO_SUFFIXES:
        raise ValueError(
            f"-o {output}: is the name of one file, but several inputs need a folder; give a "
            f"folder (-o {output.stem})"
        )


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
    sources = {job.source.resolve() for job in jobs}
    first: dict[Path, Job] = {}
    for job in jobs:
        place = job.target.resolve()
        if place in sources:
            raise ValueError(
                f"{job.target}: the result would overwrite an input; give another name (-o)"
            )
        if place in first:
            raise ValueError(
                f"{first[place].name} and {job.name} would both be written to {job.target}; "
                "colorize one of them on its own, with another name (-o)"
            )
        first[place] = job
