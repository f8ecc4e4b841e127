"""Colorizers and upscalers of other projects, each with a tiny network of its kind."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from helpers.images import make_image
from helpers.tiny_diffusion import tiny_components
from research.evaluation.external_models import ExternalModel, load_external_model
from research.evaluation.methods import cascade
from research.evaluation.samples import make_samples

IMAGE = make_image(20, 12)


def same(one: Image.Image, other: Image.Image, levels: int = 0) -> bool:
    difference = np.asarray(one, dtype=int) - np.asarray(other, dtype=int)
    return one.size == other.size and np.abs(difference).max() <= levels


def test_gray_takes_the_colors_and_bicubic_leaves_all():
    assert same(load_external_model("gray")(IMAGE), ImageOps.grayscale(IMAGE).convert("RGB"))
    assert same(load_external_model("bicubic")(IMAGE), IMAGE)


def test_scsnet_colorizes_at_the_same_size(tiny_checkpoint):
    made = load_external_model(f"scsnet:{tiny_checkpoint}")(IMAGE)
    assert made.size == IMAGE.size
    assert not same(made, load_external_model("gray")(IMAGE))


@pytest.mark.parametrize("name", ["gray", "bicubic"])
def test_what_has_no_network_has_no_parameters(name):
    assert load_external_model(name).parameters == 0


def test_a_python_function():
    assert same(load_external_model("python:PIL.ImageOps:mirror")(IMAGE), ImageOps.mirror(IMAGE))


class TestCommand:
    def test_it_reads_and_writes_files(self):
        program = (
            "import sys; from PIL import Image, ImageOps; "
            "ImageOps.flip(Image.open(sys.argv[1])).save(sys.argv[2])"
        )
        stage = load_external_model(f'command:{sys.executable} -c "{program}" {{input}} {{output}}')
        assert same(stage(IMAGE), ImageOps.flip(IMAGE))

    def test_what_it_says_when_it_fails_is_told(self):
        program = "import sys; sys.exit('out of paint')"
        stage = load_external_model(f'command:{sys.executable} -c "{program}" {{input}} {{output}}')
        with pytest.raises(ValueError, match="exit code 1, out of paint"):
            stage(IMAGE)

    def test_it_needs_both_places(self):
        with pytest.raises(ValueError, match=r"\{output\}"):
            load_external_model("command:convert {input}")


@pytest.mark.parametrize("channels", [1, 3])
def test_onnx(tmp_path, channels):
    """A network that makes the negative."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    shape = [1, channels, "h", "w"]
    given, made = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name in ("given", "made")
    )
    one = onnx.helper.make_tensor("one", onnx.TensorProto.FLOAT, [1], [1.0])
    node = onnx.helper.make_node("Sub", ["one", "given"], ["made"])
    graph = onnx.helper.make_graph([node], "negative", [given], [made], [one])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "n.onnx")
    image = IMAGE if channels == 3 else load_external_model("gray")(IMAGE)
    made = load_external_model(f"onnx:{tmp_path / 'n.onnx'}")(IMAGE)
    assert same(made, ImageOps.invert(image), levels=1)


class TestNcnn:
    def test_a_network_that_doubles(self, tmp_path):
        pytest.importorskip("ncnn")
        (tmp_path / "double.param").write_text(
            "7767517\n2 2\nInput data 0 1 data\nInterp up 1 1 data out 0=1 1=2.0 2=2.0\n"
        )
        (tmp_path / "double.bin").write_bytes(b"")
        made = load_external_model(f"ncnn:{tmp_path / 'double.param'}")(IMAGE)
        assert same(made, IMAGE.resize((40, 24), Image.Resampling.NEAREST), levels=1)

    def test_a_missing_file_is_named(self, tmp_path):
        pytest.importorskip("ncnn")
        with pytest.raises(ValueError, match=r"none\.param: cannot be loaded"):
            load_external_model(f"ncnn:{tmp_path / 'none.param'}")


def test_transformers_enlarges_twice(tmp_path):
    from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution
    from transformers.models.swin2sr.image_processing_pil_swin2sr import Swin2SRImageProcessorPil

    config = Swin2SRConfig(
        embed_dim=8, depths=[1], num_heads=[2], window_size=4, upscale=2, image_size=16
    )
    Swin2SRForImageSuperResolution(config).save_pretrained(tmp_path)
    Swin2SRImageProcessorPil(pad_size=4).save_pretrained(tmp_path)
    made = load_external_model(f"transformers:{tmp_path}")(IMAGE)
    assert made.size == (40, 24)


def test_spandrel_gets_rgb_and_gives_rgb(monkeypatch):
    """Its own package does not load without torchvision; what is used of it stands in for it."""

    class Descriptor:
        model = torch.nn.Conv2d(3, 12, 3)

        def __call__(self, rgb):
            return rgb.repeat_interleave(2, 2).repeat_interleave(2, 3) + 0.001

    class ModelLoader:
        def __init__(self, device):
            self.device = device

        def load_from_file(self, path):
            assert path == "weights.pth"
            return Descriptor()

    monkeypatch.setitem(sys.modules, "spandrel", SimpleNamespace(ModelLoader=ModelLoader))
    stage = load_external_model("spandrel:weights.pth")
    enlarged = IMAGE.resize((40, 24), Image.Resampling.NEAREST)
    assert same(stage(IMAGE), enlarged, levels=1)
    assert stage.parameters == 3 * 12 * 9 + 12


def test_diffusers_enlarges_the_same_way_every_time(tmp_path):
    from diffusers import DDPMScheduler, StableDiffusionUpscalePipeline, UNet2DConditionModel

    components = tiny_components()
    for name in ("feature_extractor", "requires_safety_checker"):
        components.pop(name)
    components["unet"] = UNet2DConditionModel.from_config(components["unet"].config, in_channels=7)
    pipe = StableDiffusionUpscalePipeline(**components, low_res_scheduler=DDPMScheduler())
    pipe.save_pretrained(tmp_path)
    stage = load_external_model(f"diffusers:{tmp_path}")
    first, second = stage(IMAGE), stage(IMAGE)
    assert first.width > IMAGE.width
    assert same(first, second)


@pytest.mark.parametrize(
    ("name", "message"),
    [("magic", "must be one of gray, scsnet"), ("onnx", "onnx:..."), ("python:", "python:...")],
)
def test_a_name_that_is_none_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        load_external_model(name)


class TestCascade:
    @pytest.fixture
    def sample(self):
        return next(make_samples([make_image(40, 24)], scale=2))

    def test_both_stages_are_run_and_the_target_s_size_is_reached(self, sample):
        asked = []

        def colorizer(image):
            asked.append(image.size)
            return Image.new("RGB", image.size, "red")

        def upscaler(image):
            asked.append(image.getpixel((0, 0)))
            return image.resize((80, 48))

        made = cascade(ExternalModel(colorizer), ExternalModel(upscaler))(sample)
        assert asked == [(20, 12), (255, 0, 0)]
        assert same(made, Image.new("RGB", (40, 24), "red"))

    def test_the_colorizer_never_sees_colors(self, sample):
        made = cascade(load_external_model("bicubic"), load_external_model("bicubic"))(sample)
        assert np.ptp(np.asarray(made), axis=2).max() == 0

    @pytest.mark.parametrize(("counts", "total"), [((3, 4), 7), ((0, 4), 4), ((3, None), None)])
    def test_it_has_the_parameters_of_both_or_does_not_know(self, counts, total):
        stages = (ExternalModel(lambda image: image, parameters=count) for count in counts)
        assert cascade(*stages).parameters == total
