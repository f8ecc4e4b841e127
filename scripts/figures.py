"""Draw results side by side, and how training runs went.

    python scripts/figures.py pictures figure.png old.jpg --scale 2.7
    python scripts/figures.py pictures figure.png old.jpg other.jpg=modern.jpg --source-size 128
    python scripts/figures.py pictures figure.png color.jpg --source-size 128 --truth
    python scripts/figures.py curves curves.png run
    python scripts/figures.py curves curves.png runs/content runs/full

`pictures` makes a row of every picture: input, automatic result, and with a reference also both of
that. The input is shown enlarged without interpolation; `--truth` adds the picture itself, in its
colours. `curves` draws what runs of
scripts/train.py have logged up to their newest checkpoint; a run is named after its folder.
"""

import argparse
import os
import sys
from pathlib import Path

from PIL import Image

from scsnet_hf.image_io import load_picture, save_picture
from scsnet_hf.panels import draw_panels


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    pictures = commands.add_parser("pictures", help="results side by side")
    pictures.set_defaults(draw=draw_pictures)
    add = pictures.add_argument
    add("output", type=Path, help="PNG file to write")
    add("pictures", nargs="+", metavar="PICTURE[=REFERENCE]")
    add("--model", help="folder or Hub id (default: the embedded checkpoint)")
    add("--scale", type=float, default=4.0, help="magnification")
    add("--source-size", type=int, help="first reduce the long side to this")
    add("--truth", action="store_true", help="also show the pictures as they are, in their colours")
    add("--width", type=int, default=360, help="width of a column in pixels")

    curves = commands.add_parser("curves", help="losses, gradients, speed of training runs")
    curves.set_defaults(draw=draw_runs)
    add = curves.add_argument
    add("output", type=Path, metavar="OUT", help="PNG file to write")
    add("runs", nargs="+", type=Path, metavar="RUN", help="--output folder of scripts/train.py")
    return parser.parse_args()


def draw_pictures(args: argparse.Namespace) -> None:
    from transformers import pipeline

    import scsnet_hf  # noqa: F401 - registers the task

    pipe = pipeline("scs-colorize-sr", model=args.model)
    rows = [row(pipe, picture, args) for picture in args.pictures]
    save_picture(draw_panels(rows, args.width), args.output)


def row(pipe, picture: str, args: argparse.Namespace) -> dict[str, Image.Image]:
    """Captioned pictures of one row."""
    name, _, reference = picture.partition("=")
    scale, source_size = args.scale, args.source_size
    truth = load_picture(name).convert("RGB")
    source = truth.convert("L")
    if source_size:
        source.thumbnail((source_size, source_size), Image.Resampling.BICUBIC)
    panels = {f"input {source.width}x{source.height}": source}
    automatic = pipe(source, scale=scale)
    panels[f"automatic x{scale:g}"] = automatic
    if reference:
        panels["reference"] = load_picture(reference)
        panels[f"with reference x{scale:g}"] = pipe(source, reference=reference, scale=scale)
    if args.truth:
        panels["truth"] = truth
    return panels


def draw_runs(args: argparse.Namespace) -> None:
    # Pictures shall not need the packages of training.
    from scsnet_hf.training.curves import draw_curves, read_log

    folders = [run.resolve() for run in args.runs]
    shared = Path(os.path.commonpath([folder.parent for folder in folders]))
    logs = {str(folder.relative_to(shared)): read_log(folder) for folder in folders}
    draw_curves(logs, args.output)


def main() -> None:
    args = parse_arguments()
    try:
        args.draw(args)
    except (ValueError, OSError) as error:
        sys.exit(f"figures.py: {error}")


if __name__ == "__main__":
    main()
