"""The parts of the network as programs of torch.export and as ONNX graphs, for any size.

The parts are those that a pipeline runs one after the other: `reference` (a reference picture to
tokens), `color` (a source to colour features, with tokens and a strength), `texture` (a source or a
tile of one to texture features) and `pixels` (both features to the wanted output pixels).
"""

import copy
import importlib.util
import json
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from .atomic_files import replacing
from .configuration_scsnet import SCSNetOnnxConfig
from .modeling_scsnet import SCSNetFeatures
from .pixel_mapping import PixelGrid

_NEEDED = ("onnx", "onnxscript")
# What parts are traced with; any sizes would do but for equal ones, and those of which 0 or 1 are
# left at the coarsest level of the network: torch.export may take them for constants.
_BATCH, _SOURCE, _WORKING, _REFERENCE, _OUTPUT = 2, (26, 22), (70, 53), (58, 67), (38, 31)
_FOLDED_ELEMENTS = 2**24  # of a tensor: more than any layer has


class NetworkPart(NamedTuple):
    """A part of the network, and all it takes to trace it."""

    module: nn.Module
    inputs: dict[str, torch.Tensor]  # examples
    dynamic: dict[str, dict[int, str]]  # names of the dimensions that vary
    outputs: list[str]

    def export(self) -> ExportedProgram:
        """Trace it, for any size of every dimension that varies."""
        varying = [dict.fromkeys(names or (), Dim.DYNAMIC) for names in self.shapes]
        with torch.no_grad():
            return torch.export.export(
                self.module, tuple(self.inputs.values()), dynamic_shapes=(tuple(varying),)
            )

    @property
    def shapes(self) -> tuple[dict[int, str] | None, ...]:
        """`dynamic` in the order of the inputs, None for those of one size."""
        return tuple(self.dynamic.get(name) for name in self.inputs)


class _Part(nn.Module):
    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model


class _Reference(_Part):
    def forward(self, *inputs):
        return self.model.reference_tokens(*inputs)


class _Color(_Part):
    """A strength of 0 is the automatic mode; there are no tokens where there is no attention."""

    def forward(self, *inputs):
        pixel_values, strength, *tokens = inputs if len(inputs) > 1 else (*inputs, None)
        fused = self.model.color_features(
            pixel_values,
            tokens or None,
            reference_strength=strength,
            output_attentions=bool(tokens),
        )
        return fused.features, *fused.attentions, *fused.valves


class _Texture(_Part):
    def forward(self, *inputs):
        return self.model.encode_texture(*inputs)


class _Pixels(_Part):
    """Rows and columns are consecutive numbers of output pixels; the other integers are pairs."""

    def forward(self, *inputs):
        *features, source, output, origin, rows, columns = inputs
        grid = PixelGrid(
            source=source.unbind(),
            output=output.unbind(),
            start=(rows[0], columns[0]),
            length=(rows.shape[0], columns.shape[0]),
            origin=origin.unbind(),
        )
        return self.model.decode(SCSNetFeatures(*features), grid.length, grid)


def network_parts(model: nn.Module) -> dict[str, NetworkPart]:
    """The parts of an `SCSNetForImageToImage` in evaluation mode; it is not copied.

    Their inputs and outputs, beside those of the model's methods that are called alike: sources and
    references have their working size (`model.working_size`); `source` and `output` are the sizes
    (2,) of the whole source and output; `origin` (2,) is the source position of the features' first
    pixel; `rows` (ho,) and `columns` (wo,) are the consecutive output pixels that are wanted.
    """
    parts, tokens = {}, {}
    if model.config.cross_attention != "none":
        parts["reference"], tokens = _reference_part(model)
    return parts | {
        "color": _color_part(model, tokens),
        "texture": _texture_part(model),
        "pixels": _pixels_part(model),
    }


def _reference_part(model: nn.Module) -> tuple[NetworkPart, dict[str, torch.Tensor]]:
    """The part, and the tokens that it makes of its example."""
    inputs = {"reference_pixel_values": _example(3, *_REFERENCE)}
    with torch.no_grad():
        tokens = _numbered("tokens", model.reference_tokens(*inputs.values()))
    return NetworkPart(_Reference(model), inputs, _pictures(inputs), list(tokens)), tokens


def _color_part(model: nn.Module, tokens: dict[str, torch.Tensor]) -> NetworkPart:
    inputs = {"pixel_values": _example(1, *_WORKING)}
    dynamic = _pictures(inputs)
    outputs = ["color_features"]
    if tokens:
        inputs |= {"reference_strength": torch.rand(_BATCH), **tokens}
        dynamic["reference_strength"] = {0: "batch"}
        dynamic |= {name: {0: "batch", 1: f"count_of_{name}"} for name in tokens}
        with torch.no_grad():
            maps = model.color_features(
                inputs["pixel_values"], tuple(tokens.values()), output_attentions=True
            )
        outputs += _numbered("attentions", maps.attentions)
        outputs += _numbered("valves", maps.valves)
    return NetworkPart(_Color(model), inputs, dynamic, outputs)


def _texture_part(model: nn.Module) -> NetworkPart:
    inputs = {"pixel_values": _example(1, *_SOURCE)}
    return NetworkPart(_Texture(model), inputs, _pictures(inputs), ["texture_features"])


def _pixels_part(model: nn.Module) -> NetworkPart:
    width = model.config.hidden_sizes[0]
    features = {
        "pixel_values": _example(1, *_SOURCE),
        "texture_features": _example(width, *_SOURCE),
        "color_features": _example(width, *_SOURCE),
    }
    integers = {
        "source": torch.tensor(_SOURCE),
        "output": torch.tensor(_OUTPUT),
        "origin": torch.zeros(2, dtype=torch.int64),
        "rows": torch.arange(_OUTPUT[0]),
        "columns": torch.arange(_OUTPUT[1]),
    }
    wanted = {name: {0: f"count_of_{name}"} for name in ("rows", "columns")}
    dynamic = _pictures(features) | wanted
    return NetworkPart(_Pixels(model), features | integers, dynamic, ["reconstruction"])


def _numbered(name: str, values: Iterable[torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{name}_{index}": value for index, value in enumerate(values)}


def _example(*shape: int) -> torch.Tensor:
    return torch.rand(_BATCH, *shape)


def _pictures(inputs: dict[str, torch.Tensor]) -> dict[str, dict[int, str]]:
    return {name: {0: "batch", 2: "height", 3: "width"} for name in inputs}


def export_onnx(model: nn.Module, folder: Path, image_processor=None) -> Iterator[Path]:
    """Write the parts of a model as ONNX graphs, float32, and the configuration that loads them.

    Work is done while the result is iterated over. The configuration comes last, so that a folder
    that has one is complete.

    Args:
        model: an `SCSNetForImageToImage`; it is left as it is.
        folder: made where it is not there; files of an earlier export are replaced.
        image_processor: an `SCSNetImageProcessor`, to write its file too; `pipeline` needs it.

    Yields:
        Every file once it is written.

    Raises:
        ImportError: if the packages are missing that write ONNX graphs.
        ValueError: if the folder holds another model.
    """
    configuration = folder / "config.json"
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"writing ONNX graphs needs {' and '.join(missing)}: pip install 'scsnet_hf[onnx]'"
        )
    if configuration.exists():
        kind = json.loads(configuration.read_text()).get("model_type")
        if kind != SCSNetOnnxConfig.model_type:
            raise ValueError(f"{folder} holds a model of type {kind}: name another folder")
        configuration.unlink()
    model = copy.deepcopy(model).float().cpu().eval()
    for name, part in network_parts(model).items():
        with quietly():
            graph = _graph(part)
        file = folder / f"{name}.onnx"
        with replacing(file) as temporary:
            graph.save(temporary)
        yield file
    if image_processor is not None:
        file = folder / "preprocessor_config.json"
        with replacing(file) as temporary:
            image_processor.to_json_file(temporary)
        yield file
    with replacing(configuration) as temporary:
        SCSNetOnnxConfig.of(model.config).to_json_file(temporary)
    yield configuration


def _graph(part: NetworkPart) -> torch.onnx.ONNXProgram:
    from onnxscript import optimizer

    graph = torch.onnx.export(
        part.export(),
        dynamo=True,
        verbose=False,
        dynamic_shapes=(part.shapes,),
        input_names=list(part.inputs),
        output_names=part.outputs,
    )
    # What depends on weights alone is computed now: int8 needs kernels that the file holds.
    optimizer.optimize(graph.model, input_size_limit=_FOLDED_ELEMENTS)
    for node in graph.model.graph.all_nodes():
        node.metadata_props.clear()  # lines of source code, with their paths on this machine
    return graph


@contextmanager
def quietly() -> Iterator[None]:
    """Without what the exporter has to say about itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
