"""Train and measure the rows of the paper's Table 4 (loss terms) and Table 5 (components).

    python scripts/ablate.py --data imagenet-c --validation imagenet-c-validation/ --output ablation
    python scripts/ablate.py --data train/ --validation validation/ --output ablation \
        --network small --source-size 48 --label-size 32 --steps 600 --batch-size 8 \
        --learning-rate 5e-4 --color-readout 10 --recolored 0.3 --vgg vgg16.safetensors \
        --fid vgg16=vgg16.safetensors
    python scripts/ablate.py --tables deviations --network base ...

Every variant is trained once for each seed, with the same samples and settings, and measured in
referential mode as in the paper: PSNR and SSIM with the distorted image itself as reference, FID,
KID and colorfulness with that and with another image's. Variants without cross attention take no
reference, and have the numbers of their automatic mode. The table of deviations changes the paper's
network in one field at a time, at the widths of --network, to what our presets do, and trains with
the content loss alone, which tells small differences apart sooner. Mean and standard deviation over
the seeds are printed and kept in OUTPUT/tables.md. Finished runs are not trained again, and an
interrupted one is resumed. Under torchrun each process trains runs of its own.
"""

import argparse
import sys
from pathlib import Path

from transformers import HfArgumentParser

from scsnet_hf.io.extras import needs_extra

with needs_extra("train", "ablate.py: training runs", SystemExit):
    from research.ablation import TABLES, Budget, run_ablation


def parse_arguments() -> tuple[Budget, argparse.Namespace]:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = HfArgumentParser(Budget, description=__doc__, formatter_class=formatter)
    add = parser.add_argument
    add("--data", required=True, help="photographs to train on")
    add("--validation", required=True, help="photographs to measure on")
    add("--output", required=True, type=Path, help="folder of all runs")
    add("--tables", nargs="+", choices=TABLES, default=["losses", "components"])
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--images", type=int, default=200, help="number of validation images, at random")
    add("--vgg", help="safetensors file for the perceptual loss (default: timm/vgg16.tv_in1k)")
    add("--fid", metavar="NETWORK[=FILE]", default="inception", help="inception or vgg16")
    add("--workers", type=int, default=1, help="loader processes")
    budget, args, unknown = parser.parse_args_into_dataclasses(return_remaining_strings=True)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return budget, args


def main() -> None:
    budget, args = parse_arguments()
    try:
        tables = run_ablation(budget=budget, **vars(args))
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"ablate.py: {error}")
    if tables:
        print(tables)


if __name__ == "__main__":
    with needs_extra("train", "ablate.py: training runs", SystemExit):
        main()
