"""Draw results side by side, what the attention looks at, a zoom, training runs, and costs.

    python scripts/figures.py images figure.png old.jpg --scale 2.7
    python scripts/figures.py images figure.png old.jpg other.jpg=modern.jpg --source-size 128
    python scripts/figures.py images figure.png color.jpg --source-size 128 --truth
    python scripts/figures.py comparison figure.png run --numbers 3 17
    python scripts/figures.py attention attention.png old.jpg modern.jpg --point 25,60 --point 70,40
    python scripts/figures.py zoom zoom.webp old.jpg --point 25,60 --scale 8
    python scripts/figures.py zoom strip.png old.jpg --point 25,60 --scale 8
    python scripts/figures.py curves curves.png run
    python scripts/figures.py curves curves.png runs/content runs/full
    python scripts/figures.py efficiency efficiency.png cascades.json
    python scripts/figures.py sizes sizes.png medium.json small.json

`images` makes a row of every image: input, automatic result, and with a reference also both of
that. The input is shown enlarged without interpolation; `--truth` adds the image itself, in its
colors.
`comparison` (Fig. 7) shows what all methods made of some images of a run of
scripts/evaluate_model.py --keep-images.
`attention` (Fig. 8 of the paper) lights the reference where points of the image look, a row for
each, finest pyramid level first, and below the image where the valves of the source and of the
reference are open.
`zoom` (Fig. 9) makes an animation into a point, or as PNG the same region at magnifications from 1
on. Points are in percent of width and height.
`curves` draws what runs of scripts/train.py have logged up to their newest checkpoint; a run is
named after its folder.
`efficiency` (Fig. 2, right) draws what scripts/benchmark.py cascades has written to its --output:
processor seconds, peak memory, and parameters as the area of a circle.
`sizes` draws what scripts/benchmark.py sizes has written: seconds a megapixel and peak memory over
the size of the result, a line for every file, named after it.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from scsnet_hf.image_io import load_image
from scsnet_hf.io.panels import draw_panels
from scsnet_hf.io.saving import save_image
from scsnet_hf.registration import load_pipeline


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    images = commands.add_parser("images", help="results side by side")
    images.set_defaults(draw=draw_images)
    add = images.add_argument
    add("output", type=Path, help="PNG file to write")
    add("images", nargs="+", metavar="IMAGE[=REFERENCE]")
    add("--model", default="medium", help="medium, small, a folder or a Hub id")
    add("--scale", type=float, default=4.0, help="magnification")
    add("--source-size", type=int, help="first reduce the long side to this")
    add("--truth", action="store_true", help="also show the images as they are, in their colors")
    add("--width", type=int, default=360, help="width of a column in pixels")

    comparison = commands.add_parser("comparison", help="what all methods made, Fig. 7")
    comparison.set_defaults(draw=draw_comparison)
    add = comparison.add_argument
    add("output", type=Path, help="PNG file to write")
    add("run", type=Path, metavar="RUN", help="--output folder of evaluate.py --keep-images")
    add("--numbers", type=int, nargs="+", default=[0, 1, 2, 3], help="of the images")
    add("--methods", nargs="+", help="columns (default: all)")
    add("--width", type=int, default=240, help="width of a column in pixels")

    attention = commands.add_parser("attention", help="where the image looks, Fig. 8")
    attention.set_defaults(draw=draw_attention)
    add = attention.add_argument
    add("output", type=Path, help="PNG file to write")
    add("image")
    add("reference")
    add("--point", action="append", type=point, required=True, metavar="X,Y", help="in percent")
    add("--model", default="medium", help="medium, small, a folder or a Hub id")
    add("--width", type=int, default=240, help="width of a column in pixels")

    zoom = commands.add_parser("zoom", help="continuous magnification, Fig. 9")
    zoom.set_defaults(draw=draw_zoom)
    add = zoom.add_argument
    add("output", type=Path, help="WebP file for an animation, or PNG file for a strip")
    add("image")
    add("--reference", help="whose colors to use")
    add("--point", type=point, default=(0.5, 0.5), metavar="X,Y", help="in percent")
    add("--scale", type=float, default=8.0, help="the last magnification")
    add("--model", default="medium", help="medium, small, a folder or a Hub id")
    add("--width", type=int, default=480, help="of the animation, or of an image in the strip")
    add("--frames", type=int, default=72, help="of the animation")

    curves = commands.add_parser("curves", help="losses, gradients, speed of training runs")
    curves.set_defaults(draw=draw_runs)
    add = curves.add_argument
    add("output", type=Path, metavar="OUT", help="PNG file to write")
    add("runs", nargs="+", type=Path, metavar="RUN", help="--output folder of scripts/train.py")

    efficiency = commands.add_parser("efficiency", help="time, memory and parameters, Fig. 2")
    efficiency.set_defaults(draw=draw_record)
    efficiency.add_argument("output", type=Path, metavar="OUT", help="PNG file to write")
    efficiency.add_argument(
        "record", type=Path, metavar="RECORD", help="--output file of benchmark.py cascades"
    )

    sizes = commands.add_parser("sizes", help="time and memory over the size of results")
    sizes.set_defaults(draw=draw_size_records)
    add = sizes.add_argument
    add("output", type=Path, metavar="OUT", help="PNG file to write")
    add(
        "records",
        nargs="+",
        type=Path,
        metavar="RECORD",
        help="--output file of benchmark.py sizes",
    )
    return parser.parse_args()


def point(text: str) -> tuple[float, float]:
    """ "25,60" to (0.25, 0.6)."""
    try:
        x, y = (float(number) / 100 for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y, for example 25,60") from None
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise argparse.ArgumentTypeError(f"{text!r}: X and Y must be from 0 to 100")
    return x, y


def draw_images(args: argparse.Namespace) -> None:
    pipe = load_pipeline(args.model)
    rows = [row(pipe, image, args) for image in args.images]
    save_image(draw_panels(rows, args.width), args.output)


def row(pipe, image: str, args: argparse.Namespace) -> dict[str, Image.Image]:
    """Captioned images of one row."""
    name, _, reference = image.partition("=")
    scale, source_size = args.scale, args.source_size
    truth = load_image(name).convert("RGB")
    source = truth.convert("L")
    if source_size:
        source.thumbnail((source_size, source_size), Image.Resampling.BICUBIC)
    panels = {f"input {source.width}x{source.height}": source}
    automatic = pipe(source, scale=scale)
    panels[f"automatic x{scale:g}"] = automatic
    if reference:
        panels["reference"] = load_image(reference)
        panels[f"with reference x{scale:g}"] = pipe(source, reference=reference, scale=scale)
    if args.truth:
        panels["truth"] = truth
    return panels


def draw_comparison(args: argparse.Namespace) -> None:
    images = args.run / "images"
    methods = args.methods or [*json.loads((args.run / "results.json").read_text())["counts"]]
    rows = []
    for number in args.numbers:
        paths = {name: images / name / f"{number:05}.png" for name in (*methods, "truth")}
        row = {name: load_image(path) for name, path in paths.items() if path.exists()}
        if not row:
            raise ValueError(f"{images}: has no image {number}; were images kept?")
        rows.append(row)
    save_image(draw_panels(rows, args.width), args.output)


def draw_attention(args: argparse.Namespace) -> None:
    from scsnet_hf.guidance.attention_maps import AttentionMaps, draw_point

    source, reference = load_image(args.image), load_image(args.reference)
    maps = AttentionMaps.of(load_pipeline(args.model), source, reference)
    rows = []
    for place in args.point:
        drawn = maps.draw_attention(reference, place)
        levels = {f"attention, level {level}": one for level, one in enumerate(drawn, start=1)}
        rows.append({"point": draw_point(source, place), **levels})
    valves = maps.draw_valves(source)
    for index, name in enumerate(("source", "reference")):
        levels = {
            f"{name} valve, level {level}": pair[index] for level, pair in enumerate(valves, 1)
        }
        if levels:
            rows.append({"image": source.convert("L").convert("RGB"), **levels})
    save_image(draw_panels(rows, args.width), args.output)


def draw_zoom(args: argparse.Namespace) -> None:
    from scsnet_hf.guidance.zoom import ZoomView, save_animation

    source = load_image(args.image)
    view = ZoomView(load_pipeline(args.model), source, args.reference)
    if args.output.suffix.lower() == ".webp":
        size = (args.width, max(1, round(args.width * source.height / source.width)))
        frames = view.journey(args.point, size, args.scale, args.frames)
        save_animation(tqdm(frames, total=args.frames, unit="frame"), args.output)
        return
    strip = view.strip(args.point, args.scale, args.width)
    save_image(draw_panels([strip], args.width), args.output)


def draw_runs(args: argparse.Namespace) -> None:
    # Images shall not need the packages of training.
    from research.curves import draw_curves, read_log

    folders = [run.resolve() for run in args.runs]
    shared = Path(os.path.commonpath([folder.parent for folder in folders]))
    logs = {str(folder.relative_to(shared)): read_log(folder) for folder in folders}
    draw_curves(logs, args.output)


def draw_record(args: argparse.Namespace) -> None:
    from research.benchmark.chart import draw_efficiency, read_efficiency

    draw_efficiency(read_efficiency(args.record), args.output)


def draw_size_records(args: argparse.Namespace) -> None:
    from research.benchmark.size_chart import draw_sizes, read_sizes

    draw_sizes(
        {str(record.with_suffix("")): read_sizes(record) for record in args.records}, args.output
    )


def main() -> None:
    args = parse_arguments()
    try:
        args.draw(args)
    except (ValueError, OSError) as error:
        sys.exit(f"figures.py: {error}")


if __name__ == "__main__":
    main()
