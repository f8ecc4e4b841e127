"""Measure a model on color photographs: gray and small in, compared with the original.

    python scripts/evaluate_model.py --data 'validation-*.parquet' --vgg FILE --stability
    python scripts/evaluate_model.py --data imagenet-c --protocol paper --output runs/imagenet-c
    python scripts/evaluate_model.py --tables runs/imagenet-c runs/coco
    python scripts/evaluate_model.py --compare results/ originals/ --fid inception

    python scripts/evaluate_model.py --data photos/ --cascade "gray, Swin2SR" gray \
        transformers:caidas/swin2SR-classical-sr-x4-64

Prints the tables of README. With --output, a folder, they are kept there as tables.md, all numbers
and what they mean as results.json, and as seconds.json the time that an image takes; the same
command goes on where it was interrupted. --protocol paper is that of Sec. 4.2: 5,000 images at
random, cut to 512x512, half of them automatic, a tenth with themselves as reference, the others
with another one.

--cascade compares with a colorizer and an upscaler of other projects, one after the other, named as
scsnet_hf/evaluation/stages.py tells. For programs that are run apart, --inputs-only writes what
they are to restore, and --images takes in what they made: see scripts/comparison_methods.md.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from PIL import Image, ImageOps
from tqdm import tqdm

from research.evaluation import (
    FLOORS_AND_CEILING,
    MODES,
    PAPER_IMAGES,
    PAPER_SIDE,
    PROTOCOLS,
    Closeness,
    Colors,
    Distribution,
    Evaluation,
    HueFollowing,
    Journal,
    Measure,
    Method,
    Perceptual,
    Stability,
    cascade,
    compare,
    evaluate,
    load_stage,
    made_elsewhere,
    make_samples,
    markdown_tables,
    modes_of,
    pairs_of,
    paper_tables,
    record_of,
    table_rows,
    weights_sha256,
    write_inputs,
)
from scsnet_hf.data import (
    EVALUATION_SPLITS,
    SOURCES,
    iterate_photographs,
    resolve_source,
)
from scsnet_hf.io.run_settings import write_json
from scsnet_hf.metrics import FeatureNetwork
from scsnet_hf.registration import DTYPES, load_pipeline
from scsnet_hf.training.vgg import HUB_REPOSITORY, VGG16Features

RESULTS_FILE, TABLES_FILE, SECONDS_FILE = "results.json", "tables.md", "seconds.json"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_mutually_exclusive_group(required=True).add_argument
    add("--data", help=f"folder, parquet files, Hub id, or one of {', '.join(SOURCES)}")
    add("--compare", nargs=2, type=Path, metavar=("RESULTS", "TRUTHS"), help="two folders")
    add("--tables", nargs="+", type=Path, metavar="RUN", help="Tables 1 and 2 of earlier runs")

    group = parser.add_argument_group("images")
    add = group.add_argument
    add("--split", help="of the data (default: what the paper's tables are measured on)")
    add("--limit", type=int, help="only so many images")
    add("--shuffle", action="store_true", help="choose them at random, by --seed")
    add("--square", type=int, help="cut the middle square out and bring it to so many pixels")
    add("--scale", type=float, default=4.0, help="magnification")
    add("--seed", type=int, default=0, help="of order, distortions and turned hues")
    add("--protocol", default="every-mode", choices=PROTOCOLS, help="which image in which mode")

    group = parser.add_argument_group("methods")
    add = group.add_argument
    add("--model", default="medium", help="medium, small, a folder or a Hub id")
    add(
        "--cascade",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "COLORIZER", "UPSCALER"),
        help="compare with two stages one after the other; repeat for more",
    )
    add(
        "--images",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "MODE", "FOLDER"),
        help=f"compare with images made elsewhere; MODE is one of {', '.join(MODES)}",
    )
    add("--device", help="cpu, cuda, ...")
    add("--dtype", choices=DTYPES, help="number format of the network (default: the model's)")

    group = parser.add_argument_group("measures")
    add = group.add_argument
    add("--vgg", help=f"also VGG16 distances, by a safetensors file or {HUB_REPOSITORY}")
    add("--fid", metavar="NETWORK[=FILE]", help="also FID and KID, by inception or vgg16")
    add("--stability", action="store_true", help="also how colors change with sizes")

    group = parser.add_argument_group("output")
    add = group.add_argument
    add("--output", type=Path, help="folder of the run, which can then be interrupted")
    add("--keep-images", action="store_true", help="also keep all images in OUTPUT")
    add("--inputs-only", action="store_true", help="only write what other programs restore")
    args = parser.parse_args()
    if (args.keep_images or args.inputs_only) and not args.output:
        parser.error("--keep-images and --inputs-only need --output")
    return with_protocol(args)


def with_protocol(args: argparse.Namespace) -> argparse.Namespace:
    """The arguments with what the paper's protocol asks for where nothing else was."""
    if args.protocol == "paper":
        args.limit = args.limit or PAPER_IMAGES
        args.square = args.square or PAPER_SIDE
        args.fid = args.fid or "inception"
        args.shuffle = True
    return args


def images_of(args: argparse.Namespace) -> Iterator[Image.Image]:
    source = resolve_source(args.data)
    split = args.split or EVALUATION_SPLITS.get(args.data)
    if split:
        source = dataclasses.replace(source, split=split)
    images = iterate_photographs(source, args.seed if args.shuffle else None)
    for image in tqdm(islice(images, args.limit), total=args.limit, unit="image"):
        if args.square:
            image = ImageOps.fit(image, 2 * (args.square,), Image.Resampling.BICUBIC)
        yield image


def methods_of(args: argparse.Namespace, pipe) -> dict[str, Method]:
    cascades = {
        name: cascade(*(load_stage(stage, pipe.device) for stage in stages))
        for name, *stages in args.cascade
    }
    elsewhere = {name: made_elsewhere(Path(at), mode) for name, mode, at in args.images}
    return {**FLOORS_AND_CEILING, **modes_of(pipe), **cascades, **elsewhere}


def measures_of(args: argparse.Namespace, device="cpu") -> list[Measure]:
    """Those that need no network to be evaluated."""
    measures = [Colors(), Closeness()]
    if args.vgg:
        measures.append(Perceptual(VGG16Features.from_pretrained(args.vgg).to(device)))
    if args.fid:
        measures.append(Distribution(FeatureNetwork.named(args.fid, device=str(device))))
    return measures


def behaviors_of(args: argparse.Namespace, pipe) -> list[Measure]:
    """Those that run the pipeline beyond its methods."""
    if args.protocol != "every-mode":
        return []
    referential = pipe.model.config.cross_attention != "none"
    return [
        *([HueFollowing(pipe)] if referential else []),
        *([Stability(pipe)] if args.stability else []),
    ]


def settings_of(args: argparse.Namespace, pipe) -> dict[str, object]:
    """What the numbers hang on."""
    names = (
        "data split limit shuffle square scale seed protocol model dtype cascade images vgg fid "
        "stability"
    ).split()
    settings = {name: getattr(args, name) for name in names}
    return {**settings, "model_sha256": weights_sha256(pipe.model)}


def run(args: argparse.Namespace) -> str:
    pipe = load_pipeline(args.model, args.device, args.dtype)
    settings, methods = settings_of(args, pipe), methods_of(args, pipe)
    measures = [*measures_of(args, pipe.device), *behaviors_of(args, pipe)]
    journal = Journal(args.output, settings, args.keep_images) if args.output else None
    samples = make_samples(images_of(args), args.scale, args.seed)
    evaluation = evaluate(samples, methods, measures, PROTOCOLS[args.protocol], journal)
    tables = markdown_tables(table_rows(evaluation, methods))
    keep(args, tables, record_of(evaluation, methods, measures, settings))
    if args.output:
        write_json(args.output / SECONDS_FILE, evaluation.seconds)
    return tables


def run_comparison(args: argparse.Namespace) -> str:
    measures, name = measures_of(args, args.device or "cpu"), str(args.compare[0])
    pairs = tqdm(pairs_of(*args.compare), unit="image")
    evaluation: Evaluation = compare(pairs, measures, name)
    tables = markdown_tables(evaluation.rows)
    settings = {"data": str(args.compare[1]), "results": name, "vgg": args.vgg, "fid": args.fid}
    keep(args, tables, record_of(evaluation, {}, measures, settings))
    return tables


def keep(args: argparse.Namespace, tables: str, record: dict[str, object]) -> None:
    if args.output:
        write_json(args.output / RESULTS_FILE, record)
        (args.output / TABLES_FILE).write_text(tables + "\n")


def main() -> None:
    args = parse_arguments()
    try:
        if args.tables:
            runs, seconds = (
                [json.loads((run / name).read_text()) for run in args.tables]
                for name in (RESULTS_FILE, SECONDS_FILE)
            )
            print(paper_tables(runs, seconds))
        elif args.compare:
            print(run_comparison(args))
        elif args.inputs_only:
            write_inputs(make_samples(images_of(args), args.scale, args.seed), args.output)
        else:
            print(run(args))
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate_model.py: {error}")


if __name__ == "__main__":
    main()
