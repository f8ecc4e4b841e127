"""Measure how much colors flicker in videos, in each way to keep them steady.

    python scripts/video_flicker.py space/examples --side 128
    python scripts/video_flicker.py 'validation-*.parquet' --noise 3
    python scripts/video_flicker.py 'validation-*.parquet' --noise 3 --shift 0,0

Clips are made by moving a window over photographs; --noise adds fresh noise to every frame, as
video has it. Prints the table of README; scsnet_hf/evaluation/flicker.py has the definitions. It
needs `pip install '.[eval]'`.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import islice

from tqdm import tqdm

from publishing import describe
from research.evaluation.flicker import (
    DEFINITIONS,
    Clip,
    flicker_of_ways,
    flicker_table,
    panning_clip,
)
from scsnet_hf.data import iterate_photographs
from scsnet_hf.registration import load_pipeline


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data", metavar="DATA", help="folder, parquet or tar files, a pattern, or a Hub id")
    add("--clips", type=int, default=12, help="at most, one of each photograph")
    add("--frames", type=int, default=12, help="of a clip")
    add("--side", type=int, default=192, help="of the window in pixels")
    add("--shift", type=shift, default=(6, 2), metavar="X,Y", help="pixels from frame to frame")
    add("--noise", type=float, default=0.0, help="standard deviation in levels of 255")
    add("--model", default="medium", help="medium, small, a folder or a Hub id")
    add("--device", help="cpu, cuda, mps, ... (default: the best)")
    args = parser.parse_args()
    if args.frames < 2 or args.clips < 1:
        parser.error("--frames must be at least 2, and --clips 1")
    return args


def shift(text: str) -> tuple[int, int]:
    """ "6,2" to (6, 2)."""
    x, _, y = text.partition(",")
    if not (x.isdigit() and y.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y, for example 6,2")
    return int(x), int(y)


def make_clips(args: argparse.Namespace) -> Iterator[Clip]:
    """Clips of the photographs that are large enough."""
    for seed, photograph in enumerate(iterate_photographs(args.data)):
        try:
            yield panning_clip(photograph, args.side, args.shift, args.frames, args.noise, seed)
        except ValueError as error:
            tqdm.write(f"video_flicker.py: left out: {error}", file=sys.stderr)


def main() -> None:
    args = parse_arguments()
    try:
        pipe = load_pipeline(args.model, args.device)
        with tqdm(total=args.clips, unit="clip", disable=None) as bar:
            told = flicker_of_ways(islice(make_clips(args), args.clips), pipe, bar.update)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"video_flicker.py: {describe(error)}")
    print(flicker_table(told), end="\n\n")
    print("\n".join(f"{name}: {meaning}" for name, meaning in DEFINITIONS.items()))


if __name__ == "__main__":
    main()
