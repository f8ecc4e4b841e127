"""The command `scsnet colorize`: files and folders in, larger colour pictures out."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .registration import DEFAULT_CHECKPOINT, find_checkpoint, load_pipeline

SUFFIX = ".scs.png"  # of a result beside its input

ALL_DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2


class Work(NamedTuple):
    """One picture to read and where its result goes."""

    source: Path
    target: Path


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scsnet", description="Colorize and enlarge gray pictures (SCSNet)."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    colorize = commands.add_parser(
        "colorize",
        help="colorize and enlarge pictures",
        description="Colorize and enlarge pictures. Exit code: 0 all done, 1 some inputs failed, "
        "2 wrong arguments or every input failed.",
    )
    colorize.add_argument("inputs", nargs="+", metavar="INPUT", help="picture or folder")
    colorize.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="file for one picture, else a folder that mirrors the tree; "
        f"without it NAME{SUFFIX} beside the input",
    )
    how_large = colorize.add_mutually_exclusive_group()
    how_large.add_argument("--scale", type=float, metavar="P", help="magnification (default 4)")
    how_large.add_argument("--size", type=_size, metavar="WxH", help="exact output size in pixels")
    how_large.add_argument("--long-side", type=int, metavar="N", help="long side in pixels")
    colorize.add_argument("--reference", metavar="IMG", help="picture whose colours to use")
    colorize.add_argument(
        "--reference-strength", type=float, metavar="S", help="0 (automatic) to 1 (default)"
    )
    colorize.add_argument("--saturation", type=float, metavar="S", help="0 is gray, 1 the default")
    colorize.add_argument(
        "--luminance", choices=("network", "source"), help="source keeps the picture's lightness"
    )
    colorize.add_argument(
        "--model",
        default=DEFAULT_CHECKPOINT,
        metavar="ID_OR_FOLDER",
        help="other weights; small is a lighter network in the package",
    )
    colorize.add_argument("--device", metavar="D", help="cpu, cuda, mps, ... (default: the best)")
    colorize.add_argument("--tile-size", type=int, metavar="N", help="source pixels a side")
    colorize.add_argument(
        "--skip-existing", action="store_true", help="leave inputs whose result is there"
    )
    return parser


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, for example 1920x1080")
    return int(width), int(height)


def find_pictures(inputs: list[str], output: str | None) -> Iterator[tuple[Path, Path]]:
    """(picture, its place in the output folder) for every input; folders are searched in depth.

    Results of earlier runs inside a folder (`*.scs.png`, or the output folder) are left out.
    """
    from .image_io import pictures_in

    for name in inputs:
        path = Path(name)
        if not path.is_dir():
            yield path, Path(path.name)
            continue
        results = Path(output).resolve() if output else None
        for file in pictures_in(path):
            inside = results != path.resolve() and results in file.resolve().parents
            if not inside and not file.name.endswith(SUFFIX):
                yield file, file.relative_to(path)


def plan(inputs: list[str], output: str | None) -> list[Work]:
    """Pair every picture with its target; raises ValueError where that is impossible."""
    from .image_io import check_writable_suffix

    found = list(find_pictures(inputs, output))
    if not found:
        raise ValueError(f"no pictures in {', '.join(inputs)}")
    if output is None:
        work = [Work(picture, picture.with_suffix(SUFFIX)) for picture, _ in found]
    elif _is_one_file(inputs, Path(output)):
        check_writable_suffix(Path(output))
        work = [Work(found[0][0], Path(output))]
    else:
        if Path(output).is_file():
            raise ValueError(f"{output}: is a file, but several pictures need a folder")
        work = [Work(picture, Path(output) / place.with_suffix(".png")) for picture, place in found]
    _check_targets(work)
    return work


def _is_one_file(inputs: list[str], output: Path) -> bool:
    one_input = len(inputs) == 1 and not Path(inputs[0]).is_dir()
    return one_input and bool(output.suffix) and not output.is_dir()


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


def _load_pipeline(model: str, device: str | None):
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = find_checkpoint(model)
    try:
        return load_pipeline(model, device)
    except Exception as error:  # whatever is wrong with a folder, the user needs one line
        where = f" on --device {device}" if device else ""
        raise ValueError(
            f"--model {model}: cannot be loaded{where} ({_one_line(error)})"
        ) from error


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."


def _call_arguments(args: argparse.Namespace) -> dict:
    names = (
        "scale size long_side reference reference_strength saturation luminance tile_size".split()
    )
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def _check_arguments(pipe, arguments: dict) -> dict:
    """Raise what is wrong with the arguments before any picture is read; load the reference."""
    from .image_io import load_picture

    arguments = dict(arguments)
    if "reference" in arguments:
        arguments["reference"] = load_picture(arguments["reference"])
    pipe._sanitize_parameters(**{k: v for k, v in arguments.items() if k != "reference"})
    return arguments


def colorize(args: argparse.Namespace) -> int:
    """Run `scsnet colorize`; returns the exit code."""
    from tqdm import tqdm

    from .image_io import save_picture

    work = plan(args.inputs, args.output)
    todo = [w for w in work if not (args.skip_existing and w.target.exists())]
    pipe = _load_pipeline(args.model, args.device)
    arguments = _check_arguments(pipe, _call_arguments(args))
    failed, last = 0, None
    with tqdm(todo, unit="picture", disable=None) as progress:
        for source, target in progress:
            try:
                picture = pipe(str(source), **arguments)
                save_picture(picture, target)
                last = f"{target} ({picture.width}x{picture.height})"
            except (ValueError, OSError, MemoryError, RuntimeError) as error:
                failed += 1
                message = _one_line(error)
                named = message if str(source) in message else f"{source}: {message}"
                progress.write(f"scsnet: error: {named}", file=sys.stderr)
    done, skipped = len(todo) - failed, len(work) - len(todo)
    summary = [f"{done} done", f"{failed} failed", f"{skipped} already there"]
    where = f": {last}" if done == 1 else ""
    sys.stderr.write(f"scsnet: {', '.join(summary)}{where}\n")
    if not failed:
        return ALL_DONE
    return SOME_FAILED if done or skipped else NOTHING_DONE


def main(argv: list[str] | None = None) -> int:
    """Entry point of the command `scsnet`."""
    args = build_parser().parse_args(argv)
    try:
        return colorize(args)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"scsnet: error: {_one_line(error)}\n")
        return NOTHING_DONE
    except KeyboardInterrupt:
        sys.stderr.write("scsnet: stopped\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
