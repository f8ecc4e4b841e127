"""Published folders: staged, checked, and pushed to a loopback Hub."""

import configparser
import shutil
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from packaging.version import Version
from transformers import pipeline

from helpers.fake_hub import run_python, running_hub
from helpers.images import make_image
from publishing import (
    check_model_card,
    check_space,
    describe,
    list_files,
    stage_model,
    stage_space,
)
from scsnet_hf import ScsColorizeSrPipeline, embedded_checkpoint

REPOSITORY = Path(__file__).parent.parent.parent
LICENSE = REPOSITORY / "LICENSE"
SECRET = "hf_secretsecretsecret"
CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: image-to-image
tags:
  - image-colorization
model-index:
  - name: toy
    results:
      - task:
          type: image-to-image
        dataset:
          type: photographs
          name: ten photographs
        metrics:
          - type: psnr
            value: 20.5
---
# Toy

![An image](images/one.png) and ![another](https://example.org/two.png)
"""
SPACE_CARD = """\
---
title: toy
license: apache-2.0
sdk: gradio
sdk_version: 6.31.0
app_file: app.py
---
"""


def build_card(folder: Path, text: str = CARD) -> Path:
    (folder / "images").mkdir(parents=True)
    make_image(8, 8).save(folder / "images" / "one.png")
    card = folder / "model_card.md"
    card.write_text(text)
    return card


def build_space(folder: Path, card: str = SPACE_CARD) -> Path:
    (folder / "examples").mkdir(parents=True)
    make_image(8, 8).save(folder / "examples" / "old.png")
    make_image(8, 8).save(folder / "before_after.png")
    for cache in ("__pycache__", ".gradio"):
        (folder / cache).mkdir()
        (folder / cache / "kept").write_text("")
    (folder / "app.py").write_text("import gradio\n")
    (folder / "requirements.txt").write_text("torch\n")
    (folder / "README.md").write_text(card)
    return folder


class TestModelCard:
    def test_the_project_s_card_is_valid(self):
        check_model_card(REPOSITORY / "model_card.md")

    def test_a_card_without_results_is_valid(self, tmp_path):
        text = CARD[: CARD.index("model-index")] + CARD[CARD.index("---\n# Toy") :]
        check_model_card(build_card(tmp_path, text))

    @pytest.mark.parametrize(
        ("right", "wrong", "message"),
        [
            ("license: apache-2.0\n", "", "no license"),
            ("library_name: transformers\n", "", "no library_name"),
            ("pipeline_tag: image-to-image\n", "", "no pipeline_tag"),
            ("tags:\n  - image-colorization\n", "", "no tags"),
            ("value: 20.5", "value: 20.5 dB", "psnr is '20.5 dB', not a number"),
            ("        dataset:\n", "        data:\n", "dataset"),
            ("license: apache-2.0", "license: [", "model_card.md"),
            ("---\nlicense", "license", "no license; no library_name; no pipeline_tag; no tags"),
            ("images/one.png", "images/none.png", "no image images/none.png"),
            ("images/one.png", "../one.png", r"no image \.\./one.png"),
        ],
    )
    def test_every_problem_is_named(self, tmp_path, right, wrong, message):
        make_image(8, 8).save(tmp_path / "one.png")
        card = build_card(tmp_path / "project", CARD.replace(right, wrong))
        with pytest.raises(ValueError, match=message):
            check_model_card(card)


class TestSpaceCard:
    def test_the_project_s_space_is_valid(self):
        check_space(REPOSITORY / "space")

    @pytest.mark.parametrize(
        ("right", "wrong", "message"),
        [
            ("title: toy\n", "", "no title"),
            ("title: toy", "title: A toy", "title 'A toy' is not the name"),
            ("sdk: gradio", "sdk: docker", "sdk is 'docker'"),
            ("sdk_version: 6.31.0\n", "", "no sdk_version"),
            ("6.31.0", "6.10", "put it in quotes"),
            ("app_file: app.py", "app_file: main.py", "no file main.py"),
        ],
    )
    def test_every_problem_is_named(self, tmp_path, right, wrong, message):
        space = build_space(tmp_path / "space", SPACE_CARD.replace(right, wrong))
        with pytest.raises(ValueError, match=message):
            check_space(space)

    def test_its_requirements_are_those_of_the_package(self):
        setup = configparser.ConfigParser()
        setup.read(REPOSITORY / "setup.cfg")
        installed = setup["options"]["install_requires"] + setup["options.extras_require"]["space"]
        required = (REPOSITORY / "space" / "requirements.txt").read_text()
        assert sorted(required.split()) == sorted(installed.split())

    @pytest.mark.parametrize("name", ["README.md", "requirements.txt"])
    def test_a_missing_file_is_named(self, tmp_path, name):
        space = build_space(tmp_path / "space")
        (space / name).unlink()
        with pytest.raises(ValueError, match=name):
            check_space(space)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The model repository of `medium`, with the project's card."""
    folder = tmp_path_factory.mktemp("staged") / "model"
    stage_model("medium", REPOSITORY / "model_card.md", LICENSE, folder)
    return folder


class TestStagedModel:
    def test_it_holds_model_code_card_and_license(self, model):
        assert {
            "config.json",
            "model.safetensors",
            "preprocessor_config.json",
            "modeling_scsnet.py",
            "pipeline_scsnet.py",
            "LICENSE",
        } <= set(list_files(model))
        assert (model / "README.md").read_bytes() == (REPOSITORY / "model_card.md").read_bytes()

    def test_the_card_shows_its_images(self, model):
        shown = [path for path in list_files(model) if path.endswith(".png")]
        assert shown
        for path in shown:
            assert (model / path).read_bytes() == (REPOSITORY / path).read_bytes()

    def test_the_weights_are_as_small_as_the_embedded_ones(self, model):
        embedded = Path(embedded_checkpoint("medium"), "model.safetensors")
        assert (model / "model.safetensors").stat().st_size == embedded.stat().st_size

    def test_it_gives_the_image_of_the_embedded_checkpoint(self, model):
        image = make_image(24, 16)
        results = [
            pipeline(
                "scs-colorize-sr",
                model=str(folder),
                pipeline_class=ScsColorizeSrPipeline,
                device="cpu",
            )(image)
            for folder in (model, embedded_checkpoint("medium"))
        ]
        assert np.array_equal(*map(np.asarray, results))

    def test_a_folder_with_files_is_refused(self, tmp_path, tiny_checkpoint):
        with pytest.raises(ValueError, match="not empty"):
            stage_model(str(tiny_checkpoint), build_card(tmp_path / "p"), LICENSE, tiny_checkpoint)

    def test_a_bad_card_stages_nothing(self, tmp_path, tiny_checkpoint):
        card = build_card(tmp_path / "project", "# No metadata\n")
        with pytest.raises(ValueError, match="no license"):
            stage_model(str(tiny_checkpoint), card, LICENSE, tmp_path / "staged")
        assert not (tmp_path / "staged").exists()


@pytest.fixture
def space(tmp_path):
    """The Space repository of a toy."""
    stage_space(build_space(tmp_path / "space"), LICENSE, tmp_path / "staged")
    return tmp_path / "staged"


class TestStagedSpace:
    def test_it_holds_the_space_and_the_license_but_no_images_of_documents(self, space):
        own = {path for path in list_files(space) if not path.startswith("scsnet_hf/")}
        assert own == {"LICENSE", "README.md", "app.py", "examples/old.png", "requirements.txt"}

    def test_it_holds_the_package_without_caches(self, space):
        files = {path for path in list_files(space) if path.startswith("scsnet_hf/")}
        assert {"scsnet_hf/__init__.py", "scsnet_hf/checkpoints/medium/config.json"} <= files
        assert not any("__pycache__" in path or "research" in path for path in files)

    def test_its_package_is_the_one_an_app_there_imports(self, space, tmp_path):
        program = "import scsnet_hf; print(scsnet_hf.embedded_checkpoint())"
        finished = run_python("-c", program, hub="http://127.0.0.1:1", folder=space)
        assert finished.stdout.strip() == str(space / "scsnet_hf" / "checkpoints" / "medium")


class TestDescribe:
    def test_it_is_one_line_without_the_token(self, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", SECRET)
        text = describe(ValueError(f"Illegal header value\n  'Bearer {SECRET}'"))
        assert text == "Illegal header value 'Bearer (token)'"


@pytest.fixture
def hub():
    with running_hub() as hub:
        yield hub


@pytest.fixture
def project(tmp_path):
    """A copy of the project's script beside a toy card and a toy Space."""
    project = tmp_path / "project"
    build_card(project)
    build_space(project / "space")
    (project / "scripts").mkdir()
    for name in ("push_to_hub.py", "publishing.py"):
        shutil.copy(REPOSITORY / "scripts" / name, project / "scripts")
    shutil.copy(LICENSE, project)
    return project


@pytest.fixture
def push(project, hub):
    """Runs the script, checks its exit code, and gives its output."""

    def push(*arguments, code: int = 0, **environment) -> str:
        environment = {"HF_TOKEN": SECRET, "PYTHONPATH": str(REPOSITORY), **environment}
        script = project / "scripts" / "push_to_hub.py"
        finished = run_python(script, *arguments, hub=hub.url, folder=project, **environment)
        output = finished.stdout + finished.stderr
        assert finished.returncode == code, output
        assert SECRET not in output
        assert "Traceback" not in output
        return output

    return push


SPACE = "spaces/tester/toy"
PUSH_SPACE = ("space", "tester/toy")


@pytest.mark.skipif(
    Version(huggingface_hub.__version__) < Version("2.2"),
    reason="it has cards checked by huggingface.co, whatever HF_ENDPOINT says",
)
class TestPush:
    @pytest.mark.slow
    def test_a_model_arrives_with_its_card(self, push, hub, project, tiny_checkpoint):
        card = project / "model_card.md"
        push("model", "tester/toy", "--checkpoint", tiny_checkpoint, "--card", card)
        files = hub.files("tester/toy")
        weights = (tiny_checkpoint / "model.safetensors").read_bytes()
        assert files["model.safetensors"] == weights
        assert files["README.md"] == card.read_bytes()
        assert {"images/one.png", "pipeline_scsnet.py", "LICENSE"} <= set(files)

    def test_a_space_arrives_and_its_revision_is_printed(self, push, hub, space):
        output = push(*PUSH_SPACE)
        assert set(hub.files(SPACE)) == set(list_files(space))
        assert f"{hub.url}/{SPACE} is at revision {hub.revisions(SPACE)[-1]}" in output

    def test_a_second_push_sends_what_changed(self, push, hub, project):
        push(*PUSH_SPACE)
        hub.sent.clear()
        push(*PUSH_SPACE)
        assert not hub.sent
        assert len(hub.repositories[SPACE]) == 2  # the empty one it was created with, and one more
        (project / "space" / "app.py").write_text("import gradio as gr\n")
        push(*PUSH_SPACE)
        assert hub.sent == ["app.py"]
        assert hub.files(SPACE)["app.py"] == b"import gradio as gr\n"

    def test_an_interrupted_push_resumes(self, push, hub):
        hub.breaks_at_commit = True
        assert "500" in push(*PUSH_SPACE, code=1)
        large = set(hub.sent)
        assert len(large) == 2  # the weights of both embedded checkpoints
        hub.breaks_at_commit = False
        hub.sent.clear()
        push(*PUSH_SPACE)
        assert "app.py" in hub.sent
        assert not large & set(hub.sent)

    def test_old_modules_are_deleted_and_files_of_others_kept(self, push, hub):
        hub.repositories[SPACE] = [{"scsnet_hf/old.py": b"", "notes.txt": b"", "tool.py": b""}]
        push(*PUSH_SPACE)
        assert "scsnet_hf/old.py" not in hub.files(SPACE)
        assert {"notes.txt", "tool.py", "scsnet_hf/cli.py"} <= set(hub.files(SPACE))

    def test_a_private_repository_is_created(self, push, hub):
        push(*PUSH_SPACE, "--private")
        assert hub.private == {SPACE}

    def test_private_is_refused_for_a_public_repository(self, push, hub):
        hub.repositories[SPACE] = [{}]
        assert "public already" in push(*PUSH_SPACE, "--private", code=1)
        assert not hub.sent

    def test_the_hub_s_message_about_the_card_is_printed(self, push, hub):
        hub.invalid_cards = True
        assert "is not allowed" in push(*PUSH_SPACE, code=1)
        assert not hub.repositories

    def test_a_refused_token_is_not_shown(self, push, hub):
        hub.refused_tokens.add(SECRET)
        assert "Invalid username or password" in push(*PUSH_SPACE, code=1)

    def test_a_garbled_token_is_not_shown(self, push):
        push(*PUSH_SPACE, code=1, HF_TOKEN=f"{SECRET}\N{BULLET}")

    def test_without_a_token_it_says_how_to_log_in(self, push, hub):
        assert "hf auth login" in push(*PUSH_SPACE, code=1, HF_TOKEN=None)
        assert not hub.requests

    def test_a_hub_out_of_reach_is_one_line(self, push):
        output = push(*PUSH_SPACE, code=1, HF_ENDPOINT="http://127.0.0.1:1")
        assert output.splitlines()[-1].startswith("push_to_hub.py: ")

    @pytest.mark.slow
    def test_gradio_deploys_the_same_folder(self, push, hub, project, tmp_path):
        push(*PUSH_SPACE, "--dry-run", "--stage", "staged")
        staged = project / "staged"
        program = "from gradio.cli import cli; cli()"
        home = str(tmp_path / "home")
        where = {"hub": hub.url, "folder": staged, "HF_HOME": home, "HF_TOKEN": SECRET}
        finished = run_python("-c", program, "deploy", **where)
        assert finished.returncode == 0, finished.stderr
        assert set(hub.files(SPACE)) == set(list_files(staged))


class TestDryRun:
    def test_it_lists_everything_and_makes_no_request(self, push, hub, project):
        output = push(*PUSH_SPACE, "--dry-run", "--stage", "staged", HF_TOKEN=None)
        sizes = list_files(project / "staged")
        for path, size in sizes.items():
            assert f"{size:,}  {path}\n" in output
        assert f"{len(sizes)} files, {sum(sizes.values()):,} bytes" in output
        assert "space tester/toy" in output
        assert not hub.requests


class TestArguments:
    @pytest.mark.parametrize("name", ["toy", "tester/to y", "a/b/c"])
    def test_a_wrong_name_is_refused(self, push, name):
        assert name in push("space", name, code=2)

    def test_other_checkpoints_need_a_card_of_their_own(self, push):
        assert "--card" in push("model", "tester/toy", "--checkpoint", "small", code=2)

    def test_a_token_is_neither_taken_nor_shown(self, push):
        assert "--token" in push(*PUSH_SPACE, f"--token={SECRET}", code=2)
        assert "--token" in push(*PUSH_SPACE, "--token", SECRET, code=2)
