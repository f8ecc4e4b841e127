"""`import scsnet_hf` registers the model, before or after the Auto classes are imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import scsnet_hf
from scsnet_hf.registration import DTYPES, find_checkpoint, load_pipeline

REPOSITORY = Path(__file__).parent.parent

PACKAGE = """
import scsnet_hf
report["torch"] = "torch" in sys.modules
"""
AUTO_CLASSES = """
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageToImage
from transformers import pipeline
"""
USE = """
folder = sys.argv[1]
for auto_class in (AutoConfig, AutoModel, AutoModelForImageToImage, AutoImageProcessor):
    report[auto_class.__name__] = type(auto_class.from_pretrained(folder)).__module__
from transformers.pipelines import PIPELINE_REGISTRY
report["tasks"] = PIPELINE_REGISTRY.get_supported_tasks()
report["pipeline"] = type(pipeline("scs-colorize-sr", model=folder)).__module__
report["config_by_name"] = type(AutoConfig.for_model("scsnet")).__name__
print(json.dumps(report))
"""
ORDERS = {
    "package_first": PACKAGE + AUTO_CLASSES,
    "package_last": AUTO_CLASSES + PACKAGE,
    # Modules whose import imports the Auto classes before it ends.
    "layers_first": PACKAGE + "import transformers.modeling_layers" + AUTO_CLASSES,
    "encoder_first": PACKAGE + "import scsnet_hf.encoders" + AUTO_CLASSES,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_model):
    """A model without code of its own, so that only the registration can load it."""
    folder = tmp_path_factory.mktemp("model")
    tiny_model.save_pretrained(folder)
    scsnet_hf.SCSNetImageProcessor().save_pretrained(folder)
    for code in folder.glob("*.py"):
        code.unlink()
    for name in ("config.json", "preprocessor_config.json"):
        content = json.loads((folder / name).read_text())
        content.pop("auto_map", None)
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.fixture(
    scope="module",
    params=[
        "package_first",
        "package_last",
        pytest.param("layers_first", marks=pytest.mark.slow),
        pytest.param("encoder_first", marks=pytest.mark.slow),
    ],
)
def order(request):
    return request.param


@pytest.fixture(scope="module")
def report(order, folder):
    program = "import json, sys\nreport = {}" + ORDERS[order] + USE
    finished = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads(finished.stdout.splitlines()[-1])


def test_importing_the_package_imports_no_torch(report, order):
    assert report["torch"] == (order == "package_last")


@pytest.mark.parametrize(
    ("auto_class", "module"),
    [
        ("AutoConfig", "configuration_scsnet"),
        ("AutoModel", "modeling_scsnet"),
        ("AutoModelForImageToImage", "modeling_scsnet"),
        ("AutoImageProcessor", "image_processing_scsnet"),
        ("pipeline", "pipeline_scsnet"),
    ],
)
def test_the_packages_own_class_is_loaded_from_a_folder(report, auto_class, module):
    assert report[auto_class] == f"scsnet_hf.{module}"


def test_the_task_is_supported(report):
    assert "scs-colorize-sr" in report["tasks"]


def test_the_model_type_is_known(report):
    assert report["config_by_name"] == "SCSNetConfig"


@pytest.mark.parametrize("name", scsnet_hf.__all__)
def test_every_public_name_exists(name):
    assert getattr(scsnet_hf, name).__name__ == name


def test_exactly_the_public_names_are_listed():
    assert set(dir(scsnet_hf)) == {*scsnet_hf.__all__, "__version__"}


STAR_IMPORT = """
import sys
for missing in ("av", "datasets", "diffusers", "evaluate", "gradio", "matplotlib", "ray"):
    sys.modules[missing] = None
before = set(globals())
from scsnet_hf import *
assert set(globals()) - before - {"before"} == set(__import__("scsnet_hf").__all__)
import pydoc, scsnet_hf
assert "class ReferenceFromTextPipeline" in pydoc.render_doc(scsnet_hf, renderer=pydoc.plaintext)
"""


def test_star_import_and_help_work_without_optional_packages():
    finished = subprocess.run([sys.executable, "-c", STAR_IMPORT], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-3000:]


def test_the_package_runs_as_the_command():
    words = [sys.executable, "-m", "scsnet_hf", "--version"]
    finished = subprocess.run(words, capture_output=True, text=True)
    assert scsnet_hf.__version__ in finished.stdout


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="SCSNetForCats"):
        _ = scsnet_hf.SCSNetForCats


def test_the_version_has_three_parts():
    assert len(scsnet_hf.__version__.split(".")) == 3


def test_a_checkpoint_is_found_by_name_folder_or_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("small") == scsnet_hf.embedded_checkpoint("small")
    assert find_checkpoint(str(tmp_path)) == str(tmp_path)
    assert find_checkpoint("user/name") == "user/name"
    (tmp_path / "small").mkdir()
    assert find_checkpoint("small") == "small"  # a folder at hand comes first


def test_a_pipeline_is_loaded_by_the_same_names(folder):
    assert load_pipeline("small", "cpu").model.config.hidden_sizes[0] == 32
    loaded = load_pipeline(str(folder), "cpu")
    assert type(loaded) is scsnet_hf.ScsColorizeSrPipeline
    assert loaded.device.type == "cpu"


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pipeline_runs_in_the_number_format_asked_for(folder, dtype):
    pipe = load_pipeline(str(folder), "cpu", dtype)
    assert pipe.model.dtype == getattr(torch, dtype)


def test_a_pipeline_runs_in_float32_unless_asked(folder):
    assert load_pipeline(str(folder), "cpu").model.dtype == torch.float32
