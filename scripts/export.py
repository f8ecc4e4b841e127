"""Export a model as ONNX graphs, for programs outside Python.

    python scripts/export.py exported
    python scripts/export.py exported --model small

Height, width and output size are free. Every graph is run by ONNX Runtime at two sizes and must
agree with PyTorch. `graphs.json` beside the graphs describes their inputs and outputs. It needs
`pip install '.[export]'`.
"""

import argparse
import json
import logging
import sys
import warnings
from pathlib import Path

import torch

from onnx_graphs import Graph, build_graphs, largest_difference, write_graph
from publishing import describe
from scsnet_hf import SCSNetForImageToImage
from scsnet_hf.io.extras import needs_extra
from scsnet_hf.registration import find_checkpoint

TOLERANCE = 1e-3  # network units: an eighth of a gray level
CHECKS = (1, 0.5), (3, 1.0)  # batch and part of the largest sides

_MEANINGS = {
    "pixel_values": "lightness of the gray source: CIE L (D65) / 50 - 1, from -1 to 1",
    "reference_pixel_values": "reference in CIE Lab (D65): L / 50 - 1, a / 110, b / 110",
    "reference_strength": "from 0 (automatic) to 1",
    "color_features": "result of color.onnx or color_from_reference.onnx for the whole source",
    "source_size": "height and width of the whole source",
    "output_size": "height and width of the whole output",
    "origin": "row and column of the source at which pixel_values starts; 0, 0 where it is whole",
    "rows": "consecutive rows of the output to compute, from 0",
    "columns": "consecutive columns of the output to compute, from 0",
    "reconstruction": "output in CIE Lab (D65): L / 50 - 1, a / 110, b / 110",
}
_STEPS = (
    "Reduce source and reference by area until their long sides are at most working_size, and "
    "compute color_features with color.onnx or color_from_reference.onnx. Then run pixels.onnx on "
    "the source itself, whole or tile by tile; a tile needs halo more source pixels on each side "
    "than its output pixels cover."
)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="OUT", help="folder; an earlier export there is replaced")
    add("--model", default="medium", help="medium, small, a folder or a Hub id")
    return parser.parse_args()


def export(model: SCSNetForImageToImage, folder: Path) -> None:
    """Write the graphs of a model and their description, which comes last.

    Raises:
        ArithmeticError: if a graph does not compute what the model does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    description = folder / "graphs.json"
    description.unlink(missing_ok=True)  # a folder that has one is complete
    graphs = build_graphs(model.float().cpu().eval())
    for name, graph in graphs.items():
        file = folder / f"{name}.onnx"
        write_graph(graph, file)
        difference = max(largest_difference(graph, file, *check) for check in CHECKS)
        print(f"{file}: {file.stat().st_size:,} bytes, largest difference {difference:.1e}")
        if not difference <= TOLERANCE:
            raise ArithmeticError(f"{file} differs from PyTorch by more than {TOLERANCE:g}")
    description.write_text(json.dumps(describe_graphs(graphs, model), indent=2))
    print(description)


def describe_graphs(graphs: dict[str, Graph], model: SCSNetForImageToImage) -> dict:
    """Return what a program needs to know to run the graphs."""
    return {
        "steps": _STEPS,
        "working_size": model.config.color_size,
        "halo": model.halo,
        "graphs": {f"{name}.onnx": describe_graph(graph) for name, graph in graphs.items()},
    }


@torch.no_grad()
def describe_graph(graph: Graph) -> dict:
    """Return shape, type and meaning of every input and output."""
    inputs = graph.examples(1, 1.0)
    output = describe_tensor(graph.output, graph(**inputs), graph.output_axes)
    return {
        "inputs": {
            name: describe_tensor(name, value, graph.axes[name]) for name, value in inputs.items()
        },
        "outputs": {graph.output: output},
    }


def describe_tensor(name: str, example: torch.Tensor, axes: dict[int, str]) -> dict:
    shape = [axes.get(axis, size) for axis, size in enumerate(example.shape)]
    kind = str(example.dtype).removeprefix("torch.")
    return {"shape": shape, "dtype": kind, "meaning": _MEANINGS[name]}


def main() -> None:
    args = parse_arguments()
    logging.disable(logging.WARNING)  # what the exporter says about itself
    warnings.simplefilter("ignore")
    try:
        model = SCSNetForImageToImage.from_pretrained(find_checkpoint(args.model))
        with needs_extra("export", "export.py: exports", SystemExit):
            export(model, args.folder)
    except (ArithmeticError, OSError, ValueError) as error:
        sys.exit(f"export.py: {describe(error)}")


if __name__ == "__main__":
    main()
