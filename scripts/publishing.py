"""Model and Space as folders for the Hub: checked, staged and sent.

A folder is staged completely before anything is sent. What a repository already has is not sent
again, so a second push sends what changed, and an interrupted one resumes where it was.
"""

import re
import shutil
from pathlib import Path

import yaml
from huggingface_hub import HfApi, ModelCard, SpaceCard, get_token
from huggingface_hub.repocard import RepoCard
from huggingface_hub.utils import validate_repo_id

import scsnet_hf
from scsnet_hf.registration import find_checkpoint, load_pipeline

CARD = "README.md"  # the name under which the Hub looks for a card
_IMAGE = re.compile(r"!\[[^\]]*\]\((?!https?:)([^)\s]+)")
_PACKAGE = Path(scsnet_hf.__file__).parent


def check_model_card(card: Path) -> None:
    """Check the metadata of a model card, and that the images it shows exist.

    Raises:
        ValueError: with everything that is missing or wrong.
    """
    data = _load(ModelCard, card).data
    problems = _missing(data, "license", "library_name", "pipeline_tag", "tags")
    for result in data.eval_results or []:
        if not isinstance(result.metric_value, int | float):
            problems.append(f"{result.metric_type} is {result.metric_value!r}, not a number")
    for image in _images(card):
        file = (card.parent / image).resolve()
        # Inside the card's folder, so that it has the same place in the repository.
        if not file.is_file() or not file.is_relative_to(card.parent.resolve()):
            problems.append(f"no image {image} beside the card")
    _raise(card, problems)


def check_space(space: Path) -> None:
    """Check the metadata of a Space's card, and the files by which the Hub starts it.

    Raises:
        ValueError: with everything that is missing or wrong.
    """
    card = space / CARD
    data = _load(SpaceCard, card).data
    problems = _missing(data, "title", "license", "sdk", "sdk_version", "app_file")
    if data.title and not re.fullmatch(r"[\w.-]+", data.title):
        problems.append(
            f"title {data.title!r} is not the name of a repository, as `gradio deploy` needs"
        )
    if data.sdk and data.sdk != "gradio":
        problems.append(f"sdk is {data.sdk!r}, not 'gradio'")
    if data.sdk_version and not isinstance(data.sdk_version, str):  # 6.10 would become 6.1
        problems.append(f"sdk_version {data.sdk_version!r} is a number: put it in quotes")
    for name in filter(None, (data.app_file, "requirements.txt")):
        if not (space / name).is_file():
            problems.append(f"no file {name} in the Space")
    _raise(card, problems)


def stage_model(checkpoint: str, card: Path, license_file: Path, folder: Path) -> None:
    """Put a model repository together: a saved pipeline, its card with images, and the license.

    Args:
        checkpoint: name of an embedded checkpoint, a folder, or a Hub id.
        card: Markdown file with metadata; its images are beside it or in folders there.
        license_file: copied unchanged.
        folder: new or empty.

    Raises:
        ValueError: on a card that `check_model_card` refuses, or a folder with files in it.
        OSError: if the checkpoint is not found.
    """
    from transformers.utils import cached_file

    check_model_card(card)
    _make_empty(folder)
    source = find_checkpoint(checkpoint)
    if not Path(source).exists():
        validate_repo_id(source)
    load_pipeline(source, "cpu").save_pretrained(folder)
    # The pipeline saves float32; the checkpoint's own file may hold the same numbers in half of it.
    shutil.copyfile(cached_file(source, "model.safetensors"), folder / "model.safetensors")
    shutil.copyfile(license_file, folder / "LICENSE")
    shutil.copyfile(card, folder / CARD)
    for image in _images(card):
        target = folder / image
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(card.parent / image, target)


def stage_space(space: Path, license_file: Path, folder: Path) -> None:
    """Put a Space repository together: the Space and the package `scsnet_hf` beside its app.

    Images at the top of `space` belong to documents and are left out.

    Args:
        space: folder with the app, its card README.md and requirements.txt.
        license_file: copied unchanged.
        folder: new or empty.

    Raises:
        ValueError: on a Space that `check_space` refuses, or a folder with files in it.
    """
    check_space(space)
    _make_empty(folder)

    def left_out(parent: str, names: list[str]) -> set[str]:
        hidden = {name for name in names if name.startswith(".") or name == "__pycache__"}
        at_top = Path(parent) == space
        return hidden | {name for name in names if at_top and name.endswith(".png")}

    shutil.copytree(space, folder, ignore=left_out, dirs_exist_ok=True)
    shutil.copytree(_PACKAGE, folder / _PACKAGE.name, ignore=left_out)
    shutil.copyfile(license_file, folder / "LICENSE")


def list_files(folder: Path) -> dict[str, int]:
    """Return the path and size in bytes of every file, in order of the paths."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def send(folder: Path, repository: str, kind: str, *, private: bool = False) -> str:
    """Update a Hub repository to a staged folder; create it if it does not exist.

    Files of others are kept. In a Space, modules and checkpoints that the package no longer has
    are deleted.

    Args:
        folder: result of `stage_model` or `stage_space`.
        repository: "USER/NAME".
        kind: "model" or "space".
        private: create a private repository.

    Returns:
        The hash of the newest commit, for `revision`.

    Raises:
        ValueError: if the Hub refuses the card, or `private` is given for a public repository.
        huggingface_hub.errors.HfHubHTTPError: if the Hub refuses something else.
    """
    is_space = kind == "space"
    RepoCard.load(folder / CARD).validate(repo_type=kind)
    api = HfApi()
    api.create_repo(
        repository,
        repo_type=kind,
        private=private or None,
        space_sdk="gradio" if is_space else None,
        exist_ok=True,
    )
    if private and not api.repo_info(repository, repo_type=kind).private:
        raise ValueError(f"{repository} is public already: nothing was sent")
    commit = api.upload_folder(
        repo_id=repository,
        repo_type=kind,
        folder_path=folder,
        commit_message=f"Update the {'Space' if is_space else 'model'}",
        delete_patterns=f"{_PACKAGE.name}/*" if is_space else None,
    )
    return commit.oid


def describe(error: BaseException) -> str:
    """Return an error as one line without the user's token."""
    text = " ".join(f"{error}".split()) or type(error).__name__
    token = get_token()
    return text.replace(token, "(token)") if token else text


def _load(kind: type[RepoCard], card: Path) -> RepoCard:
    if not card.is_file():
        raise ValueError(f"{card}: not found")
    try:
        return kind.load(card)
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise ValueError(f"{card}: {describe(error)}") from error


def _missing(data, *names: str) -> list[str]:
    return [f"no {name}" for name in names if not data.get(name)]


def _raise(card: Path, problems: list[str]) -> None:
    if problems:
        raise ValueError(f"{card}: {'; '.join(problems)}")


def _images(card: Path) -> list[str]:
    """Images that a card shows by paths relative to itself."""
    return sorted(set(_IMAGE.findall(card.read_text(encoding="utf-8"))))


def _make_empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: remove it or name another")
