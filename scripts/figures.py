"""Draw the figures of the paper for a model: results, attention, a zoom, and costs.

    python scripts/figures.py images figure.png old.jpg --scale 2.7
    python scripts/figures.py images figure.png old.jpg other.jpg=modern.jpg --source-size 128
    python scripts/figures.py images figure.png color.jpg --source-size 128 --truth
    python scripts/figures.py comparison figure.png run --numbers 3 17
    python scripts/figures.py attention attention.png old.jpg modern.jpg --point 25,60 --point 70,40
    python scripts/figures.py zoom zoom.webp old.jpg --point 25,60 --scale 8
    python scripts/figures.py zoom strip.png old.jpg --point 25,60 --scale 8
    python scripts/figures.py efficiency efficiency.png networks.json
    python scripts/figures.py sizes sizes.png medium.json small.json

`images` draws a row for every image: the input, enlarged without interpolation, the automatic
result, and where there is a reference also that and the result with it. `--truth` adds the image
itself, in its colors.
`comparison` (Fig. 7) shows the results of all methods for some images of a run of
scripts/evaluate_model.py --keep-images.
`attention` (Fig. 8) highlights the parts of the reference that points of the image attend to, a row
for each point, finest pyramid level first, and below them where the valves of the source and of the
reference are open.
`zoom` (Fig. 9) is an animation into a point, or for other formats than WebP the same region at
magnifications from 1 on. Points are in percent of width and height.
`efficiency` (Fig. 2, right) draws a record of scripts/benchmark.py networks: CPU seconds, peak
memory, and parameters as the area of a circle.
`sizes` draws records of scripts/benchmark.py sizes: seconds per megapixel and peak memory over the
size of the result, a line for every file, named after it.
"""

import argparse
import sys
from pathlib import Path

from research.figures.efficiency import draw_efficiency
from research.figures.results import draw_attention, draw_comparison, draw_results, draw_zoom
from research.figures.sizes import draw_sizes
from scsnet_hf.io.extras import needs_extra


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def add_command(name, draw, summary, output="image file to write"):
        command = commands.add_parser(name, help=summary)
        command.set_defaults(draw=draw)
        command.add_argument("output", type=Path, help=output)
        return command.add_argument

    model = {"default": "medium", "help": "medium, small, a folder or a Hub id"}
    column = "width of a column in pixels"

    add = add_command("images", draw_results, "results side by side")
    add("images", nargs="+", metavar="IMAGE[=REFERENCE]")
    add("--model", **model)
    add("--scale", type=float, default=4.0, help="magnification")
    add("--source-size", type=int, help="first reduce the long side to this")
    add("--truth", action="store_true", help="also show the images themselves, in their colors")
    add("--width", type=int, default=360, help=column)

    add = add_command("comparison", draw_comparison, "results of all methods, Fig. 7")
    add("run", type=Path, metavar="RUN", help="--output of evaluate_model.py --keep-images")
    add("--numbers", type=int, nargs="+", default=[0, 1, 2, 3], help="of the images")
    add("--methods", nargs="+", help="columns (default: all)")
    add("--width", type=int, default=240, help=column)

    add = add_command("attention", draw_attention, "what points attend to, Fig. 8")
    add("image")
    add("reference")
    add("--point", action="append", type=point, required=True, metavar="X,Y", help="in percent")
    add("--model", **model)
    add("--width", type=int, default=240, help=column)

    output = "WebP file for an animation, or another image file for a strip"
    add = add_command("zoom", draw_zoom, "continuous magnification, Fig. 9", output)
    add("image")
    add("--reference", help="image whose colors to use")
    add("--point", type=point, default=(0.5, 0.5), metavar="X,Y", help="in percent")
    add("--scale", type=float, default=8.0, help="the last magnification")
    add("--model", **model)
    add("--width", type=int, default=480, help="of the animation, or of an image in the strip")
    add("--frames", type=int, default=72, help="of the animation")

    add = add_command("efficiency", draw_efficiency, "time, memory and parameters, Fig. 2")
    add("record", type=Path, metavar="RECORD", help="--output of benchmark.py networks")

    add = add_command("sizes", draw_sizes, "time and memory over the size of results")
    add("records", nargs="+", type=Path, metavar="RECORD", help="--output of benchmark.py sizes")
    return parser.parse_args()


def point(text: str) -> tuple[float, float]:
    """Parse "25,60" to (0.25, 0.6)."""
    try:
        x, y = (float(number) / 100 for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y, for example 25,60") from None
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise argparse.ArgumentTypeError(f"{text!r}: X and Y must be from 0 to 100")
    return x, y


def main() -> None:
    args = vars(parse_arguments())
    args.pop("command")
    draw = args.pop("draw")
    try:
        draw(**args)
    except (ValueError, OSError) as error:
        sys.exit(f"figures.py: {error}")


if __name__ == "__main__":
    with needs_extra("train", "figures.py: charts", SystemExit):
        main()
