"""Publish a model or the Space on the Hugging Face Hub.

    python scripts/push_to_hub.py model USER/NAME --dry-run
    python scripts/push_to_hub.py model USER/NAME
    python scripts/push_to_hub.py model USER/NAME --checkpoint run --card run_card.md --private
    python scripts/push_to_hub.py space USER/NAME

Log in first, by `hf auth login` or the variable HF_TOKEN; a dry run needs no account and sends
nothing. Run again, the command sends only what changed or what an interrupted push left.
`--stage FOLDER` keeps what is sent; `gradio deploy` in a Space's folder does the same.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import constants, get_token
from huggingface_hub.utils import HFValidationError, validate_repo_id

import publishing

ROOT = Path(__file__).resolve().parent.parent
DESCRIBED = "medium"  # the checkpoint whose results are in model_card.md


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="kind", required=True)
    model = commands.add_parser("model", help="a checkpoint with its code and card")
    space = commands.add_parser("space", help="the browser demo with the package")
    for command in (model, space):
        add = command.add_argument
        add("repository", type=repository, metavar="USER/NAME")
        add("--private", action="store_true", help="create a private repository")
        add("--dry-run", action="store_true", help="list what would be sent")
        add("--stage", type=Path, metavar="FOLDER", help="where to put the files together")
    add = model.add_argument
    add("--checkpoint", default=DESCRIBED, help="medium, small, a folder or a Hub id")
    add("--card", type=Path, help="model card (default: model_card.md, for medium only)")
    args, unknown = parser.parse_known_args()
    if unknown:  # their values are not shown: one may be a token
        names = " ".join(word.partition("=")[0] for word in unknown if word.startswith("-"))
        parser.error(f"unknown arguments {names}".rstrip())
    if args.kind == "model" and args.card is None:
        if args.checkpoint != DESCRIBED:
            parser.error(f"model_card.md has the results of {DESCRIBED}: give --card FILE")
        args.card = ROOT / "model_card.md"
    return args


def repository(name: str) -> str:
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if "/" not in name:
        raise argparse.ArgumentTypeError(f"{name!r} is not of the form USER/NAME")
    return name


def publish(args: argparse.Namespace, folder: Path) -> None:
    if args.kind == "model":
        publishing.stage_model(args.checkpoint, args.card, ROOT / "LICENSE", folder)
    else:
        publishing.stage_space(ROOT / "space", ROOT / "LICENSE", folder)
    sizes = publishing.list_files(folder)
    total = f"{len(sizes)} files, {sum(sizes.values()):,} bytes"
    if args.dry_run:
        for path, size in sizes.items():
            print(f"{size:>12,}  {path}")
        print(f"{total}, would go to the {args.kind} {args.repository}; nothing was sent")
        return
    print(f"{total} for the {args.kind} {args.repository}")
    revision = publishing.send(folder, args.repository, args.kind, private=args.private)
    prefix = "spaces/" if args.kind == "space" else ""
    print(f"{constants.ENDPOINT}/{prefix}{args.repository} is at revision {revision}")


def main() -> None:
    args = parse_arguments()
    try:
        if not args.dry_run and get_token() is None:
            raise ValueError("not logged in: run `hf auth login`, or set HF_TOKEN")
        with TemporaryDirectory() as temporary:
            publish(args, args.stage or Path(temporary))
    except Exception as error:  # one line, since a traceback could show the token
        sys.exit(f"push_to_hub.py: {publishing.describe(error)}")


if __name__ == "__main__":
    main()
