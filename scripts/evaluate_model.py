"""Evaluate a model on color photographs: gray and small in, compared with the original.

    python scripts/evaluate_model.py --data 'validation-*.parquet' --vgg FILE --stability
    python scripts/evaluate_model.py --data imagenet-c --protocol paper --output runs/imagenet-c
    python scripts/evaluate_model.py --tables runs/imagenet-c runs/coco
    python scripts/evaluate_model.py --compare results/ originals/ --fid inception
    python scripts/evaluate_model.py --flicker 'validation-*.parquet' --noise 3 --shift 0,0

    python scripts/evaluate_model.py --data photos/ --cascade "gray, Swin2SR" gray \
        transformers:caidas/swin2SR-classical-sr-x4-64

Prints tables. With --output, a folder, they are kept there as tables.md, all numbers and their
definitions as results.json, and the time per image as seconds.json; the same command resumes an
interrupted run. --protocol paper is that of Sec. 4.2: 5,000 random images, cropped to 512x512, half
of them automatic, a tenth with themselves as reference, the others with another image, each with
and without what the pipeline does after the network. FID is that to the same truths for all rows.

--cascade compares with a colorizer and an upscaler of other projects, one after the other, named as
scripts/research/evaluation/external_models.py describes. For programs that run on their own,
--inputs-only writes their inputs, and --images reads their results: see
scripts/comparison_methods.md.

--flicker measures how much colors flicker in videos, for each way to keep them steady. Clips are
made by moving a window over photographs; --noise adds fresh noise to every frame, as video has it.
It needs `pip install '.[eval]'`, as everything here.
"""

import argparse
import sys
from pathlib import Path

from transformers import HfArgumentParser

from scsnet_hf.data import SOURCES
from scsnet_hf.io.extras import needs_extra
from scsnet_hf.registration import load_pipeline

with needs_extra("eval", "evaluate_model.py: evaluations", SystemExit):
    from research.evaluation.flicker import measure_flicker
    from research.evaluation.methods import MODES, REFERENTIAL
    from research.evaluation.model_evaluation import (
        EvaluationSettings,
        combine_runs,
        compare_folders,
        evaluate_model,
        write_external_inputs,
    )


def parse_arguments() -> tuple[EvaluationSettings, argparse.Namespace]:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = HfArgumentParser(EvaluationSettings, description=__doc__, formatter_class=formatter)
    add = parser.add_mutually_exclusive_group(required=True).add_argument
    data = f"folder, parquet or tar files, a pattern, a Hub id, or one of {', '.join(SOURCES)}"
    add("--data", help=data)
    add("--compare", nargs=2, type=Path, metavar=("RESULTS", "TRUTHS"), help="two folders")
    add("--tables", nargs="+", type=Path, metavar="RUN", help="Tables 1 and 2 of earlier runs")
    add("--flicker", metavar="DATA", help="photographs for videos")

    add = parser.add_argument_group("other methods").add_argument
    names = ("NAME", "COLORIZER", "UPSCALER")
    add("--cascade", nargs=3, action="append", default=[], metavar=names, help="may be repeated")
    help_ = f"results of another program; MODE is one of {', '.join((*MODES, REFERENTIAL))}"
    names = ("NAME", "MODE", "FOLDER")
    add("--images", nargs=3, action="append", default=[], metavar=names, help=help_)

    add = parser.add_argument_group("videos of --flicker").add_argument
    add("--clips", type=int, default=12, help="at most, one of each photograph")
    add("--frames", type=int, default=12, help="of a clip")
    add("--side", type=int, default=192, help="of the window in pixels")
    add("--shift", type=shift, default=(6, 2), metavar="X,Y", help="pixels from frame to frame")
    add("--noise", type=float, default=0.0, help="standard deviation in levels of 255")

    add = parser.add_argument_group("output").add_argument
    add("--device", help="cpu, cuda, ... (default: the best)")
    add("--output", type=Path, help="folder of the run, which can then be interrupted")
    add("--keep-images", action="store_true", help="also keep all images in OUTPUT")
    add("--inputs-only", action="store_true", help="only write the inputs of other programs")
    settings, args, unknown = parser.parse_args_into_dataclasses(return_remaining_strings=True)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if (args.keep_images or args.inputs_only) and not args.output:
        parser.error("--keep-images and --inputs-only need --output")
    if args.frames < 2 or args.clips < 1:
        parser.error("--frames must be at least 2, and --clips 1")
    return settings.with_protocol_defaults(), args


def shift(text: str) -> tuple[int, int]:
    """Parse "6,2" to (6, 2)."""
    x, _, y = text.partition(",")
    if not (x.isdigit() and y.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y, for example 6,2")
    return int(x), int(y)


def run(settings: EvaluationSettings, args: argparse.Namespace) -> str | None:
    if args.tables:
        return combine_runs(args.tables)
    if args.compare:
        return compare_folders(*args.compare, settings, args.device, args.output)
    if args.flicker:
        pipe = load_pipeline(settings.model, args.device, settings.dtype)
        clip = (args.clips, args.side, args.shift, args.frames, args.noise)
        return measure_flicker(args.flicker, pipe, *clip)
    if args.inputs_only:
        return write_external_inputs(args.data, settings, args.output)
    run_options = (args.device, args.output, args.keep_images)
    return evaluate_model(args.data, settings, args.cascade, args.images, *run_options)


def main() -> None:
    settings, args = parse_arguments()
    try:
        tables = run(settings, args)
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate_model.py: {error}")
    if tables:
        print(tables)


if __name__ == "__main__":
    with needs_extra("eval", "evaluate_model.py: evaluations", SystemExit):
        main()
