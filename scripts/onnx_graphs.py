"""The network as ONNX graphs whose image sizes are free, each with a check against PyTorch.

A program outside Python computes the colors of a whole source first, with `color` or
`color_from_reference`, at most at the working size; then `pixels` computes the output, whole or
tile by tile.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.export import Dim

from scsnet_hf import SCSNetForImageToImage
from scsnet_hf.pixel_mapping import PixelGrid, resize

_BATCH = {0: "batch"}
_SOURCE = {**_BATCH, 2: "height", 3: "width"}
_REFERENCE = {**_BATCH, 2: "reference_height", 3: "reference_width"}
_COLOR = {**_BATCH, 2: "color_height", 3: "color_width"}


class Graph(nn.Module):
    """A part of the network with tensors for inputs and one tensor for output.

    Attributes:
        axes: per input the names of its free dimensions.
        output: name of the output.
        output_axes: names of the output's free dimensions.
        largest_side: of the inputs' free heights and widths, in pixels; None for any.
    """

    axes: dict[str, dict[int, str]]
    output: str
    output_axes: dict[int, str]
    largest_side: int | None = None

    def __init__(self, model: SCSNetForImageToImage):
        super().__init__()
        self.model = model

    def examples(self, batch: int, part: float) -> dict[str, torch.Tensor]:
        """Random inputs, whose sides grow with `part` (0 to 1) and differ from each other."""
        raise NotImplementedError


class Color(Graph):
    """Source at the working size -> color features, automatic mode."""

    axes = {"pixel_values": _SOURCE}
    output = "color_features"
    output_axes = _SOURCE

    def __init__(self, model: SCSNetForImageToImage):
        super().__init__(model)
        self.largest_side = model.config.color_size

    def examples(self, batch: int, part: float) -> dict[str, torch.Tensor]:
        side = int(part * self.largest_side)
        return {"pixel_values": _uniform(batch, 1, side, 3 * side // 4)}

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.model.encode_color(pixel_values).features


class ColorFromReference(Color):
    """Source and reference at the working size -> color features; strength 0 is automatic."""

    axes = {
        "pixel_values": _SOURCE,
        "reference_pixel_values": _REFERENCE,
        "reference_strength": _BATCH,
    }

    def examples(self, batch: int, part: float) -> dict[str, torch.Tensor]:
        side = int(part * self.largest_side)
        return {
            **super().examples(batch, part),
            "reference_pixel_values": _uniform(batch, 3, 2 * side // 3, side - 1),
            "reference_strength": torch.rand(batch),
        }

    def forward(
        self,
        pixel_values: torch.Tensor,
        reference_pixel_values: torch.Tensor,
        reference_strength: torch.Tensor,
    ) -> torch.Tensor:
        tokens = self.model.encode_reference(reference_pixel_values)
        color = self.model.encode_color(pixel_values, tokens, reference_strength=reference_strength)
        return color.features


class Pixels(Graph):
    """Source, or a tile of it, and color features of the whole -> the output pixels asked for."""

    axes = {
        "pixel_values": _SOURCE,
        "color_features": _COLOR,
        "source_size": {},
        "output_size": {},
        "origin": {},
        "rows": {0: "output_height"},
        "columns": {0: "output_width"},
    }
    output = "reconstruction"
    output_axes = {**_BATCH, 2: "output_height", 3: "output_width"}

    def examples(self, batch: int, part: float) -> dict[str, torch.Tensor]:
        height, width = int(60 * part), int(44 * part)
        return {
            "pixel_values": _uniform(batch, 1, height, width),
            "color_features": _uniform(
                batch, self.model.config.hidden_sizes[0], height - 7, width - 5
            ),
            "source_size": torch.tensor((2 * height, width + 9)),
            "output_size": torch.tensor((5 * height + 1, 2 * width)),
            "origin": torch.tensor((height // 2, 3)),
            "rows": torch.arange(2 * height, 3 * height),
            "columns": torch.arange(8, 3 * width // 2),
        }

    def forward(
        self,
        pixel_values: torch.Tensor,
        color_features: torch.Tensor,
        source_size: torch.Tensor,
        output_size: torch.Tensor,
        origin: torch.Tensor,
        rows: torch.Tensor,
        columns: torch.Tensor,
    ) -> torch.Tensor:
        source, output, start = source_size.unbind(), output_size.unbind(), origin.unbind()
        color_grid = PixelGrid(color_features.shape[-2:], source, start, pixel_values.shape[-2:])
        features = self.model.features(pixel_values, resize(color_features, color_grid))
        length = (rows.shape[0], columns.shape[0])
        grid = PixelGrid(source, output, (rows[0], columns[0]), length, start)
        return self.model.decode(features, length, grid)


def build_graphs(model: SCSNetForImageToImage) -> dict[str, Graph]:
    """Return the parts of a model by name; it is taken as it is, in evaluation mode and float32."""
    kinds = {"color": Color, "color_from_reference": ColorFromReference, "pixels": Pixels}
    if model.config.cross_attention == "none":
        del kinds["color_from_reference"]
    return {name: kind(model).eval() for name, kind in kinds.items()}


@torch.no_grad()
def trace(graph: Graph) -> torch.export.ExportedProgram:
    """Record a graph for every size of its free dimensions."""
    # Batch 2 and sides below the largest, since torch.export takes equal sizes for one dimension
    # and 1 or the largest side for a constant.
    inputs = graph.examples(batch=2, part=0.95)

    def free(axis: int) -> Dim:
        return Dim.DYNAMIC(max=graph.largest_side) if axis > 1 else Dim.DYNAMIC

    shapes = tuple({axis: free(axis) for axis in axes} for axes in graph.axes.values())
    return torch.export.export(graph, tuple(inputs.values()), dynamic_shapes=shapes)


def write_graph(graph: Graph, file: Path) -> None:
    """Write a graph as ONNX, in float32."""
    onnx = torch.onnx.export(
        trace(graph),
        dynamo=True,
        verbose=False,
        dynamic_shapes=tuple(graph.axes.values()),
        input_names=list(graph.axes),
        output_names=[graph.output],
    )
    for node in onnx.model.graph.all_nodes():
        node.metadata_props.clear()  # lines of source code with their paths on this machine
    onnx.save(file)


@torch.no_grad()
def largest_difference(graph: Graph, file: Path, batch: int, part: float) -> float:
    """Return how far ONNX Runtime is from PyTorch on random inputs, at most, in network units."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    inputs = graph.examples(batch, part)
    (result,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    expected = graph(**inputs).numpy()
    if result.shape != expected.shape:
        raise ValueError(f"{file} gives shape {result.shape}, not {expected.shape}")
    return float(np.abs(result - expected).max())


def _uniform(*shape: int) -> torch.Tensor:
    return 2 * torch.rand(shape) - 1
