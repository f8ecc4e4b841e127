"""Measure how fast things are; a subcommand for each question.

    python scripts/benchmark.py loader --data photos/
    python scripts/benchmark.py loader --data photos/ --workers 0 2 4 8 --bf16 --output loader.json
    python scripts/benchmark.py space
    python scripts/benchmark.py cascades --output cascades.json
    python scripts/benchmark.py heads --scale 2.7
    python scripts/benchmark.py backends medium exported
    python scripts/benchmark.py sizes --repeats 3

`loader`: does the loader keep up with training? Pictures per second that it delivers alone and
that a training step takes in, and where the time of a sample goes. Where the ratio of the two is
above 1, the loader has the next batch ready in time. On a CPU, loader processes and training share
the cores, so a ratio well above 1 is needed there. Without loader processes the two take turns.

`space`: how long does a visitor wait? Seconds from `python space/app.py` to the first coloured
picture in a browser, and from a later click to its result, for 256x256 enlarged twice. Needs
Chromium.

`cascades`: what does a gray picture of 128x128 cost in colour at 512x512, by this network and by a
colorizer with an upscaler after it? At batch 1 in float32, networks alone, peers with random
weights. `--rows` chooses: a checkpoint or preset, with `+reference` behind it where there is one,
or any COLORIZER@SIZE+UPSCALER of scsnet_hf/peers. `scripts/figures.py efficiency` draws its JSON.

`heads`: what do continuous pixel mapping and its rivals cost, from features of 128x128?

`backends`: what does a whole call of the pipeline take, on PyTorch and with the graphs that
scripts/export.py wrote, and how much do the pictures differ?

`sizes`: what do results of many sizes cost, in whole calls of the pipeline, and how much memory?

Peak memory is what a fresh process needs above importing, weights included. Ratios are to the first
row in the same repeat.

Everything is measured in turn, as often as --repeats says, so that a slow moment of the machine
hits all alike. Tables show the median and, in brackets, the smallest and largest value; --output
keeps them all.
"""

import argparse
import dataclasses
import json
import os
import platform
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import PrinterCallback, TrainerCallback, TrainingArguments
from transformers.utils import logging

import scsnet_hf
from scsnet_hf import SCSNetConfig, SCSNetForImageToImage
from scsnet_hf.benchmarking.backends import measure_backends
from scsnet_hf.benchmarking.cascades import measure_cascades
from scsnet_hf.benchmarking.heads import measure_heads
from scsnet_hf.benchmarking.rounds import Repeats
from scsnet_hf.benchmarking.sizes import measure_sizes
from scsnet_hf.benchmarking.tables import backend_table, cost_table, size_table, spread, table
from scsnet_hf.data import (
    SOURCES,
    DataSource,
    PairMaker,
    collate,
    open_photograph,
    resolve_source,
    stream_photographs,
    training_loader,
    training_stream,
)
from scsnet_hf.training import PRESETS, LossWeights, SCSNetTrainer
from scsnet_hf.vgg import VGG16Features

if TYPE_CHECKING:
    import datasets
    from playwright.sync_api import Page

Measure = Callable[[], dict[str, float]]

ROOT = Path(__file__).resolve().parent.parent
PRESET = PRESETS["continuous"]
PREFETCHED = 2  # batches that a loader process makes ahead, PyTorch's default
WARM_UP_STEPS = 2  # one of each mode
PACKAGES = ("torch", "transformers", "datasets", "torchdata", "pillow", "numpy")
STAGES = {
    "read": "read the row, undecoded",
    "decode": "decode",
    "cut": "cut and resize",
    "collate": "collate",
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    loader = commands.add_parser("loader", help="does the loader keep up with training?")
    loader.set_defaults(measure=measure_loader, show=show_loader)
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
    space.set_defaults(measure=measure_space, show=show_space)
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
    add = sizes.add_argument
    add("--model", default="medium", help="embedded checkpoint, folder or Hub id")
    add("--rows", nargs="+", default=[], metavar="WxH", help="sizes of results (default: many)")
    add("--scale", type=float, default=4.0, help="magnification")
    add("--device", default="cpu", help="of torch")
    add_common_options(sizes)

    backends = commands.add_parser("backends", help="PyTorch, or exported graphs?")
    backends.set_defaults(measure=run_backends, show=backend_table)
    add = backends.add_argument
    add("models", nargs="+", metavar="MODEL", help="embedded checkpoint, folder or Hub id")
    add("--picture", type=Path, default=ROOT / "space" / "examples" / "black-canyon.jpg")
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


def add_common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=positive, default=5)
    parser.add_argument("--output", type=Path, help="JSON file for all numbers")


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} must be at least 1")
    return number


def in_turn(groups: dict[str, list[Measure]], repeats: int) -> dict[str, Repeats]:
    """The values of all measures of all groups, each measured once in every repeat."""
    values = {group: defaultdict(list) for group in groups}
    turns = [(group, measure) for group, measures in groups.items() for measure in measures]
    for group, measure in tqdm(turns * repeats, unit="measurement"):
        for name, value in measure().items():
            values[group][name].append(value)
    return values


# The loader


def measure_loader(args: argparse.Namespace) -> dict[str, Repeats]:
    """Pictures/s of `loader` (by loader processes) and `step` (by loss terms); `sample`, seconds
    of its stages and of the whole stream, which all but `collate` are part of."""
    logging.set_verbosity_error()  # small pictures are left out, which is no news here
    source = resolve_source(args.data if len(args.data) > 1 else args.data[0])
    size = args.source_size
    pairs = dataclasses.replace(
        PRESET.pairs, source_size=size, label_size=size, reference_size=size
    )
    count = args.batches * args.batch_size
    stream = training_stream(
        stream_photographs(source),
        pairs,
        selection=source.selection,
        block_size=count,  # so that every measurement holds the reading of one block
    )
    groups = {
        "loader": [
            partial(loader_speed, stream, args.batch_size, workers, args.batches)
            for workers in available_workers(stream, args.workers)
        ],
        "sample": [
            partial(stage_times, started(undecoded(source)), pairs, args.batch_size, count),
            partial(stream_time, started(iter(stream)), count),
        ],
        "step": step_measures(args, stream),
    }
    return in_turn(groups, args.repeats)


def available_workers(stream: "datasets.IterableDataset", wanted: list[int]) -> list[int]:
    """The numbers of loader processes that there are shards for."""
    usable = sorted({min(workers, stream.num_shards) for workers in wanted})
    if max(wanted) > usable[-1]:
        print(f"the data have {stream.num_shards} shards, so at most as many loader processes")
    return usable


def loader_speed(
    stream: "datasets.IterableDataset", batch_size: int, workers: int, batches: int
) -> dict[str, float]:
    """Pictures/s in the long run, so from when the loader processes are at work."""
    loader = iter(training_loader(stream, batch_size, workers))
    batches *= max(1, workers)  # a number for each, since their batches come together
    for _ in range(1 + PREFETCHED * workers):
        next(loader)
    start = time.perf_counter()
    for _ in range(batches):
        next(loader)
    return {str(workers): batches * batch_size / (time.perf_counter() - start)}


def started(iterator: Iterator[dict]) -> Iterator[dict]:
    """The iterator after its first item, so with its files open."""
    next(iterator)
    return iterator


def undecoded(source: DataSource) -> Iterator[dict]:
    """The `image` column of the rows of a source, again and again."""
    for row in stream_photographs(source).repeat(None):
        yield row["image"]


def stage_times(
    images: Iterator[dict], make_pair: PairMaker, batch_size: int, count: int
) -> dict[str, float]:
    """Seconds per sample of the stages in one process, by calling them one by one."""
    seconds = defaultdict(float)

    def timed(stage: str, function: Callable, *arguments):
        start = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            seconds[stage] += time.perf_counter() - start

    samples, rng = [], random.Random(0)
    while len(samples) < count:
        image = timed("read", next, images)
        try:
            picture = timed("decode", open_photograph, image)
            samples.append(timed("cut", make_pair, picture, rng))
        except (OSError, ValueError):
            continue  # also the stream leaves it out
    for first in range(0, count, batch_size):
        timed("collate", collate, samples[first : first + batch_size])
    return {stage: total / count for stage, total in seconds.items()}


def stream_time(samples: Iterator[dict], count: int) -> dict[str, float]:
    """Seconds per sample of the stream as a whole, in one process."""
    start = time.perf_counter()
    for _ in islice(samples, count):
        pass
    return {"stream": (time.perf_counter() - start) / count}


# The training step


class StepClock(TrainerCallback):
    """Notes when each step ends."""

    def __init__(self):
        self.ends: list[float] = []

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
        self.ends.append(time.perf_counter())


class TrainerOfBatches(SCSNetTrainer):
    """Trains on a list of batches, which are there without waiting."""

    def get_train_dataloader(self) -> DataLoader:
        return DataLoader(self.train_dataset, batch_size=None)


def step_measures(args: argparse.Namespace, stream: "datasets.IterableDataset") -> list[Measure]:
    """A measure for each set of loss terms."""
    everything = PRESET.loss_weights
    content = LossWeights(everything.content, 0.0, 0.0, channels=everything.channels)
    vgg = VGG16Features.from_pretrained(args.vgg) if args.vgg else VGG16Features()
    samples = iter(stream)
    batches = [
        collate(list(islice(samples, args.batch_size))) for _ in range(WARM_UP_STEPS + args.batches)
    ]
    return [
        partial(step_speed, name, weights, vgg if weights.perceptual else None, batches, args)
        for name, weights in (("content", content), ("all", everything))
    ]


def step_speed(
    name: str,
    weights: LossWeights,
    vgg: VGG16Features | None,
    batches: list[dict[str, torch.Tensor]],
    args: argparse.Namespace,
) -> dict[str, float]:
    """Pictures/s of training: discriminator, network, optimizers, moving average."""
    clock = StepClock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = TrainerOfBatches(
            model=SCSNetForImageToImage(SCSNetConfig.from_preset(args.network)),
            args=TrainingArguments(
                output_dir=folder,
                max_steps=len(batches),
                per_device_train_batch_size=args.batch_size,
                learning_rate=PRESET.learning_rate,
                bf16=args.bf16,
                use_cpu=args.cpu,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=batches,
            loss_weights=weights,
            vgg=vgg,
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    seconds = clock.ends[-1] - clock.ends[WARM_UP_STEPS - 1]
    return {name: (len(batches) - WARM_UP_STEPS) * args.batch_size / seconds}


# The Space


def measure_space(args: argparse.Namespace) -> dict[str, Repeats]:
    """`visit`: seconds until the page, the first picture and a further picture are there."""
    browser = shutil.which(args.browser)
    if browser is None:
        raise ValueError(f"--browser {args.browser}: not found")
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "gray.png"
        example = ROOT / "space" / "examples" / "astronaut.jpg"
        Image.open(example).convert("L").resize((256, 256)).save(picture)
        return in_turn({"visit": [partial(first_visit, browser, picture)]}, args.repeats)


def first_visit(browser: str, picture: Path) -> dict[str, float]:
    """Start the Space, wait for two pictures in turn, and stop it."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--headless", "--disable-gpu"]
        page = playwright.chromium.launch(executable_path=browser, args=arguments).new_page()
        started = time.perf_counter()
        space = subprocess.Popen(
            [sys.executable, str(ROOT / "space" / "app.py")],
            env={**os.environ, "GRADIO_SERVER_PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for_port(port, space)
            page.goto(f"http://127.0.0.1:{port}")
            page.wait_for_selector("#colorize-run")
            opened = time.perf_counter()
            page.set_input_files("#colorize-picture input[type=file]", picture)
            page.wait_for_selector("#colorize-picture img")
            press(page)
            first = time.perf_counter()
            clicked = press(page)
            return {
                "start to page": opened - started,
                "start to first picture": first - started,
                "click to picture": time.perf_counter() - clicked,
            }
        finally:
            space.terminate()
            space.wait()


def wait_for_port(port: int, process: subprocess.Popen) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionError:
            time.sleep(0.05)
    raise OSError(f"the Space did not start: exit code {process.returncode}")


def press(page: "Page") -> float:
    """Colorize, and wait until a new picture is drawn; returns when the button was pressed."""
    pictures = "[...document.querySelectorAll('#colorize-slider img')]"
    before = page.evaluate(f"{pictures}.map(picture => picture.src)")
    clicked = time.perf_counter()
    page.click("#colorize-run")
    page.wait_for_function(
        f"before => {pictures}.length == 2 && {pictures}.every("
        "picture => !before.includes(picture.src) && picture.complete && picture.naturalWidth)",
        arg=before,
    )
    return clicked


# What networks cost


def run_cascades(args: argparse.Namespace) -> dict[str, Repeats]:
    """See `measure_cascades`."""
    return measure_cascades(args.model, args.rows, args.repeats, args.size, args.device)


def run_heads(args: argparse.Namespace) -> dict[str, Repeats]:
    """See `measure_heads`."""
    return measure_heads(args.scale, args.rows, args.repeats, args.size, args.device)


def run_backends(args: argparse.Namespace) -> dict[str, Repeats]:
    """See `measure_backends`."""
    return measure_backends(args.models, args.picture, args.size, args.scale, args.repeats)


def run_sizes(args: argparse.Namespace) -> dict[str, Repeats]:
    """See `measure_sizes`."""
    return measure_sizes(args.model, args.rows, args.repeats, args.scale, args.device)


# What is shown


def show_loader(values: dict[str, Repeats]) -> str:
    """Three tables."""
    steps = {name: statistics.median(speeds) for name, speeds in values["step"].items()}
    step = table(
        ["training step", "pictures/s"],
        [[f"{name} loss terms", spread(speeds)] for name, speeds in values["step"].items()],
    )
    loader = table(
        ["loader processes", "pictures/s", *(f"ratio to step, {name} terms" for name in steps)],
        [
            [workers, spread(speeds)]
            + [f"{statistics.median(speeds) / speed:.2f}" for speed in steps.values()]
            for workers, speeds in values["loader"].items()
        ],
    )
    return "\n\n".join((loader, step, stage_table(values["sample"])))


def show_space(values: dict[str, Repeats]) -> str:
    """One table."""
    rows = [[name, spread(seconds)] for name, seconds in values["visit"].items()]
    return table(["a visit", "seconds"], rows)


def stage_table(seconds: Repeats) -> str:
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    whole = medians["stream"] + medians["collate"]
    rows = [
        [
            text,
            spread([1000 * value for value in seconds[stage]], 2),
            f"{medians[stage] / whole:.0%}",
        ]
        for stage, text in STAGES.items()
    ]
    rest = whole - sum(medians[stage] for stage in STAGES)
    rows.append(
        ["the rest: shuffle, checksum, selection", f"{1000 * rest:.2f}", f"{rest / whole:.0%}"]
    )
    return table(["a sample, in one process", "ms", "share"], rows)


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
