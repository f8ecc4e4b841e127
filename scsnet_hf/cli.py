"""The command `scsnet colorize`: files and folders in, larger color images out."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from .io.error_lines import one_line
from .registration import (
    DEFAULT_CHECKPOINT,
    DTYPES,
    find_checkpoint,
    load_pipeline,
)

if TYPE_CHECKING:
    from .io.jobs import Work

ALL_DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2
INTERRUPTED, TERMINATED = 130, 143  # as shells count the signals 2 and 15

# Errors that concern one input; the others are still done.
_OF_ONE_FILE = (ValueError, OSError, MemoryError, RuntimeError, ArithmeticError, ImportError)

FORMATS = "png tif jpg webp avif gif bmp ppm".split()
FIRST = "first"  # --reference


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scsnet", description="Colorize and enlarge gray images (SCSNet)."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    colorize = commands.add_parser(
        "colorize",
        help="colorize and enlarge images",
        description="Colorize and enlarge images. Exit code: 0 all done, 1 some inputs failed, "
        "2 wrong arguments or every input failed.",
    )
    colorize.add_argument("inputs", nargs="+", metavar="INPUT", help="image, video or folder")
    colorize.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="file for one input, else a folder that mirrors the tree; "
        "without it NAME.scs.png beside the input",
    )
    add_look(colorize)
    _add_series(colorize)
    _add_files(colorize)
    return parser


def add_look(parser: argparse.ArgumentParser) -> None:
    """Add the options of how results look, which `call_arguments` reads, and of the model."""
    how_large = parser.add_mutually_exclusive_group()
    how_large.add_argument("--scale", type=float, metavar="P", help="magnification (default 4)")
    how_large.add_argument("--size", type=_size, metavar="WxH", help="exact output size in pixels")
    how_large.add_argument("--long-side", type=int, metavar="N", help="long side in pixels")
    parser.add_argument(
        "--reference-strength", type=float, metavar="S", help="0 (automatic) to 1 (default)"
    )
    parser.add_argument("--saturation", type=float, metavar="S", help="0 is gray, 1 the default")
    parser.add_argument(
        "--luminance", choices=("network", "source"), help="source keeps the image's lightness"
    )
    parser.add_argument(
        "--model",
        default=DEFAULT_CHECKPOINT,
        metavar="ID_OR_FOLDER",
        help="other weights; small is a lighter network in the package",
    )
    parser.add_argument("--device", metavar="D", help="cpu, cuda, mps, ... (default: the best)")
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        help="number format of the network (default: the model's, float32); bfloat16 is faster on "
        "GPUs and on CPUs with AVX512-BF16 or AMX",
    )
    parser.add_argument("--tile-size", type=int, metavar="N", help="source pixels a side")


def _add_series(colorize: argparse.ArgumentParser) -> None:
    colorize.add_argument(
        "--reference",
        metavar="IMG",
        help=f"image whose colors to use; {FIRST}: the first result of a series, so that "
        "colors stay (default of videos and animations)",
    )
    colorize.add_argument(
        "--propagate",
        action=argparse.BooleanOptionalAction,
        help="hold the colors of the result before where nothing has changed (default of videos "
        "and animations)",
    )


def _add_files(colorize: argparse.ArgumentParser) -> None:
    colorize.add_argument(
        "--format", choices=FORMATS, help="of image files (default: png, nothing is lost)"
    )
    colorize.add_argument(
        "--quality", type=int, metavar="Q", help="1 to 100, of jpg, webp, avif and videos"
    )
    colorize.add_argument(
        "--keep-metadata", action="store_true", help="carry EXIF, XMP, text and dpi over"
    )
    colorize.add_argument(
        "--skip-existing", action="store_true", help="leave inputs whose result is there"
    )
    colorize.add_argument(
        "--jobs",
        type=_whole,
        metavar="N",
        help="images at once, unless each hangs on the one before (default: as many as suit the "
        "cores, at most 4); videos and large images are done alone",
    )
    colorize.add_argument(
        "--max-megapixels",
        type=_positive,
        metavar="N",
        help="refuse images with more pixels (default: 89.5)",
    )
    colorize.add_argument(
        "--max-frames",
        type=int,
        default=1000,
        metavar="N",
        help="refuse animations with more frames (default: 1000)",
    )


def _whole(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _positive(text: str) -> float:
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


def _load_pipeline(model: str, device: str | None, dtype: str | None):
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = find_checkpoint(model)
    try:
        return load_pipeline(model, device, dtype)
    except Exception as error:  # whatever is wrong with a folder, the user needs one line
        where = f" on --device {device}" if device else ""
        raise ValueError(f"--model {model}: cannot be loaded{where} ({one_line(error)})") from error


def call_arguments(args: argparse.Namespace) -> dict:
    """Those of a call of the pipeline that were given, but for the reference."""
    names = "scale size long_side reference_strength saturation luminance tile_size".split()
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def colorize(args: argparse.Namespace) -> int:
    """Run `scsnet colorize`; returns the exit code."""
    from tqdm import tqdm

    from .io.jobs import plan
    from .io.warning_lines import warnings_as_remarks

    work = plan(args.inputs, args.output, args.format)
    _check_quality(args.quality, work)
    _limit_pixels(args.max_megapixels)
    keep_freed_memory()
    todo = [w for w in work if not (args.skip_existing and w.is_done)]
    pipe = _load_pipeline(args.model, args.device, args.dtype)
    failed, last = 0, None
    with tqdm(total=len(todo), unit="file", disable=None) as progress:
        remark = partial(progress.write, file=sys.stderr)
        with (
            warnings_as_remarks(remark),
            closing(_outcomes(pipe, args, work, todo, remark)) as outcomes,
        ):
            for item, outcome in outcomes:
                progress.update()
                if not isinstance(outcome, Exception):
                    last = outcome
                    continue
                failed += 1
                message = one_line(outcome)
                named = message if str(item.source) in message else f"{item.source}: {message}"
                remark(f"scsnet: error: {named}")
    done, skipped = len(todo) - failed, len(work) - len(todo)
    summary = [f"{done} done", f"{failed} failed", f"{skipped} already there"]
    where = f": {last}" if done == 1 else ""
    sys.stderr.write(f"scsnet: {', '.join(summary)}{where}\n")
    if not failed:
        return ALL_DONE
    return SOME_FAILED if done or skipped else NOTHING_DONE


def _outcomes(
    pipe,
    args: argparse.Namespace,
    work: "list[Work]",
    todo: "list[Work]",
    remark: "Callable[[str], None]",
) -> "Iterator[tuple[Work, str | Exception]]":
    """Files of `todo` as they are done, with what was written, in words, or what is wrong.

    Raises what is wrong with the arguments before any is read.
    """
    from .io.parallel import automatic_jobs, done_side_by_side, is_large
    from .pipeline_scsnet import OutputSize

    colorize_file = _file_colorizer(pipe, args, work, remark)
    handed_on = args.reference == FIRST or args.propagate
    jobs = 1 if handed_on else args.jobs or automatic_jobs(pipe.device)
    alone = partial(
        is_large,
        output_size=OutputSize(args.scale, args.size, args.long_side),
        device=pipe.device,
        most_frames=args.max_frames,
    )
    return done_side_by_side(todo, colorize_file, jobs, alone, _OF_ONE_FILE, remark)


def _file_colorizer(
    pipe, args: argparse.Namespace, work: "list[Work]", remark: "Callable[[str], None]"
) -> "Callable[[Work], str]":
    """What colorizes one file; raises what is wrong with the arguments before any is read."""
    from .image_io import load_image
    from .io.colorizing import ImageColorizer, VideoColorizer
    from .video.series import Series

    reference = args.reference
    if reference not in (None, FIRST):
        reference = load_image(reference)
    series = partial(Series, pipe, **call_arguments(args))
    steady = FIRST if pipe.model.config.cross_attention != "none" else None
    moving = partial(series, reference or steady, propagate=args.propagate is not False)
    video = VideoColorizer(moving, args.quality, remark)
    album = series(
        _earlier_first(pipe, args, work) or reference,
        propagate=bool(args.propagate),
        follow_scenes=False,
    )
    image = ImageColorizer(
        still=album.strips,
        animation=lambda: moving().strips,
        quality=args.quality,
        keep_metadata=args.keep_metadata,
        most_frames=args.max_frames,
        remark=remark,
    )
    return lambda item: video(item) if item.is_video else image(item)


def _earlier_first(pipe, args: argparse.Namespace, work: "list[Work]"):
    """What was "first" in a series of which an earlier run made the first image, else None."""
    images = [item for item in work if not item.is_video]
    goes_on = args.reference == FIRST and args.skip_existing
    if not (goes_on and images and images[0].is_done):
        return None
    return pipe(str(images[0].source), **call_arguments(args))


def _check_quality(quality: int | None, work: "list[Work]") -> None:
    if quality is None:
        return
    if not 1 <= quality <= 100:
        raise ValueError(f"--quality {quality}: must be from 1 to 100")
    if not any(item.has_quality for item in work):
        raise ValueError("--quality: png loses nothing; add --format jpg, webp or avif")


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


@contextmanager
def _ending_well() -> Iterator[None]:
    """Let SIGTERM end the block like Ctrl-C, so that temporary files are removed."""

    def stop(number: int, frame) -> None:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: list[str] | None = None) -> int:
    """Entry point of the command `scsnet`."""
    args = build_parser().parse_args(argv)
    try:
        with _ending_well():
            return colorize(args)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"scsnet: error: {one_line(error)}\n")
        return NOTHING_DONE
    except KeyboardInterrupt:
        sys.stderr.write("scsnet: stopped\n")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
