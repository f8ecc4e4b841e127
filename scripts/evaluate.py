"""Measure a model on colour photographs: gray and small in, compared with the original.

    python scripts/evaluate.py --data 'validation-*.parquet' --vgg timm/vgg16.tv_in1k --stability

    python scripts/evaluate.py --data photos/ --cascade "gray, Swin2SR" gray \
        transformers:caidas/swin2SR-classical-sr-x4-64

Prints the tables of README and writes all numbers as JSON with --output. What they mean stands in
scsnet_hf/evaluation: measures.py and behaviour.py. --cascade compares with a colorizer and an
upscaler of other projects, one after the other, named as scsnet_hf/evaluation/stages.py tells.
"""

import argparse
import json
from itertools import islice
from pathlib import Path

from tqdm import tqdm
from transformers import pipeline

import scsnet_hf
from scsnet_hf.data import iterate_photographs
from scsnet_hf.evaluation import (
    Closeness,
    Colors,
    HueFollowing,
    Measure,
    Perceptual,
    Stability,
    cascade,
    evaluate,
    load_stage,
    make_samples,
    markdown_tables,
    methods_of,
)
from scsnet_hf.vgg import HUB_REPOSITORY, VGG16Features


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", required=True, help="folder, parquet files or Hub id")
    add("--model", help="folder or Hub id (default: the embedded checkpoint)")
    add("--scale", type=float, default=4.0, help="magnification")
    add("--limit", type=int, help="only so many pictures")
    add("--seed", type=int, default=0, help="of the references' distortions and turned hues")
    add(
        "--cascade",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "COLORIZER", "UPSCALER"),
        help="compare with two stages one after the other; repeat for more",
    )
    add("--vgg", help=f"also VGG16 distances, by a safetensors file or {HUB_REPOSITORY}")
    add("--stability", action="store_true", help="also how colours change with sizes")
    add("--device", help="cpu, cuda, ...")
    add("--output", type=Path, help="JSON file for the numbers")
    return parser.parse_args()


def measures_of(args: argparse.Namespace, pipe) -> list[Measure]:
    """What is asked for."""
    measures = [Colors(), Closeness(), HueFollowing(pipe)]
    if args.vgg:
        weights = None if args.vgg == HUB_REPOSITORY else args.vgg
        measures.append(Perceptual(VGG16Features.from_pretrained(weights).to(pipe.device)))
    if args.stability:
        measures.append(Stability(pipe))
    return measures


def main() -> None:
    args = parse_arguments()
    pipe = pipeline("scs-colorize-sr", model=args.model, device=args.device)
    cascades = {
        name: cascade(*(load_stage(stage, pipe.device) for stage in stages))
        for name, *stages in args.cascade
    }
    pictures = tqdm(islice(iterate_photographs(args.data), args.limit), unit="picture")
    samples = make_samples(pictures, args.scale, args.seed)
    results = evaluate(samples, {**methods_of(pipe), **cascades}, measures_of(args, pipe))
    print(markdown_tables(results))
    if args.output:
        record = {
            "version": scsnet_hf.__version__,
            "data": args.data,
            "pictures": pictures.n,
            "scale": args.scale,
            "seed": args.seed,
            "cascades": args.cascade,
            "vgg": args.vgg,
            "results": results,
        }
        args.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
