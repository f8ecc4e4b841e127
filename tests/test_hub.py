"""Saved and pushed pipelines work where scsnet_hf is not installed, bit-equal."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import pipeline

from helpers.fake_hub import run_python, running_hub
from helpers.images import make_image
from helpers.tiny_models import build_tiny_model
from scsnet_hf import SCSNetImageProcessor

REPOSITORY = Path(__file__).parent.parent
CODE = {
    "atomic_files.py",
    "attention.py",
    "color.py",
    "back_projection.py",
    "configuration_scsnet.py",
    "decoding.py",
    "downloads.py",
    "efficientnet.py",
    "memory.py",
    "gray_profile.py",
    "image_io.py",
    "image_processing_scsnet.py",
    "modeling_scsnet.py",
    "onnx_backend.py",
    "onnx_export.py",
    "pipeline_scsnet.py",
    "pixel_mapping.py",
    "pixelwise.py",
    "strips.py",
    "tiling.py",
    "transparency.py",
}
FILES = {"config.json", "model.safetensors", "preprocessor_config.json"}

# Pushes a pipeline and its model, and the pipeline again with other weights.
PUSH = """
import sys
from pathlib import Path

import numpy as np
import scsnet_hf
import torch
from transformers import pipeline

work = Path(sys.argv[1])
pipe = pipeline("scs-colorize-sr", model=str(work / "checkpoint"), device="cpu")
first = pipe.push_to_hub("tester/pipe")
pipe.model.push_to_hub("tester/model")
with torch.no_grad():
    for parameter in pipe.model.parameters():
        parameter.mul_(0.9)
pipe.push_to_hub("tester/pipe")
image = pipe(work / "image.png", reference=work / "reference.png", scale=2.7)
np.save(work / "changed.npy", np.asarray(image))
(work / "revision.txt").write_text(first.oid)
"""

# A finder that refuses the package stands for an environment without it.
START = """
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
revision = (work / "revision.txt").read_text()
image, reference = Image.open(work / "image.png"), Image.open(work / "reference.png")
trusted = {"trust_remote_code": True}


def colorize(model, **task):
    pipe = pipeline(model=model, device="cpu", **task, **trusted)
    return pipe, np.asarray(pipe(image, reference=reference, scale=2.7))


results = {}
"""

WITHOUT_PACKAGE = """
import json

pipe, results["folder"] = colorize(str(work / "saved"))
results["task"] = colorize(str(work / "saved"), task="scs-colorize-sr")[1]
pipe.save_pretrained(work / "again")
results["again"] = colorize(str(work / "again"))[1]
results["id"] = colorize("tester/pipe", revision=revision)[1]
results["newest"] = colorize("tester/pipe")[1]

processor = AutoImageProcessor.from_pretrained(work / "saved", **trusted)
inputs = processor(image, reference_images=reference)
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


OFFLINE = """
results["id"] = colorize("tester/pipe", revision=revision)[1]
results["newest"] = colorize("tester/pipe")[1]
np.savez(work / "offline.npz", **results)
"""


def run(program: str, *arguments, **where):
    finished = run_python("-c", program, *arguments, **where)
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
    """A folder with a checkpoint, a saved pipeline and two images."""
    work = tmp_path_factory.mktemp("hub")
    pipe.model.save_pretrained(work / "checkpoint")
    pipe.image_processor.save_pretrained(work / "checkpoint")
    pipe.save_pretrained(work / "saved")
    make_image(24, 16).save(work / "image.png")
    make_image(30, 20, seed=1).save(work / "reference.png")
    return work


@pytest.fixture(scope="module")
def pushed(work):
    """The Hub after pushes, and what a process without the package made of the repositories."""
    (work / "author").mkdir()
    (work / "user").mkdir()
    with running_hub() as hub:
        author = {"folder": work / "author", "PYTHONPATH": str(REPOSITORY)}
        run(PUSH, work, hub=hub.url, **author)
        run(START + WITHOUT_PACKAGE, work, hub=hub.url, folder=work / "user")
        return hub


@pytest.fixture(scope="module")
def results(work, pushed):
    return np.load(work / "results.npz")


@pytest.fixture(scope="module")
def offline(work, pushed):
    """What the same user loads by id once the Hub is gone."""
    where = {"hub": pushed.url, "folder": work / "user", "HF_HUB_OFFLINE": "1"}
    run(START + OFFLINE, work, **where)
    return np.load(work / "offline.npz")


@pytest.fixture(scope="module")
def expected(work, pipe):
    return pipe(work / "image.png", reference=work / "reference.png", scale=2.7)


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

    @pytest.mark.parametrize("source", ["folder", "task", "again"])
    def test_a_pipeline_gives_the_same_image(self, results, expected, source):
        assert np.array_equal(results[source], np.asarray(expected))

    @pytest.mark.parametrize(
        "source", ["AutoModel", "AutoModelForImageToImage", "pushed_model", "again_AutoModel"]
    )
    def test_a_model_gives_the_same_numbers(self, results, work, pipe, source):
        inputs = pipe.image_processor(work / "image.png", reference_images=work / "reference.png")
        # Not the pipeline's: its weights lie in another order, in which sums round otherwise.
        with torch.no_grad():
            output = build_tiny_model()(**inputs, scale=2.7).reconstruction.numpy()
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
        assert set(pushed.files("tester/pipe")) >= FILES | CODE

    def test_a_model_is_pushed_with_its_code(self, pushed):
        code = {
            "modeling_scsnet.py",
            "configuration_scsnet.py",
            "attention.py",
            "pixel_mapping.py",
            "pixelwise.py",
        }
        assert set(pushed.files("tester/model")) >= {"config.json", "model.safetensors"} | code

    def test_the_pushed_weights_are_the_saved_ones(self, pushed, work):
        saved = (work / "saved" / "model.safetensors").read_bytes()
        assert pushed.files("tester/model")["model.safetensors"] == saved

    def test_the_pushed_config_holds_no_path_of_this_machine(self, pushed, work):
        text = pushed.files("tester/pipe")["config.json"].decode()
        assert str(REPOSITORY) not in text
        assert str(work) not in text

    def test_a_second_push_changes_the_weights_alone(self, pushed):
        *_, before, after = pushed.repositories["tester/pipe"]
        assert {path for path in after if after[path] != before.get(path)} == {"model.safetensors"}


class TestRevisions:
    def test_an_older_commit_still_gives_its_image(self, results, expected):
        assert np.array_equal(results["id"], np.asarray(expected))

    def test_without_a_revision_the_newest_is_loaded(self, results, work):
        changed = np.load(work / "changed.npy")
        assert np.array_equal(results["newest"], changed)
        assert not np.array_equal(results["newest"], results["id"])

    @pytest.mark.parametrize("source", ["id", "newest"])
    def test_the_cache_gives_the_same_when_the_hub_is_gone(self, results, offline, source):
        assert np.array_equal(offline[source], results[source])
