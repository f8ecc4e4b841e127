"""Options of the command `scsnet colorize`, and what can be checked before torch is imported."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .registration import DEFAULT_CHECKPOINT, DTYPES, embedded_checkpoints, find_checkpoint

if TYPE_CHECKING:
    from .io.jobs import Job

FORMATS = "png tif jpg webp avif gif bmp ppm".split()
FIRST = "first"  # --reference
MIN_TILE_SIZE = 16  # source pixels a side; of smaller tiles, nearly all work is for their margins

_EXAMPLES = """\
examples:
  scsnet colorize old.jpg                              -> old.scs.png, 4 times as large
  scsnet colorize old.jpg -o new.png --size 1920x1080  an exact size
  scsnet colorize album -o results --scale 2           a folder with its subfolders
  scsnet colorize old.jpg --reference modern.jpg       with the colors of another image
  scsnet colorize old.jpg --hint 90,40=#b03020         the thing at x,y has this color
  scsnet colorize video.mp4 -o new.mp4 --scale 1       a video
  scsnet colorize https://example.org/old.jpg          an image from the web
  scsnet colorize - <old.jpg >new.png                  standard input and output

exit code: 0 all done, 1 some inputs failed, 2 wrong arguments or every input failed"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="scsnet",
        description="Colorize and enlarge gray images (SCSNet).",
        epilog="scsnet colorize --help lists the options and examples.",
    )
    parser.add_argument("--version", action="version", version=f"scsnet {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    colorize = commands.add_parser(
        "colorize",
        help="colorize and enlarge images",
        usage="%(prog)s [options] INPUT [INPUT ...]",
        description="Colorize and enlarge images and videos.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = colorize.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="image, video, folder or URL; - is stdin")
    add(
        "-o",
        "--output",
        metavar="OUT",
        help="a file for one input, - for stdout, otherwise a folder that mirrors the tree; "
        "without it NAME.scs.png beside the input",
    )
    add_pipeline_options(colorize)
    _add_series_options(colorize)
    _add_file_options(colorize)
    return parser


def add_pipeline_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the model and of a call of the pipeline, which `call_arguments` reads."""
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--scale", type=float, metavar="P", help="magnification, 0.5 to 16 (default: 4)"
    )
    size.add_argument(
        "--size", type=_size, metavar="WxH", help="exact output size in pixels, as in 1920x1080"
    )
    size.add_argument(
        "--long-side", type=int, metavar="N", help="pixels of the longer side, 1 or more"
    )
    add = parser.add_argument
    add(
        "--reference-strength",
        type=float,
        metavar="S",
        help="how much the colors follow the reference: 0 (automatic) to 1 (default)",
    )
    add("--saturation", type=float, metavar="S", help="0 (gray) to 4 (default: 1)")
    add("--luminance", choices=("network", "source"), help="source keeps the image's lightness")
    add(
        "--model",
        default=DEFAULT_CHECKPOINT,
        metavar="M",
        help=f"one of {', '.join(embedded_checkpoints())} (in the package; default: medium), "
        "a folder or a Hub id",
    )
    add("--device", metavar="D", help="cpu, cuda, cuda:1, mps, ... (default: the best)")
    add(
        "--dtype",
        choices=DTYPES,
        help="number format of the network (default: the model's, float32); bfloat16 is faster on "
        "GPUs and on CPUs with AVX512-BF16 or AMX",
    )
    add(
        "--tile-size",
        type=int,
        metavar="N",
        help=f"source pixels per side of a tile, {MIN_TILE_SIZE} or more (default: by free memory)",
    )


def _add_series_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reference",
        metavar="IMG",
        help=f"image (file or URL) whose colors to use; {FIRST}: the first result of a series, so "
        "that colors stay the same (default for videos and animations)",
    )
    hints = parser.add_mutually_exclusive_group()
    hints.add_argument(
        "--hint",
        type=_hint,
        action="append",
        metavar="X,Y=COLOR",
        help="what color the thing at a place has, in pixels of the image, such as 90,40=#b03020, "
        "=teal or =hsl(210,60%%,40%%); may be repeated. For one image, the first frame of a video, "
        f"or with --reference {FIRST} the first image of a series",
    )
    hints.add_argument(
        "--hints",
        metavar="FILE",
        help="the same from a file: JSON as the browser demo saves it, or a PNG of the image's "
        "size with strokes, transparent elsewhere",
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
    add("--no-audio", action="store_true", help="drop the sound of videos")
    add(
        "--deinterlace",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="deinterlace frames of videos that are marked as interlaced (default)",
    )
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
        type=_whole_number,
        default=1000,
        metavar="N",
        help="refuse animations with more frames (default: 1000)",
    )


def _hint(text: str) -> tuple[float, float, str]:
    from .call_arguments import read_hint

    place, _, color = text.partition("=")
    try:
        x, y = map(float, place.split(","))
        read_hint((x, y, color))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not X,Y=COLOR, for example 120,80=#b03020"
        ) from None
    return x, y, color


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


def check_options(args: argparse.Namespace, jobs: "list[Job]") -> None:
    """Raise ValueError if an option is out of its range or does not fit the jobs."""
    from .call_arguments import check_arguments

    _check_quality(args.quality, jobs)
    if args.tile_size is not None and args.tile_size < MIN_TILE_SIZE:
        raise ValueError(
            f"--tile-size {args.tile_size}: must be {MIN_TILE_SIZE} or more; without the option, "
            "tiles are as large as free memory allows"
        )
    for name, value in call_arguments(args).items():
        try:
            check_arguments(**{name: value})
        except ValueError as error:
            given = "x".join(map(str, value)) if isinstance(value, tuple) else value
            reason = str(error).partition(": ")[2]
            raise ValueError(f"--{name.replace('_', '-')} {given}: {reason}") from None
    _check_has_one_image(args, jobs)
    _check_model(args.model)


def load_hints(args: argparse.Namespace, job: "Job") -> list | str | None:
    """Return the hints for the source of a job, as the pipeline takes them.

    Raises:
        ValueError: if they do not fit the image, or cannot be read; OSError likewise.
    """
    if not (args.hint or args.hints):
        return None
    from .call_arguments import load_strokes, read_hint
    from .guidance.hint_editor import hints_from_json

    option = f"--hints {args.hints}" if args.hints else "--hint"
    size = _upright_size(job)
    try:
        if args.hint:
            return [read_hint(hint, size) for hint in args.hint]
        if Path(args.hints).suffix.lower() == ".json":
            return list(hints_from_json(Path(args.hints).read_text("utf-8"), size))
        load_strokes(args.hints, size)
    except ValueError as error:
        reason = str(error).removeprefix("hints: ").removeprefix(f"{args.hints}: ")
        raise ValueError(f"{option}: {reason}") from None
    return args.hints


def _check_has_one_image(args: argparse.Namespace, jobs: "list[Job]") -> None:
    series = args.reference == FIRST and not jobs[0].is_video
    if (args.hint or args.hints) and len(jobs) > 1 and not series:
        raise ValueError(
            f"--hint{'' if args.hint else 's'}: is for one image, and there are {len(jobs)}; with "
            f"--reference {FIRST}, it is for the first image of a series"
        )


def _upright_size(job: "Job") -> tuple[int, int]:
    """Return (width, height) of an image, or of the first frame of a video."""
    from .image_io import load_image
    from .io.jobs import fetch

    fetch(job)
    if not job.is_video:
        return load_image(job.source).size
    from .video.reading import open_video

    with open_video(job.source) as video:
        return next(video.frames()).image.size


def _check_quality(quality: int | None, jobs: "list[Job]") -> None:
    if quality is None:
        return
    if not 1 <= quality <= 100:
        raise ValueError(f"--quality {quality}: must be from 1 to 100")
    if not any(job.has_quality for job in jobs):
        raise ValueError("--quality: png is lossless; add --format jpg, webp or avif")


def _check_model(model: str) -> None:
    """Raise ValueError for what is certainly not a model of this package."""
    folder = Path(find_checkpoint(model))
    if not folder.exists():
        if model.count("/") != 1 or model.startswith((".", "/")):
            names = ", ".join(embedded_checkpoints())
            raise ValueError(
                f"--model {model}: is neither a folder, nor one of {names}, nor a Hub id "
                "(user/name)"
            )
        return
    try:
        model_type = json.loads((folder / "config.json").read_bytes())["model_type"]
    except (OSError, ValueError, TypeError, KeyError):
        raise ValueError(f"--model {model}: has no config.json that names a model") from None
    if model_type != "scsnet":
        raise ValueError(f"--model {model}: is a model of type {model_type}, not scsnet")
