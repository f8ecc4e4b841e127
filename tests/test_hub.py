"""Saved and published pipelines work where scsnet_hf is not installed, bit-exact."""

import ast
import configparser
import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from transformers import pipeline
from transformers.dynamic_module_utils import get_imports

import scsnet_hf
from helpers.fake_hub import run_python, running_hub
from helpers.images import make_image
from helpers.tiny_models import build_tiny_model

REPOSITORY = Path(__file__).parent.parent
NOT_FOR_THE_HUB = {
    "__init__.py",
    "__main__.py",
    "cli.py",
    "cli_options.py",
    "losses.py",
    "registration.py",
}
CODE = {path.name for path in (REPOSITORY / "scsnet_hf").glob("*.py")} - NOT_FOR_THE_HUB
FILES = {"config.json", "model.safetensors", "preprocessor_config.json"}
ALLOWED = {"torch", "transformers", "numpy", "PIL", "huggingface_hub", "safetensors"}

# Publishes a pipeline, its model, and the pipeline again with other weights.
PUBLISH = """
import io
import json
import pydoc
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import scsnet_hf
import torch
from transformers import pipeline

work = Path(sys.argv[1])
image, reference = work / "image.png", work / "reference.png"


def colorize(pipe):
    return np.asarray(pipe(image, reference=reference, scale=2.7))


pipe = pipeline("scs-colorize-sr", model=str(work / "checkpoint"), device="cpu")
expected = {"pipeline": colorize(pipe)}
pipe.save_pretrained(work / "saved")
first = pipe.push_to_hub("tester/pipe")
pipe.model.push_to_hub("tester/model")
with torch.no_grad():
    for parameter in pipe.model.parameters():
        parameter.mul_(0.9)
pipe.push_to_hub("tester/pipe")
expected["changed"] = colorize(pipe)
expected["embedded"] = colorize(pipeline("scs-colorize-sr", device="cpu"))
# Not the pipeline's model: its weights are stored in another order, in which sums round otherwise.
model = scsnet_hf.SCSNetForImageToImage.from_pretrained(work / "checkpoint").eval()
with torch.no_grad():
    inputs = pipe.image_processor(image, reference_images=reference)
    expected["model"] = model(**inputs, scale=2.7).reconstruction.numpy()
np.savez(work / "expected.npz", **expected)

star = {}
exec("from scsnet_hf import *", star)
with redirect_stdout(io.StringIO()) as text:
    help(scsnet_hf)
report = {
    "revision": first.oid,
    "star": sorted(star.keys() - {"__builtins__"}),
    "dir": dir(scsnet_hf),
    "help": text.getvalue(),
}
(work / "author.json").write_text(json.dumps(report))
"""

START = """
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoModelForImageToImage, pipeline

work = Path(sys.argv[1])
image, reference = Image.open(work / "image.png"), Image.open(work / "reference.png")
trusted = {"trust_remote_code": True}


def colorize(model, **task):
    pipe = pipeline(model=model, device="cpu", **task, **trusted)
    return pipe, np.asarray(pipe(image, reference=reference, scale=2.7))


def reconstruct(auto_class, source):
    processor = AutoImageProcessor.from_pretrained(work / "saved", **trusted)
    inputs = processor(image, reference_images=reference)
    with torch.no_grad():
        outputs = auto_class.from_pretrained(source, **trusted).eval()(**inputs, scale=2.7)
    return outputs.reconstruction.numpy()


def report(pipe):
    package = [name for name in sys.modules if name.partition(".")[0] == "scsnet_hf"]
    return [package, type(pipe).__name__, type(pipe).__module__, pipe.task]


results = {}
"""

LOAD = """
pipe, results["folder"] = colorize(str(work / "saved"))
results["task"] = colorize(str(work / "saved"), task="scs-colorize-sr")[1]
pipe.save_pretrained(work / "again")
results["again"] = colorize(str(work / "again"))[1]
results["embedded"] = colorize("tester/medium")[1]
results["AutoModel"] = reconstruct(AutoModel, work / "saved")
results["AutoModelForImageToImage"] = reconstruct(AutoModelForImageToImage, work / "saved")
results["pushed_model"] = reconstruct(AutoModelForImageToImage, "tester/model")
results["again_AutoModel"] = reconstruct(AutoModel, work / "again")
(work / "user.json").write_text(json.dumps(report(pipe)))
"""

LOAD_BY_ID = """
revision = json.loads((work / "author.json").read_text())["revision"]
results["id"] = colorize("tester/pipe", revision=revision)[1]
results["newest"] = colorize("tester/pipe")[1]
np.savez(work / sys.argv[2], **results)
"""

# A finder that refuses the package stands for an environment without it.
REFUSE = """
import sys


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "scsnet_hf":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Refuse())
"""

LOAD_FOLDER = """
pipe, result = colorize(sys.argv[2])
np.save(work / "result.npy", result)
(work / "user.json").write_text(json.dumps(report(pipe)))
"""


def run(*arguments, **where) -> str:
    finished = run_python(*arguments, **where)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished.stdout


@pytest.fixture(scope="module")
def pipe():
    """A pipeline of its own: saving one writes `custom_pipelines` into its model's config."""
    return pipeline(
        "scs-colorize-sr",
        model=build_tiny_model(),
        image_processor=scsnet_hf.SCSNetImageProcessor(),
        device="cpu",
    )


def make_work(folder: Path, pipe) -> Path:
    """A folder with a checkpoint and two images."""
    pipe.model.save_pretrained(folder / "checkpoint")
    pipe.image_processor.save_pretrained(folder / "checkpoint")
    make_image(24, 16).save(folder / "image.png")
    make_image(30, 20, seed=1).save(folder / "reference.png")
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory, pipe):
    """A folder with a saved pipeline and two images."""
    work = make_work(tmp_path_factory.mktemp("saved"), pipe)
    pipe.save_pretrained(work / "saved")
    return work


@pytest.fixture(scope="module")
def plain_python(tmp_path_factory):
    """Python in an environment with the run-time requirements alone."""
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    requirements = setup["options"]["install_requires"].split()
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
    yield python
    shutil.rmtree(environment)  # more than a gigabyte


@pytest.fixture(scope="module")
def published(tmp_path_factory, pipe, plain_python):
    """The Hub, and a folder with what its author and a user without the package computed."""
    work = make_work(tmp_path_factory.mktemp("published"), pipe)
    for name in ("author", "user"):
        (work / name).mkdir()
    with running_hub() as hub:
        where = {"hub": hub.url, "python": plain_python, "PYTHONNOUSERSITE": "1"}
        author = {**where, "folder": work / "author", "PYTHONPATH": str(REPOSITORY)}
        user = {**where, "folder": work / "user"}
        run("-c", PUBLISH, work, **author)
        run(REPOSITORY / "scripts" / "push_to_hub.py", "model", "tester/medium", **author)
        run("-c", START + LOAD + LOAD_BY_ID, work, "results.npz", **user)
    run("-c", START + LOAD_BY_ID, work, "offline.npz", **user, HF_HUB_OFFLINE="1")
    return hub, work


@pytest.fixture(scope="module")
def hub(published):
    return published[0]


@pytest.fixture(scope="module")
def folder(published):
    return published[1]


@pytest.fixture(scope="module")
def author(folder):
    """What the author's process says of the package."""
    return json.loads((folder / "author.json").read_text())


@pytest.fixture(scope="module")
def expected(folder):
    """Arrays that the author computed with the package."""
    return np.load(folder / "expected.npz")


@pytest.fixture(scope="module")
def results(folder):
    """Arrays that a user without the package computed."""
    return np.load(folder / "results.npz")


@pytest.fixture(scope="module")
def offline(folder):
    """What the same user computed when the Hub was gone."""
    return np.load(folder / "offline.npz")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def config(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


class TestSavedFolder:
    def test_it_holds_the_model_and_its_code_flat(self, work):
        assert names(work / "saved") - {"__init__.py"} == FILES | CODE

    def test_its_code_is_at_most_16_files(self):
        assert len(CODE) <= 16

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

    def test_a_process_without_the_package_gives_the_same_image(self, work, pipe):
        folder = work / "saved"
        run("-c", REFUSE + START + LOAD_FOLDER, work, folder, hub="http://127.0.0.1:1", folder=work)
        expected = pipe(work / "image.png", reference=work / "reference.png", scale=2.7)
        assert np.array_equal(np.load(work / "result.npy"), np.asarray(expected))
        package, *_ = json.loads((work / "user.json").read_text())
        assert package == []


@pytest.fixture(scope="module")
def tuned(work):
    """A folder as training writes it: a model from a saved pipeline, and an image processor."""
    loaded = pipeline("scs-colorize-sr", model=str(work / "saved"), device="cpu")
    loaded.model.save_pretrained(work / "tuned")
    loaded.image_processor.save_pretrained(work / "tuned")
    return work / "tuned"


class TestFolderOfAModelAlone:
    def test_it_holds_the_code_of_the_pipeline_too(self, tuned):
        assert names(tuned) - {"__init__.py"} == FILES | CODE

    def test_a_process_without_the_package_gives_the_same_image(self, work, tuned, pipe):
        run("-c", REFUSE + START + LOAD_FOLDER, work, tuned, hub="http://127.0.0.1:1", folder=work)
        expected = pipe(work / "image.png", reference=work / "reference.png", scale=2.7)
        assert np.array_equal(np.load(work / "result.npy"), np.asarray(expected))


@pytest.mark.parametrize("folder", ["saved", "tuned"])
class TestInstalledPackage:
    """It needs no `trust_remote_code` for its own task."""

    @pytest.mark.usefixtures("tuned")
    @pytest.mark.parametrize("task", ["scs-colorize-sr", None])
    def test_loads_a_folder_with_its_own_code(self, work, folder, task):
        loaded = pipeline(task, model=str(work / folder), device="cpu")
        assert type(loaded) is scsnet_hf.ScsColorizeSrPipeline
        assert type(loaded.model) is scsnet_hf.SCSNetForImageToImage

    @pytest.mark.usefixtures("tuned")
    def test_loads_a_folder_that_is_trusted(self, work, folder):
        loaded = pipeline(model=str(work / folder), device="cpu", trust_remote_code=True)
        assert type(loaded) is scsnet_hf.ScsColorizeSrPipeline


def imported_outside_of_try(tree: ast.AST):
    """Every import statement that transformers requires to work."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.Try):
            yield from imported_outside_of_try(node)


@pytest.mark.parametrize("name", sorted(CODE))
class TestImports:
    """transformers refuses to load code while any import of any file of it is missing."""

    def test_statements_name_run_time_requirements_or_neighbors(self, name):
        tree = ast.parse((REPOSITORY / "scsnet_hf" / name).read_text())
        for node in imported_outside_of_try(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert node.level == 1
                assert f"{node.module}.py" in CODE
                continue
            modules = [node.module] if isinstance(node, ast.ImportFrom) else node.names
            for module in modules:
                top = getattr(module, "name", module).partition(".")[0]
                assert top in ALLOWED | sys.stdlib_module_names

    def test_transformers_finds_no_others(self, name):  # it searches docstrings as well
        found = set(get_imports(REPOSITORY / "scsnet_hf" / name))
        assert found <= ALLOWED | sys.stdlib_module_names


@pytest.mark.slow
class TestPackageWithItsRequirementsAlone:
    def test_a_star_import_gives_every_public_name(self, author):
        assert author["star"] == sorted(scsnet_hf.__all__)

    def test_dir_lists_the_public_names(self, author):
        assert set(scsnet_hf.__all__) <= set(author["dir"])

    @pytest.mark.parametrize("name", ["ScsColorizeSrPipeline", "embedded_checkpoint"])
    def test_help_shows_public_names(self, author, name):
        assert name in author["help"]


@pytest.mark.slow
class TestWithoutThePackage:
    def test_the_task_is_found_and_the_package_is_not_imported(self, folder):
        package, name, module, task = json.loads((folder / "user.json").read_text())
        assert package == []
        assert (name, task) == ("ScsColorizeSrPipeline", "scs-colorize-sr")
        assert module.startswith("transformers_modules.")

    @pytest.mark.parametrize("source", ["folder", "task", "again"])
    def test_a_saved_pipeline_gives_the_same_image(self, results, expected, source):
        assert np.array_equal(results[source], expected["pipeline"])

    def test_the_published_embedded_checkpoint_gives_the_same_image(self, results, expected):
        assert np.array_equal(results["embedded"], expected["embedded"])

    @pytest.mark.parametrize(
        "source", ["AutoModel", "AutoModelForImageToImage", "pushed_model", "again_AutoModel"]
    )
    def test_a_model_gives_the_same_numbers(self, results, expected, source):
        assert np.array_equal(results[source], expected["model"])

    def test_saving_again_keeps_every_file(self, folder, results):
        assert names(folder / "again") >= FILES | CODE

    def test_saving_again_keeps_the_code(self, folder, results):
        for name in CODE:
            texts = [(folder / where / name).read_text() for where in ("again", "saved")]
            assert texts[0] == texts[1]

    def test_saving_again_keeps_the_weights(self, folder, results):
        saved, again = (
            load_file(folder / name / "model.safetensors") for name in ("saved", "again")
        )
        assert saved.keys() == again.keys()
        assert all(saved[name].equal(again[name]) for name in saved)

    def test_saving_again_still_names_the_pipeline(self, folder, results):
        saved, again = (config(folder / name) for name in ("saved", "again"))
        assert again["custom_pipelines"] == saved["custom_pipelines"]


@pytest.mark.slow
class TestPush:
    @pytest.mark.parametrize("repository", ["tester/pipe", "tester/medium"])
    def test_a_pipeline_is_pushed_with_its_code(self, hub, repository):
        assert set(hub.files(repository)) >= FILES | CODE

    def test_a_model_is_pushed_with_its_code(self, hub):
        code = {"modeling_scsnet.py", "configuration_scsnet.py", "attention.py", "pixel_mapping.py"}
        assert set(hub.files("tester/model")) >= {"config.json", "model.safetensors"} | code

    def test_the_pushed_weights_are_the_saved_ones(self, hub, folder):
        saved = (folder / "saved" / "model.safetensors").read_bytes()
        assert hub.files("tester/model")["model.safetensors"] == saved

    @pytest.mark.parametrize("repository", ["tester/pipe", "tester/medium"])
    def test_the_pushed_config_holds_no_path_of_this_machine(self, hub, folder, repository):
        text = hub.files(repository)["config.json"].decode()
        assert str(REPOSITORY) not in text
        assert str(folder) not in text

    def test_a_second_push_changes_the_weights_alone(self, hub):
        *_, before, after = hub.repositories["tester/pipe"]
        assert {path for path in after if after[path] != before.get(path)} == {"model.safetensors"}


@pytest.mark.slow
class TestRevisions:
    def test_an_older_commit_still_gives_its_image(self, results, expected):
        assert np.array_equal(results["id"], expected["pipeline"])

    def test_without_a_revision_the_newest_is_loaded(self, results, expected):
        assert np.array_equal(results["newest"], expected["changed"])
        assert not np.array_equal(results["newest"], results["id"])

    @pytest.mark.parametrize("source", ["id", "newest"])
    def test_the_cache_gives_the_same_when_the_hub_is_gone(self, results, offline, source):
        assert np.array_equal(offline[source], results[source])
