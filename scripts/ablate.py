"""Train and measure the rows of the paper's Table 4 (loss terms) and Table 5 (components).

    python scripts/ablate.py --data imagenet-c --validation imagenet-c-validation/ --output ablation
    python scripts/ablate.py --data train/ --validation validation/ --output ablation \
        --network small --source-size 48 --label-size 32 --steps 600 --batch-size 8 \
        --learning-rate 5e-4 --color-readout 10 --recolored 0.3 --vgg vgg16.safetensors \
        --fid vgg16=vgg16.safetensors

Every variant is trained once for each seed, with the same samples and settings, and measured in
referential mode, as the paper does it: PSNR and SSIM with the distorted image itself as
reference, FID, KID and colorfulness with that and with another image's. Variants without cross
attention take no reference, and have the numbers of their automatic mode. Mean and standard
deviation over the seeds are printed and kept in OUTPUT/tables.md; finished runs are not trained
again, and an interrupted one goes on.
"""

import argparse
import dataclasses
import json
import sys
from itertools import islice
from pathlib import Path

from PIL import Image, ImageOps
from tqdm import tqdm

from research.ablation import (
    TABLES,
    Budget,
    Variant,
    ablation_table,
    train_variant,
)
from research.evaluation import (
    Closeness,
    Colors,
    Distribution,
    Sample,
    evaluate,
    make_samples,
    modes_of,
)
from scsnet_hf import (
    ScsColorizeSrPipeline,
    SCSNetForImageToImage,
    SCSNetImageProcessor,
)
from scsnet_hf.configuration_scsnet import PRESETS as NETWORKS
from scsnet_hf.data import iterate_photographs
from scsnet_hf.io.run_settings import write_json
from scsnet_hf.metrics import FeatureNetwork
from scsnet_hf.training.vgg import VGG16Features

SCALE = 4
TITLES = {"losses": "Table 4: loss terms", "components": "Table 5: components"}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", required=True, help="photographs to train on")
    add("--validation", required=True, help="photographs to measure on")
    add("--output", required=True, type=Path, help="folder of all runs")
    add("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--images", type=int, default=200, help="of the validation, at random")
    add("--vgg", help="safetensors file for the perceptual loss (default: timm/vgg16.tv_in1k)")
    add("--fid", metavar="NETWORK[=FILE]", default="inception", help="inception or vgg16")
    add("--workers", type=int, default=1, help="loader processes")

    group = parser.add_argument_group("budget")
    add = group.add_argument
    add("--network", choices=NETWORKS, default=Budget.network)
    add("--source-size", type=int, default=Budget.source_size)
    add("--label-size", type=int, default=Budget.label_size)
    add("--steps", type=int, default=Budget.steps)
    add("--batch-size", type=int, default=Budget.batch_size)
    add("--learning-rate", type=float, default=Budget.learning_rate)
    add("--color-readout", type=float, default=Budget.color_readout)
    add("--recolored", type=float, default=Budget.recolored)
    return parser.parse_args()


def budget_of(args: argparse.Namespace) -> Budget:
    return Budget(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Budget)})


def validation_samples(args: argparse.Namespace) -> list[Sample]:
    side = SCALE * args.source_size
    images = islice(iterate_photographs(args.validation, shuffle_seed=0), args.images)
    squares = (ImageOps.fit(one, (side, side), Image.Resampling.BICUBIC) for one in images)
    return list(make_samples(squares, SCALE))


def measured(
    model: SCSNetForImageToImage, samples: list[Sample], features: FeatureNetwork
) -> dict[str, float]:
    """The columns of a row."""
    pipe = ScsColorizeSrPipeline(model=model, image_processor=SCSNetImageProcessor())
    measures = [Closeness(), Colors(), Distribution(features)]
    rows = evaluate(samples, modes_of(pipe), measures).rows
    own = rows.get("self-reference", rows["automatic"])
    other = rows.get("unrelated reference", own)
    return {
        f"FID ({features.name})": (own["fid"] + other["fid"]) / 2,
        "KID x 1000": (own["kid"] + other["kid"]) / 2,
        "colorfulness": (own["colorfulness"] + other["colorfulness"]) / 2,
        "RGB PSNR (dB)": own["psnr_rgb"],
        "L PSNR (dB)": own["psnr_l"],
        "SSIM": own["ssim"],
        "automatic RGB PSNR (dB)": rows["automatic"]["psnr_rgb"],
    }


def run(args: argparse.Namespace) -> None:
    budget, vgg = budget_of(args), VGG16Features.from_pretrained(args.vgg)
    features = FeatureNetwork.named(args.fid)
    samples = validation_samples(args)

    def row_of(variant: Variant, seed: int) -> dict[str, float]:
        folder = args.output / variant.key / f"seed-{seed}"
        result = folder / "row.json"
        if not result.exists():
            model = train_variant(variant, budget, args.data, folder, vgg, seed, args.workers)
            write_json(result, measured(model, samples, features))
        return json.loads(result.read_text())

    variants = {one.key: one for table in args.tables for one in TABLES[table].values()}
    rows: dict[str, list[dict[str, float]]] = {key: [] for key in variants}
    turns = [(key, seed) for seed in args.seeds for key in variants]
    for key, seed in tqdm(turns, unit="run"):
        rows[key].append(row_of(variants[key], seed))
    tables = (f"{TITLES[name]}\n\n{ablation_table(TABLES[name], rows)}" for name in args.tables)
    text = "\n\n".join(tables)
    (args.output / "tables.md").write_text(text + "\n")
    print(text)


def main() -> None:
    args = parse_arguments()
    try:
        run(args)
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"ablate.py: {error}")


if __name__ == "__main__":
    main()
