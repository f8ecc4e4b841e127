"""Show results side by side: input, automatic result, and with a reference also both of that.

    python scripts/figures.py figure.png old.jpg --scale 2.7
    python scripts/figures.py figure.png old.jpg other.jpg=modern.jpg --source-size 128 --scale 4

Every picture is a row. Its input is shown enlarged without interpolation.
"""

import argparse
from pathlib import Path

from PIL import Image
from transformers import pipeline

import scsnet_hf  # noqa: F401 - registers the task
from scsnet_hf.image_io import load_picture, save_picture
from scsnet_hf.panels import draw_panels


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="PNG file to write")
    parser.add_argument("pictures", nargs="+", metavar="PICTURE[=REFERENCE]")
    parser.add_argument("--model", help="folder or Hub id (default: the embedded checkpoint)")
    parser.add_argument("--scale", type=float, default=4.0, help="magnification")
    parser.add_argument("--source-size", type=int, help="first reduce the long side to this")
    parser.add_argument("--width", type=int, default=360, help="width of a column in pixels")
    return parser.parse_args()


def row(pipe, picture: str, scale: float, source_size: int | None) -> dict[str, Image.Image]:
    """Captioned pictures of one row."""
    name, _, reference = picture.partition("=")
    source = load_picture(name).convert("L")
    if source_size:
        source.thumbnail((source_size, source_size), Image.Resampling.BICUBIC)
    panels = {f"input {source.width}x{source.height}": source}
    automatic = pipe(source, scale=scale)
    panels[f"automatic x{scale:g}"] = automatic
    if reference:
        panels["reference"] = load_picture(reference)
        panels[f"with reference x{scale:g}"] = pipe(source, reference=reference, scale=scale)
    return panels


def main() -> None:
    args = parse_arguments()
    pipe = pipeline("scs-colorize-sr", model=args.model)
    rows = [row(pipe, picture, args.scale, args.source_size) for picture in args.pictures]
    save_picture(draw_panels(rows, args.width), args.output)


if __name__ == "__main__":
    main()
