"""Make a local copy of photographs to train on: selected, reduced, as parquet files.

    python scripts/prepare_data.py imagenet-c data/imagenet-c --short-side 512
    python scripts/prepare_data.py imagenet-c data/validation --split validation --keep 16216
    python scripts/prepare_data.py ~/images data/images --min-colorfulness 15

After an interruption, the same command resumes. Unreadable images are listed at the end and in
OUTPUT/skipped.txt. The hash that is printed is that of OUTPUT/files.txt, which lists the images:
copies of the same images have the same.
"""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from scsnet_hf.data import SOURCES
from scsnet_hf.data.preparation import Preparation, Progress, prepare
from scsnet_hf.io.extras import needs_extra


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    names = ", ".join(SOURCES)
    add("source", metavar="SOURCE", help=f"folder, .parquet or .tar files, Hub id, or {names}")
    add("output", metavar="OUTPUT", type=Path, help="folder for the copy")
    add("--split", help="of the data set, for instance validation, or train+test")
    add("--min-bytes", type=int, help="smallest file to take, before reduction")
    add("--min-colorfulness", type=float, help="smallest colorfulness; 15 is slightly colorful")
    add("--keep", type=int, help="take so many, the most colorful; all are read twice")
    add("--short-side", type=int, help="reduce larger images to this short side, in pixels")
    add("--shard-size", type=int, default=1000, help="images per parquet file")
    add("--limit", type=int, help="number of images to take")
    add("--image-column", help="column of the images")
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
    print(f"files.txt has SHA-256 {progress.files_sha256}")
    if progress.unreadable:
        print(f"{len(progress.unreadable)} could not be read:", *progress.unreadable, sep="\n  ")


if __name__ == "__main__":
    with needs_extra("train", "prepare_data.py: data sets", SystemExit):
        main()
