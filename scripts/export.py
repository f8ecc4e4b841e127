"""Export a model to ONNX graphs, in a folder that the pipeline runs without PyTorch's network.

    python scripts/export.py exported
    python scripts/export.py exported --model small --int8

Height, width and output size are free, with and without references. `pipeline("scs-colorize-sr",
model="exported")` runs it on ONNX Runtime. It needs `pip install '.[onnx]'`.
"""

import argparse
import sys
from pathlib import Path

from scsnet_hf.onnx_int8 import quantize_onnx

from publishing import describe
from scsnet_hf import SCSNetForImageToImage, SCSNetImageProcessor, export_onnx
from scsnet_hf.registration import find_checkpoint

EXAMPLES = Path(__file__).resolve().parent.parent / "space" / "examples"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="OUT", help="folder; an earlier export there is replaced")
    add("--model", default="medium", help="medium, small, a folder or a Hub id")
    add(
        "--int8",
        action="store_true",
        help="texture and pixels in int8, calibrated on the images of space/examples",
    )
    return parser.parse_args()


def export(args: argparse.Namespace) -> None:
    source = find_checkpoint(args.model)
    model = SCSNetForImageToImage.from_pretrained(source)
    processor = SCSNetImageProcessor.from_pretrained(source)
    for file in export_onnx(model, args.folder, processor):
        report(file)
    if args.int8:
        for file in quantize_onnx(args.folder, sorted(EXAMPLES.glob("*.jpg"))):
            report(file, " in int8")


def report(file: Path, kind: str = "") -> None:
    print(f"{file}{kind}: {file.stat().st_size:,} bytes", flush=True)


def main() -> None:
    args = parse_arguments()
    try:
        export(args)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"export.py: {describe(error)}")


if __name__ == "__main__":
    main()
