"""Measure a model on colour photographs: gray and small in, compared with the original.

    python scripts/evaluate.py --data 'validation-*.parquet' --scale 4

Prints the table of README and writes all numbers as JSON with --output. What they mean stands in
scsnet_hf/evaluation.py.
"""

import argparse
import json
from itertools import islice
from pathlib import Path

from tqdm import tqdm
from transformers import pipeline

import scsnet_hf
from scsnet_hf.data import iterate_photographs
from scsnet_hf.evaluation import evaluate, make_samples, markdown_table, methods_of


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder, parquet files or Hub id")
    parser.add_argument("--model", help="folder or Hub id (default: the embedded checkpoint)")
    parser.add_argument("--scale", type=float, default=4.0, help="magnification")
    parser.add_argument("--limit", type=int, help="only so many pictures")
    parser.add_argument("--seed", type=int, default=0, help="of the elastic distortion")
    parser.add_argument("--device", help="cpu, cuda, ...")
    parser.add_argument("--output", type=Path, help="JSON file for the numbers")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    pipe = pipeline("scs-colorize-sr", model=args.model, device=args.device)
    pictures = tqdm(islice(iterate_photographs(args.data), args.limit), unit="picture")
    results = evaluate(make_samples(pictures, args.scale, args.seed), methods_of(pipe))
    print(markdown_table(results))
    if args.output:
        record = {
            "version": scsnet_hf.__version__,
            "data": args.data,
            "pictures": pictures.n,
            "scale": args.scale,
            "seed": args.seed,
            "results": results,
        }
        args.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
