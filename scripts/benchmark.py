"""Measure how fast things are; a subcommand for each question.

    python scripts/benchmark.py loader --data photos/ --workers 0 2 4 --bf16 --output loader.json
    python scripts/benchmark.py networks --output networks.json
    python scripts/benchmark.py models medium medium@bfloat16 small
    python scripts/benchmark.py sizes --source 512x512 --rows 768x768 2048x2048

loader      images/s that the loader delivers and a training step consumes; a ratio above 1 means
            that the next batch is ready in time (on a CPU, both share the cores)
space       seconds until a visitor sees the first and a later result; needs Chromium
networks    128x128 to 512x512 by this network and by cascades of a colorizer and an upscaler with
            random weights, networks alone, batch 1, float32. A row is a checkpoint or preset, with
            +reference or +plain (pixel mapping as the paper writes it), or COLORIZER@SIZE+UPSCALER
            of scripts/research/baselines. `scripts/figures.py efficiency` draws the JSON file
upsamplers  continuous pixel mapping and its alternatives, from features of 128x128
models      whole calls of the pipeline by several models and number formats
files       large images at their own size and videos, from file to file
sizes       whole calls for results of many sizes. `scripts/figures.py sizes` draws the JSON file
profile     where the time of a whole call goes, from PNG file to PNG file
folder      a folder by a call for each image and by the command
startup     the whole command for one small photograph, imports included

Everything is measured in turn, --runs times, so that a slow moment of the machine affects all.
Tables show the median and, in brackets, the smallest and largest value; ratios are to the first row
in the same run. The share of the matrix rate is the multiply-adds per second of a row over those of
a product of large float32 matrices in the same run. Peak memory is what a fresh process needs above
importing, weights included.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from transformers.utils import logging

from research.benchmark import tables
from research.benchmark.call_profile import measure_call_profile
from research.benchmark.folder import measure_folder
from research.benchmark.large_files import measure_large_files
from research.benchmark.loader import measure_loader
from research.benchmark.models import measure_models
from research.benchmark.networks import measure_networks
from research.benchmark.result_sizes import measure_result_sizes
from research.benchmark.space import SPACE, measure_space
from research.benchmark.startup import measure_startup
from research.benchmark.upsamplers import measure_upsamplers
from research.environment import describe_hardware, software_versions
from scsnet_hf.configuration_scsnet import PRESETS as NETWORKS
from scsnet_hf.data import SOURCES
from scsnet_hf.io.extras import needs_extra
from scsnet_hf.training import PRESETS

PACKAGES = ("scsnet_hf", "torch", "transformers", "datasets", "torchdata", "pillow", "numpy")


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} must be at least 1")
    return number


# Options of several commands.
MODEL = {"default": "medium", "help": "embedded checkpoint, folder or Hub id"}
SCALE = {"type": float, "default": 4.0, "help": "magnification"}
SIDE = {"type": positive, "default": 128, "help": "side of the source in pixels"}
DEVICE = {"default": "cpu", "help": "of torch"}
ROWS = {"nargs": "+", "default": [], "metavar": "ROW", "help": "which (default: all)"}
RESULTS = {**ROWS, "metavar": "WxH", "help": "sizes of results (default: several)"}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def add_command(name, measure, table, summary):
        command = commands.add_parser(name, help=summary)
        command.set_defaults(measure=measure, table=table)
        command.add_argument("--runs", type=positive, default=5, help="measurements of each")
        command.add_argument("--output", type=Path, help="JSON file for all numbers")
        return command.add_argument

    add_network_commands(add_command)
    add_call_commands(add_command)
    add_training_commands(add_command)
    return parser.parse_args()


def add_network_commands(add_command: Callable) -> None:
    add = add_command("networks", measure_networks, tables.network_table, "network or cascade")
    add("--model", **MODEL)
    add("--rows", **ROWS)
    add("--size", **SIDE)
    add("--device", **DEVICE)

    add = add_command("upsamplers", measure_upsamplers, tables.network_table, "CPM or others")
    add("--scale", **SCALE)
    add("--rows", **ROWS)
    add("--size", **SIDE)
    add("--device", **DEVICE)


def add_call_commands(add_command: Callable) -> None:
    add = add_command("models", measure_models, tables.model_table, "models and number formats")
    name = "embedded checkpoint, folder or Hub id, and a number format such as bfloat16"
    add("models", nargs="+", metavar="MODEL[@DTYPE]", help=name)
    add("--image", type=Path, default=SPACE / "examples" / "black-canyon.jpg")
    add("--size", **SIDE)
    add("--scale", **SCALE)

    add = add_command("files", measure_large_files, tables.network_table, "large files and videos")
    add("--model", **MODEL)
    add("--rows", **{**ROWS, "help": 'WxH, "WxH ddcolor-tiny" or "WxH video SCALE"'})
    add("--device", **DEVICE)

    add = add_command("sizes", measure_result_sizes, tables.size_table, "results of many sizes")
    add("--model", **MODEL)
    add("--rows", **RESULTS)
    add("--scale", **SCALE)
    add("--source", metavar="WxH", help="size of the source of all rows, instead of --scale")
    add("--device", **DEVICE)

    table = tables.call_profile_tables
    add = add_command("profile", measure_call_profile, table, "stages of a call")
    add("--model", **MODEL)
    add("--rows", **RESULTS)
    add("--scale", **SCALE)
    add("--device", **DEVICE)

    add = add_command("folder", measure_folder, tables.folder_table, "single calls or the command")
    add("--model", **MODEL)
    add("--rows", **{**ROWS, "help": "`calls`, or `command` with options of it (default: both)"})
    add("--scale", **SCALE)
    add("--device", **DEVICE)
    add("--images", type=positive, default=200, help="how many")
    add("--size", **SIDE)

    add = add_command("startup", measure_startup, tables.startup_table, "the command, once")
    add("--image", type=Path, default=SPACE / "examples" / "black-canyon.jpg")
    add("--scale", **{**SCALE, "default": 2.0})
    add("--rows", **{**ROWS, "metavar": "FOLDER", "help": "other versions of the package"})

    add = add_command("space", measure_space, tables.space_table, "waiting times in the Space")
    add("--browser", default="chromium", help="command of a Chromium")


def add_training_commands(add_command: Callable) -> None:
    add = add_command("loader", measure_loader, tables.loader_tables, "loader and training step")
    data = f"folder, parquet or tar files, Hub id, or one of {', '.join(SOURCES)}"
    add("--data", nargs="+", required=True, help=data)
    add("--preset", default="continuous", choices=PRESETS, help="training preset, which decides")
    add("--network", choices=NETWORKS, help="size (default: of the preset)")
    add("--batch-size", type=positive, help="(default: of the preset)")
    add("--source-size", type=positive, help="pixels a side of all images (default: of the preset)")
    add("--loader-only", action="store_true", help="no training steps")
    add("--workers", type=int, nargs="+", default=[0, 1, 2], help="numbers of loader processes")
    add("--vgg", help="safetensors file for the perceptual loss (default: random, as slow)")
    add("--bf16", action="store_true", help="bfloat16 where autocast allows")
    add("--cpu", action="store_true", help="use no accelerator")
    batches = "steps, and batches of a loader process, per run; even, for both modes of training"
    add("--batches", type=positive, default=4, help=batches)


def main() -> None:
    args = vars(parse_arguments())
    command, measure, table, output = map(args.pop, ("command", "measure", "table", "output"))
    logging.set_verbosity_error()  # that small photographs are skipped is no news here
    try:
        values = measure(**args)
    except (ValueError, OSError) as error:
        sys.exit(f"benchmark.py: {error}")
    print(table(values))
    if output:
        record = {"versions": software_versions(PACKAGES), **describe_hardware()}
        record |= {"command": command, "arguments": args, "measurements": values}
        output.write_text(json.dumps(record, indent=2, default=str) + "\n")


if __name__ == "__main__":
    with needs_extra("test", "benchmark.py: measurements", SystemExit):
        main()
