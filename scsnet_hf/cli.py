"""The command `scsnet colorize`: files and folders in, larger color images out.

Nothing that takes long to import is imported before the arguments are known to be right.
"""

import argparse
import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from .cli_options import FIRST, build_parser, call_arguments, check_options, load_hints
from .io.error_lines import one_line
from .registration import find_checkpoint, load_pipeline

if TYPE_CHECKING:
    from PIL import Image
    from tqdm import tqdm

    from .io.jobs import Job
    from .pipeline_scsnet import ScsColorizeSrPipeline

ALL_DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2
INTERRUPTED, TERMINATED = 130, 143  # as shells count the signals 2 and 15

_CHECKED_FIRST = 20  # inputs that are opened before the network is loaded
_CURRENT_JOB: "ContextVar[Job]" = ContextVar("job")  # of this thread

# Errors that concern one input; the others are still processed.
_INPUT_ERRORS = (Exception,)


def main(argv: list[str] | None = None) -> int:
    """Run the command `scsnet`.

    Args:
        argv: its arguments; those of the process if None.

    Returns:
        The exit code: 0 all done, 1 some inputs failed, 2 wrong arguments or nothing done.
    """
    if argv is None:
        _prepare_process()
    args = build_parser().parse_args(argv)
    try:
        with _interrupted_by_sigterm():
            return colorize(args)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"scsnet: error: {one_line(error)}\n")
        return NOTHING_DONE
    except KeyboardInterrupt:
        sys.stderr.write("scsnet: stopped\n")
        return INTERRUPTED


def _prepare_process() -> None:
    """Make this process, which runs the command and nothing else, start faster.

    OpenMP's threads sleep while they wait, instead of spinning: a small image leaves them waiting
    most of the time. OpenMP reads the variable when torch is imported. And the garbage collector
    pauses until the network has been loaded, since nothing that is imported is garbage.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    gc.disable()


def _resume_garbage_collection() -> None:
    if not gc.isenabled():
        gc.freeze()  # what has been imported stays, and need not be searched
        gc.enable()


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that temporary files are removed."""

    def stop(number: int, frame: object) -> None:
        raise SystemExit(TERMINATED)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


# The command


def colorize(args: argparse.Namespace) -> int:
    """Run `scsnet colorize` and return its exit code.

    Args:
        args: from the parser of `build_parser`.

    Raises:
        ValueError, OSError: if an argument is wrong; nothing has been written then.
    """
    from tqdm import tqdm

    from .io.jobs import STANDARD_STREAM, count_passed_over, plan_jobs
    from .io.warning_lines import redirect_warnings

    with TemporaryDirectory(prefix="scsnet-") as folder:
        output = args.output or (STANDARD_STREAM if args.inputs == [STANDARD_STREAM] else None)
        jobs = plan_jobs(args.inputs, output, args.format, Path(folder))
        if output == STANDARD_STREAM and sys.stdout.isatty():
            raise ValueError("-o -: standard output is a terminal; redirect it, or give -o FILE")
        _limit_pixels(args.max_megapixels)
        check_options(args, jobs)
        hints = load_hints(args, jobs[0])
        reference = _load_reference(args.reference)
        todo = [job for job in jobs if not (args.skip_existing and job.is_done)]
        with tqdm(total=len(todo), unit="file", disable=None, desc="loading") as bar:
            report = _Report(bar)
            with redirect_warnings(report.warn):
                first = [job for job in todo[:_CHECKED_FIRST] if report.is_readable(job)]
                readable = first + todo[_CHECKED_FIRST:]
                if readable:
                    _colorize_jobs(args, reference, hints, jobs, readable, report)
        if output == STANDARD_STREAM and report.done:
            _copy_to_stdout(jobs[0].target)
    skipped = len(jobs) - len(todo)
    where = report.where(output, jobs[0].target)
    others = count_passed_over(args.inputs)
    others = f", {others} other files passed over" if others else ""
    sys.stderr.write(
        f"scsnet: {report.done} done, {report.failed} failed, {skipped} already there{others}"
        f"{where}\n"
    )
    if not report.failed:
        return ALL_DONE
    return SOME_FAILED if report.done or skipped else NOTHING_DONE


class _Report:
    """What the command reports: errors and warnings above its bar, and the results.

    Attributes:
        done: number of inputs with a result.
        failed: number of inputs without one.
    """

    def __init__(self, bar: "tqdm"):
        self._bar = bar
        self._last = ""
        self.done = self.failed = 0

    def is_readable(self, job: "Job") -> bool:
        """Return whether an input can be opened; if not, report it."""
        from .io.jobs import check_readable

        try:
            check_readable(job)
        except _INPUT_ERRORS as error:
            self.add(job, error)
            return False
        return True

    def loaded(self) -> None:
        """Say that results are being computed from now on."""
        self._bar.set_description(None)

    def add(self, job: "Job", outcome: str | Exception) -> None:
        """Take the outcome of a job: what was written, or an error."""
        self._bar.update()
        if isinstance(outcome, Exception):
            self.failed += 1
            self.write(f"scsnet: error: {_name_source(job, _reason(outcome))}")
        else:
            self.done += 1
            self._last = outcome

    def warn(self, message: str) -> None:
        """Report a warning with the name of the file that this thread works on."""
        job = _CURRENT_JOB.get(None)
        self.write(message if job is None else _name_source(job, message))

    def write(self, line: str) -> None:
        """Write a line above the bar."""
        self._bar.write(line, file=sys.stderr)

    def where(self, output: str | None, example: Path) -> str:
        """Return the end of the summary: where the results are, one of which is `example`."""
        from .io.jobs import STANDARD_STREAM

        if not self.done:
            return ""
        if output == STANDARD_STREAM:
            return self._last.replace(f"{example.parent}{os.sep}", ": ")
        if self.done == 1:
            return f": {self._last}"
        if output is not None:
            return f": in {output}"
        return f": NAME{''.join(example.suffixes[-2:])} beside each input"


def _name_source(job: "Job", message: str) -> str:
    message = message.replace(str(job.source), job.name)
    return message if job.name in message else f"{job.name}: {message}"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror.lower()}"
    return one_line(error)


def _copy_to_stdout(target: Path) -> None:
    (written,) = target.parent.glob(f"{target.stem}.*")  # a .tif for pages
    with written.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _colorize_jobs(
    args: argparse.Namespace,
    reference: "Image.Image | str | None",
    hints: list | str | None,
    jobs: "list[Job]",
    todo: "list[Job]",
    report: _Report,
) -> None:
    """Load the network and run the jobs that are to do."""
    pipe = _load_pipeline(args.model, args.device, args.dtype)
    from .io.parallel import automatic_jobs, run_parallel

    depend_on_previous = args.reference == FIRST or args.propagate
    at_once = 1 if depend_on_previous else args.jobs or automatic_jobs(pipe.device)
    run = _build_colorizer(pipe, args, reference, hints, jobs, report.warn)
    _resume_garbage_collection()
    report.loaded()
    with closing(run_parallel(todo, run, at_once, _INPUT_ERRORS, report.write)) as outcomes:
        for job, outcome in outcomes:
            report.add(job, outcome)


def _build_colorizer(
    pipe: "ScsColorizeSrPipeline",
    args: argparse.Namespace,
    reference: "Image.Image | str | None",
    hints: list | str | None,
    jobs: "list[Job]",
    on_warning: Callable[[str], None],
) -> "Callable[[Job, bool], str]":
    """Return what runs one job, called with it and whether it runs alone.

    Wrong arguments are raised here, before the first job.
    """
    from .call_arguments import OutputSize
    from .io.image_colorizer import ImageColorizer
    from .io.image_file import ImageFile
    from .io.jobs import fetch
    from .io.parallel import NotAloneError, is_large
    from .video.series import Series
    from .video.video_colorizer import VideoColorizer

    new_series = partial(Series, pipe, **call_arguments(args))
    takes_references = pipe.model.config.cross_attention != "none"
    default_reference = FIRST if takes_references else None
    new_video_series = partial(
        new_series,
        default_reference if reference is None else reference,
        propagate=args.propagate is not False,
        hints=hints if len(jobs) == 1 else None,
    )
    first_result = _first_result_of_earlier_run(pipe, args, hints, jobs)
    images = new_series(
        first_result or reference,
        propagate=bool(args.propagate),
        follow_scenes=False,
        hints=None if first_result else hints,
    )
    colorize_video = VideoColorizer(
        new_video_series, args.quality, on_warning, not args.no_audio, args.deinterlace
    )
    colorize_image = ImageColorizer(
        images.strips, lambda: new_video_series().strips, args.quality, on_warning
    )
    output_size = OutputSize(args.scale, args.size, args.long_side)

    def run(job: "Job", alone: bool) -> str:
        _CURRENT_JOB.set(job)
        fetch(job)
        if job.is_video:
            if not alone:
                raise NotAloneError
            return colorize_video(job.source, job.target)
        with ImageFile(job.source, args.max_frames, args.keep_metadata) as source:
            if not alone and is_large(source, output_size.size_for(source), pipe.device):
                raise NotAloneError
            return colorize_image(source, job.target, show_progress=alone)

    return run


def _first_result_of_earlier_run(
    pipe: "ScsColorizeSrPipeline",
    args: argparse.Namespace,
    hints: list | str | None,
    jobs: "list[Job]",
) -> "Image.Image | None":
    """The reference of a series whose first image is skipped, as an earlier run finished it."""
    first = next((job for job in jobs if not job.is_video), None)
    resumes = args.reference == FIRST and args.skip_existing
    if not (resumes and first and first.is_done):
        return None
    return pipe(str(first.source), hints=hints, **call_arguments(args))


def _load_pipeline(model: str, device: str | None, dtype: str | None) -> "ScsColorizeSrPipeline":
    _check_device(device)
    keep_freed_memory()
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = find_checkpoint(model)
    try:
        return load_pipeline(model, device, dtype)
    except Exception as error:  # whatever is wrong with a folder, the user needs one line
        where = f" on --device {device}" if device else ""
        raise ValueError(f"--model {model}: cannot be loaded{where} ({one_line(error)})") from error


def _load_reference(reference: str | None) -> "Image.Image | str | None":
    from .image_io import ImageError, load_image

    if reference in (None, FIRST):
        return reference
    try:
        return load_image(reference)
    except ImageError as error:
        raise ValueError(f"--reference {error}") from None


def _limit_pixels(megapixels: float | None) -> None:
    from PIL import Image

    if megapixels is not None:
        Image.MAX_IMAGE_PIXELS = int(megapixels * 1e6)


def _check_device(device: str | None) -> None:
    """Raise ValueError with the devices of this machine if `device` is not one of them."""
    if device is None:
        return
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ImportError, NotImplementedError):
        accelerator = torch.accelerator.current_accelerator()
        numbers = range(torch.accelerator.device_count()) if accelerator else ()
        devices = ["cpu", *(f"{accelerator.type}:{number}" for number in numbers)]
        raise ValueError(
            f"--device {device}: is not available; this machine has {', '.join(devices)}"
        ) from None


def keep_freed_memory() -> None:
    """Let this process keep up to 62 MiB of freed memory for its next allocations.

    glibc returns freed memory to the system once there is more than twice the largest block ever
    freed, and getting it back costs a page fault per page: a sixth of the time of a small image.
    Allocating and freeing one large block raises that limit; its pages are never touched, so it
    costs nothing. Other allocators are not affected.
    """
    import torch

    torch.empty(31 * 2**20, dtype=torch.uint8)  # bytes; freed blocks of 32 MiB or more do not count
