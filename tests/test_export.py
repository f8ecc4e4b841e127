"""The network as programs of torch.export, compiled, and written as ONNX graphs by the script."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import build_tiny_model, make_picture
from transformers import pipeline

from scsnet_hf import SCSNetForImageToImage, SCSNetImageProcessor, export_onnx
from scsnet_hf.configuration_scsnet import CROSS_ATTENTIONS, UPSAMPLERS
from scsnet_hf.modeling_scsnet import SCSNetFeatures
from scsnet_hf.onnx_export import network_parts
from scsnet_hf.pixel_mapping import PixelGrid

SCRIPT = Path(__file__).parent.parent / "scripts" / "export.py"
# Batch and size, none of which the parts were traced with.
SOURCES = [(1, 35, 46), (3, 40, 57), (2, 81, 37), (1, 64, 64)]


def random(*shape: int) -> torch.Tensor:
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape))) - 1


def exported(model: SCSNetForImageToImage, part: str):
    """The program of a part, called with a tuple of its inputs."""
    program = network_parts(model)[part].export().module()
    return torch.no_grad()(lambda *inputs: program(*inputs))


def assert_same(result, expected):
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


class TestTorchExport:
    """Each part is one program, for every size of picture and every size of batch."""

    def test_texture(self, tiny_model):
        program = exported(tiny_model, "texture")
        for batch, height, width in SOURCES:
            pixels = random(batch, 1, height, width)
            assert_same(program(pixels), tiny_model.encode_texture(pixels))

    @pytest.mark.parametrize(("matched", "enlargement"), [(False, 1), (True, 1), (True, 2)])
    @pytest.mark.parametrize("cross_attention", ["pyramid_valve", "basic"])
    def test_reference(self, cross_attention, matched, enlargement):
        model = build_tiny_model(
            cross_attention=cross_attention,
            matched_references=matched,
            source_enlargement=enlargement,
        )
        program = exported(model, "reference")
        for batch, height, width in SOURCES:
            reference = random(batch, 3, height, width)
            assert_same(tuple(program(reference)), model.encode_reference(reference))

    @pytest.mark.parametrize("cross_attention", CROSS_ATTENTIONS)
    @pytest.mark.parametrize(
        ("source_encoder", "matched", "enlargement"),
        [("residual", False, 1), ("efficientnet_lite", True, 1), ("efficientnet_lite", True, 2)],
    )
    def test_color(self, cross_attention, source_encoder, matched, enlargement):
        model = build_tiny_model(
            cross_attention=cross_attention,
            source_encoder=source_encoder,
            matched_references=matched,
            source_enlargement=enlargement,
        )
        program = exported(model, "color")
        for batch, height, width in SOURCES:
            pixels, guidance, reference = random(batch, 1, height, width), (), {}
            if cross_attention != "none":
                tokens = model.encode_reference(random(batch, 3, width, height))
                guidance = (torch.full((batch,), 0.7), *tokens)
                reference = {"reference_tokens": tokens, "reference_strength": 0.7}
            color, *_ = program(pixels, *guidance)
            assert_same(color, model.encode_color(pixels, **reference).features)

    def test_transferred_colors(self):
        model = build_tiny_model(transferred_colors=True, matched_references=True)
        reference_part, color_part = exported(model, "reference"), exported(model, "color")
        for batch, height, width in SOURCES:
            pixels, reference = random(batch, 1, height, width), random(batch, 3, width, height)
            tokens = tuple(reference_part(reference))
            assert_same(tokens, model.encode_reference(reference))
            color, *_ = color_part(pixels, torch.full((batch,), 0.7), *tokens)
            expected = model.encode_color(pixels, tokens, reference_strength=0.7).features
            assert_same(color, expected)

    @pytest.mark.parametrize("align_corners", [False, True])
    @pytest.mark.parametrize("upsampler", UPSAMPLERS)
    def test_pixels(self, upsampler, align_corners):
        model = build_tiny_model(
            upsampler=upsampler, align_corners=align_corners, luminance_skip=True
        )
        program = exported(model, "pixels")
        for batch, height, width in SOURCES:
            channels = model.config.hidden_sizes[0]
            features = SCSNetFeatures(
                *(random(batch, c, height, width) for c in (1, channels, channels))
            )
            for output in ((97, 61), (19, 118)):
                wanted = PixelGrid((height, width), output, (3, 7), (11, 9))
                result = program(*features, *integers(wanted))
                assert_same(result, model.decode(features, output, wanted))


def integers(grid: PixelGrid) -> list[torch.Tensor]:
    pairs = [torch.tensor(pair) for pair in (grid.source, grid.output, grid.origin)]
    wanted = [
        torch.arange(start, start + length)
        for start, length in zip(grid.start, grid.length, strict=True)
    ]
    return pairs + wanted


class TestCompile:
    """`fullgraph` refuses breaks, and `error_on_recompile` what the first sizes did not cover."""

    def assert_two_sizes_are_enough(self, model, sizes, outputs, reference=None):
        torch._dynamo.reset()
        compiled = torch.compile(model, fullgraph=True, backend="eager")

        def check(size, output):
            pixels = random(1, 1, *size)
            expected = model(pixels, reference, output_size=output).reconstruction
            assert_same(compiled(pixels, reference, output_size=output).reconstruction, expected)

        pairs = list(zip(sizes, outputs, strict=True))
        with torch.no_grad():
            for pair in pairs[:2]:
                check(*pair)
            with torch._dynamo.config.patch(error_on_recompile=True):
                for pair in pairs[2:]:
                    check(*pair)

    @pytest.mark.parametrize("upsampler", UPSAMPLERS)
    def test_automatic(self, upsampler):
        model = build_tiny_model(upsampler=upsampler, luminance_skip=True)
        sizes = (18, 23), (21, 14), (13, 30), (31, 17)
        outputs = (40, 51), (61, 33), (70, 20), (29, 63)
        self.assert_two_sizes_are_enough(model, sizes, outputs)

    def test_with_a_reference(self, tiny_model):
        sizes = (18, 23), (41, 34), (33, 30)  # more than a column at every level of the attention
        outputs = (40, 51), (61, 33), (70, 20)
        self.assert_two_sizes_are_enough(tiny_model, sizes, outputs, random(1, 3, 26, 21))

    def test_larger_than_the_colour_branch_sees(self):
        model = build_tiny_model(color_size=16, source_enlargement=2)
        sizes = (38, 43), (50, 35), (33, 61), (47, 29)
        outputs = (70, 81), (90, 63), (97, 120), (99, 71)
        self.assert_two_sizes_are_enough(model, sizes, outputs)

    def test_aot_autograd_gives_the_same(self, tiny_model):
        torch._dynamo.reset()
        pixels, reference = random(1, 1, 18, 23), random(1, 3, 26, 21)
        compiled = torch.compile(tiny_model, fullgraph=True, backend="aot_eager")
        with torch.no_grad():
            result = compiled(pixels, reference, scale=2.7).reconstruction
            assert_same(result, tiny_model(pixels, reference, scale=2.7).reconstruction)


def export(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A folder with a network that takes no references; its pixel mapping is not so tiny."""
    folder = tmp_path_factory.mktemp("checkpoint")
    config = {"cross_attention": "none", "luminance_skip": True, "mapping_size": 128}
    build_tiny_model(**config).save_pretrained(folder)
    SCSNetImageProcessor(reference_size=100).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def int8(checkpoint) -> tuple[Path, str]:
    """The folder of an int8 export, and what the script printed."""
    folder = checkpoint / "new" / "exported"
    finished = export(folder, "--model", checkpoint, "--int8")
    assert finished.returncode == 0, finished.stderr[-2000:]
    return folder, finished.stdout


class TestScript:
    def test_the_folder_holds_graphs_and_settings_and_no_code(self, int8):
        names = {"color.onnx", "texture.onnx", "pixels.onnx"}
        settings = {"config.json", "preprocessor_config.json"}
        assert {path.name for path in int8[0].iterdir()} == names | settings

    def test_every_file_is_reported(self, int8):
        folder, printed = int8
        for file in folder.iterdir():
            kind = " in int8" if file.stem in ("texture", "pixels") else ""
            assert f"{file}{kind}: {file.stat().st_size:,} bytes\n" in printed

    def test_the_graphs_hold_no_path_of_this_machine(self, int8):
        for graph in int8[0].glob("*.onnx"):
            assert str(SCRIPT.parent.parent).encode() not in graph.read_bytes()

    def test_settings_are_kept(self, int8):
        processor = json.loads((int8[0] / "preprocessor_config.json").read_text())
        assert processor["reference_size"] == 100

    @pytest.mark.parametrize("part", ["texture", "pixels"])
    def test_every_weight_of_these_parts_is_in_int8(self, int8, part):
        graph = onnx.load(int8[0] / f"{part}.onnx").graph
        types = {weight.name: weight.data_type for weight in graph.initializer}
        source_of = {node.output[0]: node.input[0] for node in graph.node}
        weights = [node.input[1] for node in graph.node if node.op_type in ("Conv", "MatMul")]
        assert weights
        for weight in weights:  # each by way of DequantizeLinear
            assert types[source_of[weight]] == onnx.TensorProto.INT8

    def test_int8_is_close(self, int8, checkpoint):
        picture = make_picture(60, 45)
        precise, rough = (
            np.asarray(pipeline("scs-colorize-sr", model=str(folder), device="cpu")(picture))
            for folder in (checkpoint, int8[0])
        )
        difference = np.abs(precise.astype(int) - rough)
        assert 0 < difference.mean() < 2

    def test_what_is_no_model_is_named_in_one_line(self, tmp_path):
        finished = export(tmp_path / "out", "--model", tmp_path)
        assert finished.returncode == 1
        assert finished.stderr.splitlines()[-1].startswith("export.py: ")
        assert "Traceback" not in finished.stderr


class TestRefusals:
    def test_another_model_is_not_overwritten(self, tiny_model, tiny_checkpoint):
        before = (tiny_checkpoint / "config.json").read_bytes()
        with pytest.raises(ValueError, match="another folder"):
            next(export_onnx(tiny_model, tiny_checkpoint))
        assert (tiny_checkpoint / "config.json").read_bytes() == before

    def test_missing_packages_are_named_with_the_command_that_installs_them(
        self, tiny_model, tmp_path, monkeypatch
    ):
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name)
        )
        with pytest.raises(ImportError, match=r"onnxscript: pip install 'scsnet_hf\[onnx\]'"):
            next(export_onnx(tiny_model, tmp_path))
