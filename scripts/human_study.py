"""Ask people which of two results looks more authentic, as in Table 3 of the paper.

    python scripts/human_study.py run ours/ devc=results/devc/ coltran/ --answers answers.csv
    python scripts/human_study.py run ours/ coltran/ --truth photos/ --answers answers.csv
    python scripts/human_study.py results answers.csv --output results.json

`run` opens a local page. Every method is a folder of images with equal names (whatever the
format) and sizes, named after the folder or by NAME=FOLDER. The first is compared with each other
one; with --truth, each with the original images; with --every, all with all. Every rater gets all
pairs in a random order and on random sides, each visible for one second, and chooses by keyboard.
An answer is on disk before the next pair is shown: raters and the server can stop at any time, and
continue with the same names and files. Raters elsewhere in the network need --host 0.0.0.0; whoever
can open the page can answer under any name.

`results` prints how often each method was preferred, with Wilson's 95 % interval, and how each
rater answers.
"""

import argparse
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

import scsnet_hf
from research.human_study.answers import AnswerFile, read_answers
from research.human_study.images import copy_images, find_images
from research.human_study.results import preferences, rater_habits, study_tables
from research.human_study.study import Study, comparisons
from scsnet_hf.io.extras import needs_extra
from scsnet_hf.io.run_settings import write_json

TRUTH = "truth"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="ask people")
    run.set_defaults(run=run_study)
    add = run.add_argument
    add("methods", nargs="+", metavar="[NAME=]FOLDER", help="results of a method, ours first")
    add("--truth", metavar="FOLDER", help="compare each method with these originals")
    add("--every", action="store_true", help="compare all with all")
    add("--answers", type=Path, required=True, metavar="FILE", help="CSV file, new or to continue")
    add("--count", type=int, metavar="N", help="number of images, chosen at random")
    add("--seconds", type=seconds, default=1.0, metavar="S", help="for which a pair is visible")
    add("--seed", type=int, default=0, help="of the choice, the orders and the sides")
    add("--host", default="127.0.0.1", help="address to listen at")
    add("--port", type=int, help="default: the first free one from 7860")

    results = commands.add_parser("results", help="show what people prefer")
    results.set_defaults(run=show_results)
    results.add_argument("answers", type=Path, metavar="FILE", help="--answers of `run`")
    results.add_argument("--output", type=Path, metavar="FILE", help="JSON file for the numbers")
    return parser.parse_args()


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds up to 60")
    return value


def named_folder(text: str) -> tuple[str, Path]:
    """Parse "ours=results/new/" or "results/ours/" to the method's name and its folder."""
    name, equals, folder = text.partition("=")
    if equals and not Path(text).is_dir():
        return name, Path(folder)
    return Path(text).resolve().name, Path(text)


def run_study(args: argparse.Namespace) -> None:
    # gradio reads the address of its temporary folder when it is imported.
    from research.human_study.page import serve, served_folder

    methods = [named_folder(text) for text in args.methods]
    compared = comparisons([name for name, _ in methods], args.truth and TRUTH, args.every)
    folders = dict(methods) | ({TRUTH: Path(args.truth)} if args.truth else {})
    images = find_images(folders, args.count, args.seed)
    answers = AnswerFile(args.answers)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that the folder is removed
    with served_folder() as folder:
        progress = tqdm(images.items(), desc="reading", unit="image")
        copies = {name: copy_images(files, folder) for name, files in progress}
        study = Study(copies, compared, answers, args.seed)
        serve(study, folder, args.seconds, args.host, args.port)


def show_results(args: argparse.Namespace) -> None:
    answers = read_answers(args.answers)
    if not answers:
        raise ValueError(f"{args.answers}: has no answers yet")
    pairs, habits = preferences(answers), rater_habits(answers)
    print(study_tables(pairs, habits))
    if args.output:
        record = {
            "version": scsnet_hf.__version__,
            "pairs": [asdict(pair) for pair in pairs],
            "raters": [asdict(habit) for habit in habits],
        }
        write_json(args.output, record)


def main() -> None:
    args = parse_arguments()
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        sys.exit(f"human_study.py: {error}")


if __name__ == "__main__":
    with needs_extra("space", "human_study.py: pages and statistics", SystemExit):
        main()
