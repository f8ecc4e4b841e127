"""`backend="onnx"`: the pipeline on ONNX Runtime, beside the same on PyTorch."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import build_tiny_model, make_picture
from transformers import pipeline

from scsnet_hf import (
    ScsColorizeSrPipeline,
    SCSNetImageProcessor,
    SCSNetOnnxModel,
    export_onnx,
)
from scsnet_hf.modeling_scsnet import SCSNetFeatures
from scsnet_hf.pixel_mapping import PixelGrid

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def torch_pipe():
    model = build_tiny_model(luminance_skip=True, source_enlargement=2)
    return ScsColorizeSrPipeline(model, image_processor=SCSNetImageProcessor(), device="cpu")


@pytest.fixture(scope="module")
def folder(torch_pipe, tmp_path_factory):
    """The exported network."""
    path = tmp_path_factory.mktemp("exported")
    for _ in export_onnx(torch_pipe.model, path, torch_pipe.image_processor):
        pass
    return path


@pytest.fixture(scope="module")
def onnx_pipe(folder):
    return pipeline("scs-colorize-sr", model=str(folder))


def assert_same(one, other):
    assert one.size == other.size
    assert np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max() <= 1


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"scale": 1},
        {"scale": 2.7},
        {"size": (61, 90)},
        {"scale": 3, "tile_size": 7},
        {"scale": 1.5, "saturation": 0.5, "luminance": "source"},
    ],
)
@pytest.mark.parametrize("size", [(37, 26), (20, 45), (300, 17)])
def test_results_are_those_of_pytorch(torch_pipe, onnx_pipe, size, arguments):
    picture = make_picture(*size)
    assert_same(onnx_pipe(picture, **arguments), torch_pipe(picture, **arguments))


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("count", [1, 2])
def test_results_with_references_are_those_of_pytorch(torch_pipe, onnx_pipe, count, strength):
    picture = make_picture(37, 26)
    references = [make_picture(30 + 10 * seed, 41, seed=seed) for seed in range(count)]
    arguments = {"reference": references, "reference_strength": strength, "scale": 2}
    if count == 1:
        arguments["reference"] = references[0]
    assert_same(onnx_pipe(picture, **arguments), torch_pipe(picture, **arguments))


@pytest.mark.parametrize("reference", [None, make_picture(40, 41)])
def test_transferred_colors_are_those_of_pytorch(tmp_path, reference):
    model = build_tiny_model(transferred_colors=True, matched_references=True)
    torch_pipe = ScsColorizeSrPipeline(model, image_processor=SCSNetImageProcessor(), device="cpu")
    for _ in export_onnx(model, tmp_path, torch_pipe.image_processor):
        pass
    onnx_pipe, picture = pipeline("scs-colorize-sr", model=str(tmp_path)), make_picture(37, 26)
    assert_same(onnx_pipe(picture, reference), torch_pipe(picture, reference))


def test_a_batch_is_its_pictures(torch_pipe, onnx_pipe):
    pictures = [make_picture(24, 18, seed=seed) for seed in range(3)]
    for one, other in zip(
        onnx_pipe(pictures, batch_size=3), torch_pipe(pictures, batch_size=3), strict=True
    ):
        assert_same(one, other)


def test_attention_is_returned_too(torch_pipe, onnx_pipe):
    arguments = {"reference": make_picture(40, 30), "return_attention": True}
    one, other = (pipe(make_picture(24, 18), **arguments) for pipe in (onnx_pipe, torch_pipe))
    for kind in ("attentions", "valves"):
        assert len(one[kind]) == len(other[kind]) > 0
        for maps, expected in zip(one[kind], other[kind], strict=True):
            np.testing.assert_allclose(maps, expected, atol=1e-4)


def test_positions_in_a_huge_picture_are_exact(torch_pipe, onnx_pipe):
    """Some lie so near the border of two source pixels that float32 takes one for the other."""
    source, output = (40_001, 40_001), (160_003, 160_003)
    middle = PixelGrid(source, output, (79_980, 79_980), (53, 57), (19_990, 19_990))
    channels = torch_pipe.model.config.hidden_sizes[0]
    generator = torch.Generator().manual_seed(0)
    features = SCSNetFeatures(
        *(torch.rand(1, count, 31, 29, generator=generator) for count in (1, channels, channels))
    )
    with torch.no_grad():
        results = [pipe.model.decode(features, output, middle) for pipe in (torch_pipe, onnx_pipe)]
    torch.testing.assert_close(*results, atol=1e-5, rtol=0)


def test_a_checkpoint_is_exported_once(torch_pipe, tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("scsnet_hf.onnx_backend.cached_assets_path", lambda *names: tmp_path / "c")
    arguments = {"model": str(tiny_checkpoint), "backend": "onnx"}
    first = pipeline("scs-colorize-sr", **arguments)
    written = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "c").iterdir()}
    again = pipeline("scs-colorize-sr", **arguments)
    assert written == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "c").iterdir()}
    picture = make_picture(20, 15)
    assert_same(first(picture), again(picture))


class TestRefusals:
    def test_an_unknown_backend(self, torch_pipe):
        with pytest.raises(ValueError, match="choose one of torch, onnx"):
            ScsColorizeSrPipeline(torch_pipe.model, backend="tvm")

    def test_pytorch_for_exported_graphs(self, onnx_pipe):
        with pytest.raises(ValueError, match="exported to ONNX graphs"):
            ScsColorizeSrPipeline(onnx_pipe.model, backend="torch")

    def test_another_device(self, folder):
        with pytest.raises(ValueError, match="run on the CPU"):
            pipeline("scs-colorize-sr", model=str(folder), device="cuda")

    def test_another_number_format(self, folder):
        with pytest.raises(ValueError, match="dtype=bfloat16: ONNX graphs take and give float32"):
            SCSNetOnnxModel.from_pretrained(folder, dtype="bfloat16")

    def test_a_damaged_graph_is_named(self, folder, tmp_path):
        for path in folder.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes()[:500])
        (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
        with pytest.raises(OSError, match=r"\.onnx: no graph"):
            SCSNetOnnxModel.from_pretrained(tmp_path)


def test_onnx_runtime_is_imported_only_where_it_is_used():
    program = "import sys, scsnet_hf.pipeline_scsnet; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
