"""Which checkpoint of a run is complete and can be resumed.

A checkpoint is written file by file, and the run may be killed at any of them. So its last file
lists all others with their sizes, and is written atomically; a folder that does not agree with its
list is not a checkpoint.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..configuration_scsnet import SCSNetConfig
from ..io.run_settings import write_json

_LIST_FILE = "complete.json"


class CheckpointError(OSError):
    """A checkpoint that could not be written."""


def checkpoint_folder(run: str | Path, step: int) -> Path:
    """Return the folder of the checkpoint that the Trainer writes at a step."""
    return Path(run) / f"checkpoint-{step}"


def mark_complete(folder: Path) -> None:
    """Write the list of all files of a checkpoint: path within it -> bytes."""
    sizes = {
        str(file.relative_to(folder)): file.stat().st_size
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / _LIST_FILE
    }
    write_json(folder / _LIST_FILE, sizes)


def is_complete(folder: Path) -> bool:
    """Return whether a checkpoint has all the files that were written, with their sizes."""
    try:
        sizes = json.loads((folder / _LIST_FILE).read_text())
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def last_complete_checkpoint(run: str | Path) -> Path | None:
    """Return the newest complete checkpoint of a run, None if there is none."""
    folders = {
        int(match[1]): folder
        for folder in Path(run).glob("checkpoint-*")
        if (match := re.fullmatch(r"checkpoint-(\d+)", folder.name))
    }
    complete = (folders[step] for step in sorted(folders, reverse=True))
    return next((folder for folder in complete if is_complete(folder)), None)


def check_same_network(folder: Path, config: SCSNetConfig) -> None:
    """Raise ValueError if the network of a checkpoint differs from `config`, naming the fields."""
    # Through JSON, which has no tuples.
    ours, theirs = (
        json.loads(one.to_json_string(use_diff=False))
        for one in (config, SCSNetConfig.from_pretrained(folder))
    )
    fields = [name for name in type(config).__annotations__ if name in ours]
    different = [name for name in fields if ours[name] != theirs[name]]
    if different:
        raise ValueError(
            f"{folder} is of another network, which differs in {', '.join(different)}: use the "
            "same preset, or another output folder"
        )


def check_finite(values: dict[str, torch.Tensor], step: int, run: str | Path) -> None:
    """Raise FloatingPointError, with the names and the last checkpoint, if a value is not finite.

    Args:
        values: name -> scalar of a training step.
        step: number of the step.
        run: folder of the run.
    """
    finite = torch.stack([value.detach().float() for value in values.values()]).isfinite().tolist()
    if all(finite):
        return
    broken = [name for name, good in zip(values, finite, strict=True) if not good]
    raise FloatingPointError(
        f"step {step}: {', '.join(broken)} not finite. The last good checkpoint is "
        f"{last_complete_checkpoint(run)}; resume from it with a smaller learning rate, or without "
        "fp16"
    )


@contextmanager
def remove_on_failure(folder: Path, is_main: bool = True) -> Iterator[None]:
    """Remove the remains of a checkpoint if writing it fails in the block.

    Args:
        folder: the checkpoint.
        is_main: whether this process is the one that removes them.

    Raises:
        CheckpointError: for any error in the block, with the last complete checkpoint.
    """
    try:
        yield
    except Exception as error:
        if is_main:
            shutil.rmtree(folder, ignore_errors=True)
        last = last_complete_checkpoint(folder.parent)
        kept = f"the last complete one is {last}" if last else "there is none before it"
        raise CheckpointError(
            f"checkpoint {folder} could not be written ({error}); {kept}"
        ) from error
