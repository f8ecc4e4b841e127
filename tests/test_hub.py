"""Saved and pushed pipelines work where scsnet_hf is not installed, bit-equal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import build_tiny_model, make_picture
from fake_hub import running_hub
from safetensors.torch import load_file
from transformers import pipeline

from scsnet_hf import SCSNetImageProcessor

REPOSITORY = Path(__file__).parent.parent
CODE = {
    "attention.py",
    "color.py",
    "configuration_scsnet.py",
    "efficientnet.py",
    "image_io.py",
    "image_processing_scsnet.py",
    "modeling_scsnet.py",
    "pipeline_scsnet.py",
    "pixel_mapping.py",
    "tiling.py",
}
FILES = {"config.json", "model.safetensors", "preprocessor_config.json"}

PUSH = """
import sys
import scsnet_hf
from transformers import pipeline

pipe = pipeline("scs-colorize-sr", model=sys.argv[1], device="cpu")
pipe.push_to_hub("tester/pipe")
pipe.model.push_to_hub("tester/model")
"""

# A finder that refuses the package stands for an environment without it.
WITHOUT_PACKAGE = """
import json
import sys
from pathlib import Path


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "scsnet_hf":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Refuse())

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoModelForImageToImage, pipeline

work = Path(sys.argv[1])
picture, reference = Image.open(work / "picture.png"), Image.open(work / "reference.png")
trusted = {"trust_remote_code": True}


def colorize(model, **task):
    pipe = pipeline(model=model, device="cpu", **task, **trusted)
    return pipe, np.asarray(pipe(picture, reference=reference, scale=2.7))


results = {}
pipe, results["folder"] = colorize(str(work / "saved"))
results["task"] = colorize(str(work / "saved"), task="scs-colorize-sr")[1]
pipe.save_pretrained(work / "again")
results["again"] = colorize(str(work / "again"))[1]
results["id"] = colorize("tester/pipe")[1]

processor = AutoImageProcessor.from_pretrained(work / "saved", **trusted)
inputs = processor(picture, reference_images=reference)
for name, auto_class, source in (
    ("AutoModel", AutoModel, work / "saved"),
    ("AutoModelForImageToImage", AutoModelForImageToImage, work / "saved"),
    ("pushed_model", AutoModelForImageToImage, "tester/model"),
    ("again_AutoModel", AutoModel, work / "again"),
):
    with torch.no_grad():
        outputs = auto_class.from_pretrained(source, **trusted).eval()(**inputs, scale=2.7)
    results[name] = outputs.reconstruction.numpy()

np.savez(work / "results.npz", **results)
report = {
    "package": [name for name in sys.modules if name.partition(".")[0] == "scsnet_hf"],
    "pipeline": [type(pipe).__name__, type(pipe).__module__, pipe.task],
}
(work / "report.json").write_text(json.dumps(report))
"""


def run(program: str, *arguments, hub: str, folder: Path, **environment):
    """Run a program in a fresh process that knows the Hub at `hub` only."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "PYTHONPATH")}
    finished = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=folder,
        env={
            **inherited,
            "HF_ENDPOINT": hub,
            "HF_HOME": str(folder / "home"),
            "HF_TOKEN": "hf_x",
            "HF_HUB_DISABLE_XET": "1",
            **environment,
        },
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]


@pytest.fixture(scope="module")
def pipe():
    """A pipeline of its own: saving one writes `custom_pipelines` into its model's config."""
    return pipeline(
        "scs-colorize-sr",
        model=build_tiny_model(),
        image_processor=SCSNetImageProcessor(),
        device="cpu",
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory, pipe):
    """A folder with a checkpoint, a saved pipeline and two pictures."""
    work = tmp_path_factory.mktemp("hub")
    pipe.model.save_pretrained(work / "checkpoint")
    pipe.image_processor.save_pretrained(work / "checkpoint")
    pipe.save_pretrained(work / "saved")
    make_picture(24, 16).save(work / "picture.png")
    make_picture(30, 20, seed=1).save(work / "reference.png")
    return work


@pytest.fixture(scope="module")
def pushed(work):
    """The repositories after a push, and what a process without the package made of them."""
    (work / "author").mkdir()
    (work / "user").mkdir()
    with running_hub() as (hub, repositories):
        author = {"folder": work / "author", "PYTHONPATH": str(REPOSITORY)}
        run(PUSH, work / "checkpoint", hub=hub, **author)
        run(WITHOUT_PACKAGE, work, hub=hub, folder=work / "user")
        return repositories


@pytest.fixture(scope="module")
def results(work, pushed):
    return np.load(work / "results.npz")


@pytest.fixture(scope="module")
def expected(work, pipe):
    return pipe(work / "picture.png", reference=work / "reference.png", scale=2.7)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def config(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


class TestSavedFolder:
    def test_it_holds_the_model_and_its_code_flat(self, work):
        assert names(work / "saved") >= FILES | CODE

    def test_it_holds_no_code_of_training_or_the_command_line(self, work):
        code = {name for name in names(work / "saved") if name.endswith(".py")}
        assert code - {"__init__.py"} == CODE

    def test_its_config_names_the_pipeline_and_no_default(self, work):
        assert config(work / "saved")["custom_pipelines"] == {
            "scs-colorize-sr": {
                "impl": "pipeline_scsnet.ScsColorizeSrPipeline",
                "pt": ["AutoModelForImageToImage"],
                "type": "image",
            }
        }

    def test_its_config_names_a_class_for_every_auto_class(self, work):
        assert config(work / "saved")["auto_map"] == {
            "AutoConfig": "configuration_scsnet.SCSNetConfig",
            "AutoModel": "modeling_scsnet.SCSNetForImageToImage",
            "AutoModelForImageToImage": "modeling_scsnet.SCSNetForImageToImage",
        }

    def test_it_holds_no_path_of_this_machine(self, work):
        for name in ("config.json", "preprocessor_config.json"):
            text = (work / "saved" / name).read_text()
            assert str(REPOSITORY) not in text
            assert str(work) not in text


class TestWithoutThePackage:
    def test_the_package_was_not_there(self, work, pushed):
        report = json.loads((work / "report.json").read_text())
        assert report["package"] == []
        assert report["pipeline"][1].startswith("transformers_modules.")

    def test_the_task_is_found_in_the_folder(self, work, pushed):
        report = json.loads((work / "report.json").read_text())
        assert report["pipeline"][::2] == ["ScsColorizeSrPipeline", "scs-colorize-sr"]

    @pytest.mark.parametrize("source", ["folder", "task", "again", "id"])
    def test_a_pipeline_gives_the_same_picture(self, results, expected, source):
        assert np.array_equal(results[source], np.asarray(expected))

    @pytest.mark.parametrize(
        "source", ["AutoModel", "AutoModelForImageToImage", "pushed_model", "again_AutoModel"]
    )
    def test_a_model_gives_the_same_numbers(self, results, work, pipe, source):
        inputs = pipe.image_processor(work / "picture.png", reference_images=work / "reference.png")
        output = pipe.model(**inputs, scale=2.7).reconstruction.detach().numpy()
        assert np.array_equal(results[source], output)

    def test_saving_again_keeps_every_file(self, work, pushed):
        assert names(work / "again") >= FILES | CODE

    def test_saving_again_keeps_the_code(self, work, pushed):
        for name in CODE:
            assert (work / "again" / name).read_text() == (work / "saved" / name).read_text()

    def test_saving_again_keeps_the_weights(self, work, pushed):
        saved, again = (load_file(work / name / "model.safetensors") for name in ("saved", "again"))
        assert saved.keys() == again.keys()
        assert all(saved[name].equal(again[name]) for name in saved)

    def test_saving_again_still_names_the_pipeline(self, work, pushed):
        saved, again = (config(work / name) for name in ("saved", "again"))
        assert again["custom_pipelines"] == saved["custom_pipelines"]


class TestPush:
    def test_a_pipeline_is_pushed_with_its_code(self, pushed):
        assert set(pushed["tester/pipe"]) >= FILES | CODE

    def test_a_model_is_pushed_with_its_code(self, pushed):
        code = {"modeling_scsnet.py", "configuration_scsnet.py", "attention.py", "pixel_mapping.py"}
        assert set(pushed["tester/model"]) >= {"config.json", "model.safetensors"} | code

    def test_the_pushed_weights_are_the_saved_ones(self, pushed, work):
        saved = (work / "saved" / "model.safetensors").read_bytes()
        assert pushed["tester/pipe"]["model.safetensors"] == saved

    def test_the_pushed_config_holds_no_path_of_this_machine(self, pushed, work):
        text = pushed["tester/pipe"]["config.json"].decode()
        assert str(REPOSITORY) not in text
        assert str(work) not in text
