"""Measure how fast things are; a subcommand for each question.

    python scripts/benchmark.py loader --data photos/
    python scripts/benchmark.py loader --data photos/ --workers 0 2 4 8 --bf16 --output loader.json
    python scripts/benchmark.py space
    python scripts/benchmark.py cascades --output cascades.json
    python scripts/benchmark.py heads --scale 2.7
    python scripts/benchmark.py backends medium medium@bfloat16 exported
    python scripts/benchmark.py sizes --repeats 3
    python scripts/benchmark.py sizes --source 512x512 --rows 768x768 2048x2048
    python scripts/benchmark.py stages
    python scripts/benchmark.py folder

`loader`: does the loader keep up with training? Images per second that it delivers alone and
that a training step takes in, and where the time of a sample goes. Where the ratio of the two is
above 1, the loader has the next batch ready in time. On a CPU, loader processes and training share
the cores, so a ratio well above 1 is needed there. Without loader processes the two take turns.

`space`: how long does a visitor wait? Seconds from `python space/app.py` to the first colored
image in a browser, and from a later click to its result, for 256x256 enlarged twice. Needs
Chromium.

`cascades`: what does a gray image of 128x128 cost in color at 512x512, by this network and by a
colorizer with an upscaler after it? At batch 1 in float32, networks alone, peers with random
weights. `--rows` chooses: a checkpoint or preset, with `+reference` behind it where there is one,
or `+plain` where continuous pixel mapping is as the paper writes it, or any
COLORIZER@SIZE+UPSCALER of scsnet_hf/peers. `scripts/figures.py efficiency` draws its JSON.

`heads`: what do continuous pixel mapping and its rivals cost, from features of 128x128?

`backends`: what does a whole call of the pipeline take, on PyTorch (in bfloat16 too, where the
processor can) and with the graphs that scripts/export.py wrote, and how much do the images
differ?

`sizes`: what do results of many sizes cost, in whole calls of the pipeline, and how much memory?
Of an image each that is enlarged by --scale, or all of one of the size --source.
`scripts/figures.py sizes` draws its JSON.

`stages`: where does the time of a whole call go, from PNG file to PNG file?

`folder`: how long does a folder take, by a call for each image and by the command?

The share of the matrix rate is how much of the speed of the machine's own product of large float32
matrices, measured in the same repeat, the multiply-adds of a row reach.

Peak memory is what a fresh process needs above importing, weights included. Ratios are to the first
row in the same repeat.

Everything is measured in turn, as often as --repeats says, so that a slow moment of the machine
hits all alike. Tables show the median and, in brackets, the smallest and largest value; --output
keeps them all.
"""

import argparse
import json
import os
import platform
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from transformers.utils import logging

import scsnet_hf
from research.benchmark.backends import measure_backends
from research.benchmark.call_stages import measure_call_stages
from research.benchmark.cascades import measure_cascades
from research.benchmark.folder import measure_folder
from research.benchmark.heads import measure_heads
from research.benchmark.loader import measure_loader
from research.benchmark.rounds import Repeats
from research.benchmark.sizes import measure_sizes
from research.benchmark.space import measure_space
from research.benchmark.tables import (
    backend_table,
    call_stage_tables,
    cost_table,
    folder_table,
    loader_tables,
    size_table,
    space_table,
)
from research.benchmark.training_step import PRESET, StepSetting
from scsnet_hf.data import SOURCES

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "transformers", "datasets", "torchdata", "pillow", "numpy")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    loader = commands.add_parser("loader", help="does the loader keep up with training?")
    loader.set_defaults(measure=run_loader, show=loader_tables)
    add = loader.add_argument
    add(
        "--data",
        nargs="+",
        required=True,
        help=f"folder, parquet or tar files, Hub id, or one of {', '.join(SOURCES)}",
    )
    add("--network", default=PRESET.network, choices=("base", "small", "tiny"), help="size")
    add("--batch-size", type=positive, default=PRESET.batch_size)
    add(
        "--source-size",
        type=positive,
        default=PRESET.pairs.source_size,
        help="side of source, reference and labels in pixels",
    )
    add("--workers", type=int, nargs="+", default=[0, 1, 2], help="numbers of loader processes")
    add("--vgg", help="safetensors file for the perceptual loss (default: random, as slow)")
    add("--bf16", action="store_true", help="bfloat16 where autocast allows")
    add("--cpu", action="store_true", help="use no accelerator")
    add(
        "--batches",
        type=positive,
        default=4,
        help="steps, and batches of a loader process, in a repeat; even, so that both modes of "
        "training count alike",
    )
    add_common_options(loader)

    space = commands.add_parser("space", help="how long does a visitor wait?")
    space.set_defaults(measure=run_space, show=space_table)
    space.add_argument("--browser", default="chromium", help="command of a Chromium")
    add_common_options(space)

    cascades = commands.add_parser("cascades", help="one network, or a colorizer and an upscaler?")
    cascades.set_defaults(measure=run_cascades, show=partial(cost_table, "network"))
    cascades.add_argument(
        "--model", default="medium", help="embedded checkpoint, folder or Hub id for the first row"
    )
    add_cost_options(cascades)

    heads = commands.add_parser("heads", help="continuous pixel mapping, or another head?")
    heads.set_defaults(measure=run_heads, show=partial(cost_table, "head"))
    heads.add_argument("--scale", type=float, default=4.0, help="magnification")
    add_cost_options(heads)

    sizes = commands.add_parser("sizes", help="what do large results cost?")
    sizes.set_defaults(measure=run_sizes, show=size_table)
    add_call_options(sizes, "WxH", "sizes of results (default: several)")
    sizes.add_argument(
        "--source", metavar="WxH", help="size of the source of all rows, instead of --scale"
    )

    stages = commands.add_parser("stages", help="where does the time of a call go?")
    stages.set_defaults(measure=run_stages, show=call_stage_tables)
    add_call_options(stages, "WxH", "sizes of results (default: several)")

    folder = commands.add_parser("folder", help="a call for each image, or the command?")
    folder.set_defaults(measure=run_folder, show=folder_table)
    add_call_options(folder, "ROW", "`calls`, or `command` with options of it (default: both)")
    folder.add_argument("--images", type=positive, default=200, help="how many")
    folder.add_argument("--size", type=positive, default=128, help="side of an image in pixels")

    backends = commands.add_parser("backends", help="PyTorch, bfloat16 or exported graphs?")
    backends.set_defaults(measure=run_backends, show=backend_table)
    add = backends.add_argument
    add(
        "models",
        nargs="+",
        metavar="MODEL[@DTYPE]",
        help="embedded checkpoint, folder or Hub id, and a number format such as bfloat16",
    )
    add("--image", type=Path, default=ROOT / "space" / "examples" / "black-canyon.jpg")
    add("--size", type=positive, default=128, help="side of the source in pixels")
    add("--scale", type=float, default=4.0, help="magnification")
    add_common_options(backends)
    return parser.parse_args()


def add_cost_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--rows", nargs="+", default=[], metavar="ROW", help="which to measure (default: all)")
    add("--size", type=positive, default=128, help="side of the source in pixels")
    add("--device", default="cpu", choices=["cpu", "cuda"][: 1 + torch.cuda.is_available()])
    add_common_options(parser)


def add_call_options(parser: argparse.ArgumentParser, row: str, rows: str) -> None:
    add = parser.add_argument
    add("--model", default="medium", help="embedded checkpoint, folder or Hub id")
    add("--rows", nargs="+", default=[], metavar=row, help=rows)
    add("--scale", type=float, default=4.0, help="magnification")
    add("--device", default="cpu", help="of torch")
    add_common_options(parser)


def add_common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=positive, default=5)
    parser.add_argument("--output", type=Path, help="JSON file for all numbers")


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} must be at least 1")
    return number


def run_loader(args: argparse.Namespace) -> dict[str, Repeats]:
    """See `measure_loader`."""
    logging.set_verbosity_error()  # small images are left out, which is no news here
    step = StepSetting(args.network, args.batch_size, args.vgg, args.bf16, args.cpu)
    return measure_loader(
        args.data, args.source_size, args.workers, args.batches, args.repeats, step
    )


def run_space(args: argparse.Namespace) -> dict[str, Repeats]:
    """See `measure_space`."""
    return measure_space(ROOT / "space", args.browser, args.repeats)


def run_cascades(args: argparse.Namespace) -> dict[str, Repeats]:
    """See `measure_cascades`."""
    return measure_cascades(args.model, args.rows, args.repeats, args.size, args.device)


def run_heads(args: argparse.Namespace) -> dict[str, Repeats]:
    """See `measure_heads`."""
    return measure_heads(args.scale, args.rows, args.repeats, args.size, args.device)


def run_backends(args: argparse.Namespace) -> dict[str, Repeats]:
    """See `measure_backends`."""
    return measure_backends(args.models, args.image, args.size, args.scale, args.repeats)


def run_sizes(args: argparse.Namespace) -> dict[str, Repeats]:
    """See `measure_sizes`."""
    return measure_sizes(args.model, args.rows, args.repeats, args.scale, args.device, args.source)


def run_stages(args: argparse.Namespace) -> dict[str, dict[str, Repeats]]:
    """See `measure_call_stages`."""
    return measure_call_stages(args.model, args.rows, args.repeats, args.scale, args.device)


def run_folder(args: argparse.Namespace) -> dict[str, Repeats]:
    """See `measure_folder`."""
    images = (args.images, args.size, args.scale, args.device)
    return measure_folder(args.model, args.rows, args.repeats, *images)


def machine() -> dict[str, object]:
    """What the numbers hang on beside the arguments."""
    return {
        "versions": {
            "scsnet_hf": scsnet_hf.__version__,
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
        },
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def cpu_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    args = parse_arguments()
    try:
        values = args.measure(args)
    except (ValueError, OSError) as error:
        sys.exit(f"benchmark.py: {error}")
    print(args.show(values))
    if args.output:
        settings = {name: value for name, value in vars(args).items() if not callable(value)}
        record = {**machine(), "arguments": settings, "repeats": values}
        args.output.write_text(json.dumps(record, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
