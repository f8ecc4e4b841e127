"""Colorize and enlarge whole data sets on Ray Data, on this machine or on a cluster.

    python scripts/colorize_dataset.py album/ -o colorized --output-format folder --workers 2
    python scripts/colorize_dataset.py 'shards/*.tar' -o colorized --scale 2
    python scripts/colorize_dataset.py owner/name --split test -o /shared/colorized --address auto

If it is killed, the same command resumes. Results are in OUT/images, rows that failed in
OUT/errors.parquet. Exit code: 0 all done, 1 some rows failed, 2 wrong arguments or nothing done. On
a cluster, install the package on every machine, and keep input, output and a model in a folder on a
disk that all of them share. It needs `pip install 'scsnet_hf[ray]'`.
"""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from scsnet_hf.bulk import OUTPUTS, ColorizerSettings, Job, Progress, RayPool, Source, run_job
from scsnet_hf.cli import ALL_DONE, INTERRUPTED, NOTHING_DONE, SOME_FAILED
from scsnet_hf.cli_options import add_pipeline_options, call_arguments


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a folder of parquet files, tar shards (webdataset) or images; such files or "
        "patterns; or the id of a data set on the Hub",
    )
    add("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the results")
    add("--output-format", choices=OUTPUTS, default="parquet", help="default parquet")
    add("--image-column", metavar="NAME", help="column of the images; in a tar the suffix")
    add("--config", metavar="NAME", help="configuration of a data set on the Hub")
    add("--split", metavar="NAME", help="split of a data set on the Hub, default train")
    add("--reference", type=Path, metavar="IMG", help="image whose colors to use")
    add_pipeline_options(parser)
    add(
        "--workers",
        type=int,
        metavar="N",
        help="for each GPU (default 1); without GPUs on each machine (default: as many as its "
        "processors allow)",
    )
    add("--threads", type=int, default=1, metavar="N", help="of each worker (default 1)")
    add("--rows-per-part", type=int, default=64, metavar="N", help="written in one go (default 64)")
    add("--address", metavar="A", help="address of a Ray cluster, or auto (default: this machine)")
    return parser.parse_args()


def build_job(args: argparse.Namespace) -> Job:
    model = Path(args.model)
    return Job(
        Source(tuple(args.inputs), args.image_column, args.config, args.split),
        ColorizerSettings(
            str(model.absolute()) if model.is_dir() else args.model,
            call_arguments(args),
            args.reference and args.reference.read_bytes(),
            args.dtype,
        ),
        OUTPUTS[args.output_format](args.output.absolute()),
        args.rows_per_part,
    )


def colorize(args: argparse.Namespace) -> Progress:
    pool = RayPool(args.workers, args.threads, args.device, args.address)
    with tqdm(unit="row", disable=None) as bar:

        def show(progress: Progress) -> None:
            bar.n = progress.done + progress.failed
            if bar.total is None:  # earlier runs do not count for the speed
                bar.total, bar.initial = progress.rows, bar.n
            bar.set_postfix(failed=progress.failed)

        return run_job(build_job(args), pool, show)


def main() -> int:
    args = parse_arguments()
    try:
        result = colorize(args)
    except KeyboardInterrupt:
        sys.stderr.write("colorize_dataset.py: stopped; the same command resumes\n")
        return INTERRUPTED
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        sys.stderr.write(f"colorize_dataset.py: error: {error}\n")
        return NOTHING_DONE
    where = f" ({args.output / 'errors.parquet'})" if result.failed else ""
    sys.stderr.write(f"colorize_dataset.py: {result.done} done, {result.failed} failed{where}\n")
    if not result.failed:
        return ALL_DONE
    return SOME_FAILED if result.done else NOTHING_DONE


if __name__ == "__main__":
    sys.exit(main())
