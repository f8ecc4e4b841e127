"""The network recorded by torch.export, compiled, and exported to ONNX by the script."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from export import CHECKS, export
from helpers.tiny_models import build_tiny_model, save_checkpoint
from onnx_graphs import build_graphs, trace
from scsnet_hf import SCSNetForImageToImage
from scsnet_hf.configuration_scsnet import UPSAMPLERS

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "export.py"
SIZES = [(1, 0.3), (3, 0.71), (2, 1.0)]  # batch and part of the largest sides, none as traced


def random(*shape: int) -> torch.Tensor:
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape))) - 1


def assert_same(result, expected):
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def assert_traced_for_every_size(model: SCSNetForImageToImage, name: str) -> None:
    graph = build_graphs(model)[name]
    program = trace(graph).module()
    with torch.no_grad():
        for size in SIZES:
            inputs = graph.examples(*size).values()
            assert_same(program(*inputs), graph(*inputs))


class TestTrace:
    """Each graph is one program, for every size of image and of batch."""

    @pytest.mark.parametrize(
        "config",
        [
            {"cross_attention": "none"},
            {"source_encoder": "efficientnet_lite", "source_enlargement": 2},
        ],
    )
    def test_color(self, config):
        assert_traced_for_every_size(build_tiny_model(**config), "color")

    @pytest.mark.parametrize(
        "config",
        [
            {"cross_attention": "basic"},
            {"transferred_colors": True, "matched_references": True},
            {"similarity": "dot", "cross_attention_skip": False, "valve_convolution": False},
        ],
    )  # another kind is the script's
    def test_color_from_reference(self, config):
        model = build_tiny_model(**config)
        assert_traced_for_every_size(model, "color_from_reference")

    @pytest.mark.parametrize(
        ("upsampler", "align_corners"), [*((name, False) for name in UPSAMPLERS), ("cpm", True)]
    )
    def test_pixels(self, upsampler, align_corners):
        model = build_tiny_model(
            upsampler=upsampler, align_corners=align_corners, luminance_skip=True
        )
        assert_traced_for_every_size(model, "pixels")

    def test_a_network_without_references_has_no_graph_for_them(self):
        assert set(build_graphs(build_tiny_model(cross_attention="none"))) == {"color", "pixels"}


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

    def test_with_a_reference(self, tiny_model):
        sizes = (18, 23), (41, 34), (33, 30)  # more than a column at every level of the attention
        outputs = (40, 51), (61, 33), (70, 20)
        self.assert_two_sizes_are_enough(tiny_model, sizes, outputs, random(1, 3, 26, 21))

    def test_larger_than_the_color_branch_sees(self):
        model = build_tiny_model(color_size=16, source_enlargement=2, luminance_skip=True)
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


def run_script(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, tiny_model) -> tuple[Path, str]:
    """The folder of an export of the tiny model, and what the script printed."""
    checkpoint = save_checkpoint(tiny_model, tmp_path_factory.mktemp("checkpoint"))
    folder = checkpoint / "new" / "exported"
    finished = run_script(folder, "--model", checkpoint)
    assert finished.returncode == 0, finished.stderr[-2000:]
    return folder, finished.stdout


@pytest.fixture(scope="module")
def run(exported):
    """Runs a graph on arrays, as a program that knows `graphs.json` does."""
    folder, _ = exported
    description = json.loads((folder / "graphs.json").read_text())

    def run(name: str, **inputs) -> np.ndarray:
        session = onnxruntime.InferenceSession(folder / name)
        types = description["graphs"][name]["inputs"]
        (output,) = description["graphs"][name]["outputs"]
        given = {key: np.asarray(value, types[key]["dtype"]) for key, value in inputs.items()}
        return session.run([output], given)[0]

    return run


class TestScript:
    def test_the_folder_holds_the_graphs_and_their_description(self, exported):
        names = {"color.onnx", "color_from_reference.onnx", "pixels.onnx", "graphs.json"}
        assert {path.name for path in exported[0].iterdir()} == names

    def test_the_largest_difference_of_every_graph_is_printed(self, exported):
        folder, printed = exported
        lines = [line for line in printed.splitlines() if ", largest difference " in line]
        assert [line.split(": ")[0] for line in lines] == [
            str(folder / f"{name}.onnx") for name in ("color", "color_from_reference", "pixels")
        ]
        assert all(float(line.split()[-1]) < 1e-5 for line in lines)

    @pytest.mark.parametrize("end", ["inputs", "outputs"])
    def test_the_description_names_every_input_and_output_with_its_shape(self, exported, end):
        folder, _ = exported
        for name, about in json.loads((folder / "graphs.json").read_text())["graphs"].items():
            session = onnxruntime.InferenceSession(folder / name)
            tensors = session.get_inputs() if end == "inputs" else session.get_outputs()
            described = {key: value["shape"] for key, value in about[end].items()}
            assert [tensor.name for tensor in tensors] == list(described)
            for tensor in tensors:  # the names of an output's dimensions are the exporter's
                fixed = [side for side in tensor.shape if isinstance(side, int)]
                assert fixed == [side for side in described[tensor.name] if isinstance(side, int)]

    def test_the_graphs_hold_no_path_of_this_machine(self, exported):
        for graph in exported[0].glob("*.onnx"):
            assert str(SCRIPT.parent.parent).encode() not in graph.read_bytes()

    @pytest.mark.parametrize("with_reference", [False, True])
    def test_the_steps_of_the_description_give_the_model_s_result(
        self, run, tiny_model, with_reference
    ):
        source, reference = random(1, 1, 45, 60), random(1, 3, 30, 50)
        if with_reference:
            color = run(
                "color_from_reference.onnx",
                pixel_values=source,
                reference_pixel_values=reference,
                reference_strength=[0.7],
            )
        else:
            color = run("color.onnx", pixel_values=source)
        result = run(
            "pixels.onnx",
            pixel_values=source,
            color_features=color,
            source_size=(45, 60),
            output_size=(97, 131),
            origin=(0, 0),
            rows=np.arange(97),
            columns=np.arange(131),
        )
        with torch.no_grad():
            expected = tiny_model(
                source,
                reference if with_reference else None,
                reference_strength=0.7,
                output_size=(97, 131),
            ).reconstruction
        assert_same(torch.tensor(result), expected)

    def test_a_tile_with_its_halo_is_part_of_the_whole(self, exported, run, tiny_model):
        halo = json.loads((exported[0] / "graphs.json").read_text())["halo"]
        source = random(1, 1, 60, 80)
        result = run(
            "pixels.onnx",
            pixel_values=source[..., 20 - halo : 30 + halo, 40 - halo : 52 + halo],
            color_features=run("color.onnx", pixel_values=source),
            source_size=(60, 80),
            output_size=(120, 160),
            origin=(20 - halo, 40 - halo),
            rows=np.arange(40, 60),
            columns=np.arange(80, 104),
        )
        with torch.no_grad():
            whole = tiny_model(source, output_size=(120, 160)).reconstruction
        assert_same(torch.tensor(result), whole[..., 40:60, 80:104])

    def test_a_graph_that_differs_is_refused_and_not_described(
        self, exported, tmp_path, monkeypatch
    ):
        (tmp_path / "graphs.json").write_text("{}")  # of an earlier export
        monkeypatch.setattr(
            "export.write_graph", lambda graph, file: shutil.copy(exported[0] / file.name, file)
        )
        with pytest.raises(ArithmeticError, match=r"color\.onnx differs"):
            export(build_tiny_model(seed=1), tmp_path)
        assert not (tmp_path / "graphs.json").exists()

    def test_graphs_are_checked_at_two_sizes_that_they_were_not_traced_with(self):
        assert len(set(CHECKS)) == 2
        assert (2, 0.95) not in CHECKS

    def test_what_is_not_a_model_is_one_line(self, tmp_path):
        finished = run_script(tmp_path / "out", "--model", tmp_path)
        assert finished.returncode == 1
        assert finished.stderr.splitlines()[-1].startswith("export.py: ")
        assert "Traceback" not in finished.stderr
