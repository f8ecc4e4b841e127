"""Make a local copy of the photographs to train on: selected, reduced, as parquet files.

    python scripts/prepare_data.py imagenet-c data/imagenet-c --short-side 512
    python scripts/prepare_data.py ~/images data/images --min-colorfulness 15

Cut off, the same command goes on where it was. Unreadable images are listed at the end and in
OUTPUT/left_out.txt.
"""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from scsnet_hf.data.preparation import Preparation, Progress, prepare
from scsnet_hf.data.sources import SOURCES


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help=f"{', '.join(SOURCES)}, a folder, a pattern of .parquet or .tar files, or a Hub id",
    )
    parser.add_argument("output", metavar="OUTPUT", type=Path, help="folder for the copy")
    parser.add_argument("--min-bytes", type=int, help="smallest file, before reduction")
    parser.add_argument("--min-colorfulness", type=float, help="15 is slightly colorful")
    parser.add_argument("--short-side", type=int, help="reduce larger images to it, in pixels")
    parser.add_argument("--shard-size", type=int, default=1000, help="images a parquet file")
    parser.add_argument("--limit", type=int, help="only so many images")
    parser.add_argument("--image-column", help="column of the images")
    return parser.parse_args()


def main() -> None:
    arguments = vars(parse_arguments())
    output = arguments.pop("output")
    with tqdm(unit=" seen") as bar:

        def show(progress: Progress) -> None:
            bar.set_postfix(kept=progress.kept, refresh=False)
            bar.update(progress.seen - bar.n)

        try:
            progress = prepare(Preparation(**arguments), output, show)
        except (ValueError, OSError) as error:
            sys.exit(f"error: {error}")
    print(f"{progress.kept} of {progress.seen} images kept, in {progress.shards} files")
    if progress.unreadable:
        print(f"{len(progress.unreadable)} could not be read:", *progress.unreadable, sep="\n  ")


if __name__ == "__main__":
    main()
