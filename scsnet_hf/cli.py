"""The command `scsnet colorize`: files and folders in, larger color images out.

Nothing that takes long to import is imported before the arguments are known to be right.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from . import __version__
from .io.error_lines import one_line
from .registration import DEFAULT_CHECKPOINT, DTYPES, find_checkpoint, load_pipeline

if TYPE_CHECKING:
    from PIL import Image

    from .io.jobs import Job
    from .pipeline_scsnet import ScsColorizeSrPipeline

ALL_DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2
INTERRUPTED, TERMINATED = 130, 143  # as shells count the signals 2 and 15

FORMATS = "png tif jpg webp avif gif bmp ppm".split()
FIRST = "first"  # --reference

# Errors that concern one input; the others are still processed.
_INPUT_ERRORS = (ValueError, OSError, MemoryError, RuntimeError, ArithmeticError, ImportError)


def main(argv: list[str] | None = None) -> int:
    """Run the command `scsnet`.

    Args:
        argv: its arguments; those of the process if None.

    Returns:
        The exit code: 0 all done, 1 some inputs failed, 2 wrong arguments or nothing done.
    """
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


# Arguments


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="scsnet", description="Colorize and enlarge gray images (SCSNet)."
    )
    parser.add_argument("--version", action="version", version=f"scsnet {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    colorize = commands.add_parser(
        "colorize",
        help="colorize and enlarge images",
        description="Colorize and enlarge images. Exit code: 0 all done, 1 some inputs failed, "
        "2 wrong arguments or every input failed.",
    )
    add = colorize.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="image, video or folder")
    add(
        "-o",
        "--output",
        metavar="OUT",
        help="a file for one input, otherwise a folder that mirrors the tree; without it "
        "NAME.scs.png beside the input",
    )
    add_pipeline_options(colorize)
    _add_series_options(colorize)
    _add_file_options(colorize)
    return parser


def add_pipeline_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the model and of a call of the pipeline, which `call_arguments` reads."""
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--scale", type=float, metavar="P", help="magnification (default 4)")
    size.add_argument("--size", type=_size, metavar="WxH", help="exact output size in pixels")
    size.add_argument("--long-side", type=int, metavar="N", help="longer side in pixels")
    add = parser.add_argument
    add("--reference-strength", type=float, metavar="S", help="0 (automatic) to 1 (default)")
    add("--saturation", type=float, metavar="S", help="0 is gray, 1 the default")
    add("--luminance", choices=("network", "source"), help="source keeps the image's lightness")
    add(
        "--model",
        default=DEFAULT_CHECKPOINT,
        metavar="ID_OR_FOLDER",
        help="other weights; small is a lighter network in the package",
    )
    add("--device", metavar="D", help="cpu, cuda, mps, ... (default: the best)")
    add(
        "--dtype",
        choices=DTYPES,
        help="number format of the network (default: the model's, float32); bfloat16 is faster on "
        "GPUs and on CPUs with AVX512-BF16 or AMX",
    )
    add("--tile-size", type=int, metavar="N", help="source pixels per side of a tile")


def _add_series_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reference",
        metavar="IMG",
        help=f"image whose colors to use; {FIRST}: the first result of a series, so that "
        "colors stay the same (default for videos and animations)",
    )
    parser.add_argument(
        "--propagate",
        action=argparse.BooleanOptionalAction,
        help="keep the colors of the previous result where nothing has changed (default for "
        "videos and animations)",
    )


def _add_file_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--format", choices=FORMATS, help="of image files (default: png, lossless)")
    add("--quality", type=int, metavar="Q", help="1 to 100, for jpg, webp, avif and videos")
    add("--keep-metadata", action="store_true", help="carry over EXIF, XMP, text and dpi")
    add("--skip-existing", action="store_true", help="skip inputs whose result exists")
    add(
        "--jobs",
        type=_whole_number,
        metavar="N",
        help="images at once, unless each depends on the previous one (default: as the cores "
        "allow, at most 4); videos and large images are processed alone",
    )
    add(
        "--max-megapixels",
        type=_positive_number,
        metavar="N",
        help="refuse images with more pixels (default: 89.5)",
    )
    add(
        "--max-frames",
        type=int,
        default=1000,
        metavar="N",
        help="refuse animations with more frames (default: 1000)",
    )


def _whole_number(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _positive_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, for example 1920x1080")
    return int(width), int(height)


def call_arguments(args: argparse.Namespace) -> dict:
    """Return the given arguments of a call of the pipeline, except for the reference."""
    names = "scale size long_side reference_strength saturation luminance tile_size".split()
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


# The command


def colorize(args: argparse.Namespace) -> int:
    """Run `scsnet colorize` and return its exit code.

    Args:
        args: from the parser of `build_parser`.

    Raises:
        ValueError, OSError: if an argument is wrong; nothing has been written then.
    """
    from tqdm import tqdm

    from .io.jobs import plan_jobs
    from .io.parallel import automatic_jobs, run_parallel
    from .io.warning_lines import redirect_warnings

    jobs = plan_jobs(args.inputs, args.output, args.format)
    _check_quality(args.quality, jobs)
    _limit_pixels(args.max_megapixels)
    keep_freed_memory()
    todo = [job for job in jobs if not (args.skip_existing and job.is_done)]
    pipe = _load_pipeline(args.model, args.device, args.dtype)
    depend_on_previous = args.reference == FIRST or args.propagate
    at_once = 1 if depend_on_previous else args.jobs or automatic_jobs(pipe.device)
    failed, last = 0, None
    with tqdm(total=len(todo), unit="file", disable=None) as bar:
        warn = partial(bar.write, file=sys.stderr)
        with redirect_warnings(warn):
            run = _build_colorizer(pipe, args, jobs, warn)
            with closing(run_parallel(todo, run, at_once, _INPUT_ERRORS, warn)) as outcomes:
                for job, outcome in outcomes:
                    bar.update()
                    if isinstance(outcome, Exception):
                        failed += 1
                        message = one_line(outcome)
                        name = "" if str(job.source) in message else f"{job.source}: "
                        warn(f"scsnet: error: {name}{message}")
                    else:
                        last = outcome
    done, skipped = len(todo) - failed, len(jobs) - len(todo)
    result = f": {last}" if done == 1 else ""
    sys.stderr.write(f"scsnet: {done} done, {failed} failed, {skipped} already there{result}\n")
    if not failed:
        return ALL_DONE
    return SOME_FAILED if done or skipped else NOTHING_DONE


def _build_colorizer(
    pipe: "ScsColorizeSrPipeline",
    args: argparse.Namespace,
    jobs: "list[Job]",
    on_warning: Callable[[str], None],
) -> "Callable[[Job, bool], str]":
    """Return what runs one job, called with it and whether it runs alone.

    Wrong arguments are raised here, before the first job.
    """
    from .call_arguments import OutputSize
    from .image_io import load_image
    from .io.image_colorizer import ImageColorizer
    from .io.image_file import ImageFile
    from .io.parallel import NotAloneError, is_large
    from .video.series import Series
    from .video.video_colorizer import VideoColorizer

    reference = args.reference
    if reference not in (None, FIRST):
        reference = load_image(reference)
    new_series = partial(Series, pipe, **call_arguments(args))
    takes_references = pipe.model.config.cross_attention != "none"
    new_video_series = partial(
        new_series,
        reference or (FIRST if takes_references else None),
        propagate=args.propagate is not False,
    )
    images = new_series(
        _first_result_of_earlier_run(pipe, args, jobs) or reference,
        propagate=bool(args.propagate),
        follow_scenes=False,
    )
    colorize_video = VideoColorizer(new_video_series, args.quality, on_warning)
    colorize_image = ImageColorizer(
        images.strips, lambda: new_video_series().strips, args.quality, on_warning
    )
    output_size = OutputSize(args.scale, args.size, args.long_side)

    def run(job: "Job", alone: bool) -> str:
        if job.is_video:
            if not alone:
                raise NotAloneError
            return colorize_video(job.source, job.target)
        with ImageFile(job.source, args.max_frames, args.keep_metadata) as source:
            if not alone and is_large(source, output_size.size_for(source), pipe.device):
                raise NotAloneError
            return colorize_image(source, job.target)

    return run


def _first_result_of_earlier_run(
    pipe: "ScsColorizeSrPipeline", args: argparse.Namespace, jobs: "list[Job]"
) -> "Image.Image | None":
    """The reference of a series whose first image is skipped, as an earlier run finished it."""
    first = next((job for job in jobs if not job.is_video), None)
    resumes = args.reference == FIRST and args.skip_existing
    if not (resumes and first and first.is_done):
        return None
    return pipe(str(first.source), **call_arguments(args))


def _load_pipeline(model: str, device: str | None, dtype: str | None) -> "ScsColorizeSrPipeline":
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = find_checkpoint(model)
    try:
        return load_pipeline(model, device, dtype)
    except Exception as error:  # whatever is wrong with a folder, the user needs one line
        where = f" on --device {device}" if device else ""
        raise ValueError(f"--model {model}: cannot be loaded{where} ({one_line(error)})") from error


def _check_quality(quality: int | None, jobs: "list[Job]") -> None:
    if quality is None:
        return
    if not 1 <= quality <= 100:
        raise ValueError(f"--quality {quality}: must be from 1 to 100")
    if not any(job.has_quality for job in jobs):
        raise ValueError("--quality: png is lossless; add --format jpg, webp or avif")


def _limit_pixels(megapixels: float | None) -> None:
    from PIL import Image

    if megapixels is not None:
        Image.MAX_IMAGE_PIXELS = int(megapixels * 1e6)


def keep_freed_memory() -> None:
    """Let this process keep up to 62 MiB of freed memory for its next allocations.

    glibc returns freed memory to the system once there is more than twice the largest block ever
    freed, and getting it back costs a page fault per page: a sixth of the time of a small image.
    Allocating and freeing one large block raises that limit; its pages are never touched, so it
    costs nothing. Other allocators are not affected.
    """
    import torch

    torch.empty(31 * 2**20, dtype=torch.uint8)  # bytes; freed blocks of 32 MiB or more do not count
