"""Which checkpoint of a run is complete.

A checkpoint is written file by file, and the run may be killed at any of them. So its last file
lists all others with their sizes, under a temporary name first; a folder that does not agree with
its list is not a checkpoint.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..configuration_scsnet import SCSNetConfig

_LIST_FILE = "complete.json"


class CheckpointError(OSError):
    """A checkpoint that could not be written."""


def checkpoint_folder(run: str | Path, step: int) -> Path:
    """Where the Trainer writes the checkpoint of `step`."""
    return Path(run) / f"checkpoint-{step}"


def mark_complete(folder: Path) -> None:
    """Write the list of all files of `folder`: path within it -> bytes."""
    temporary = folder / f".{_LIST_FILE}"
    sizes = {
        str(file.relative_to(folder)): file.stat().st_size
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file not in (temporary, folder / _LIST_FILE)
    }
    temporary.write_text(json.dumps(sizes, indent=1))
    temporary.replace(folder / _LIST_FILE)


def is_complete(folder: Path) -> bool:
    """Whether every file that was written is there in full."""
    try:
        sizes = json.loads((folder / _LIST_FILE).read_text())
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def last_complete_checkpoint(run: str | Path) -> Path | None:
    """The newest checkpoint of a run that is complete, or None."""
    folders = {
        int(match[1]): folder
        for folder in Path(run).glob("checkpoint-*")
        if (match := re.fullmatch(r"checkpoint-(\d+)", folder.name))
    }
    complete = (folders[step] for step in sorted(folders, reverse=True))
    return next((folder for folder in complete if is_complete(folder)), None)


def differing_fields(folder: Path, config: SCSNetConfig) -> list[str]:
    """Names of what the network of a checkpoint has other than `config` says."""
    # Through JSON, which knows no tuples.
    ours, theirs = (
        json.loads(one.to_json_string(use_diff=False))
        for one in (config, SCSNetConfig.from_pretrained(folder))
    )
    fields = [name for name in type(config).__annotations__ if name in ours]
    return [name for name in fields if ours[name] != theirs[name]]


@contextmanager
def removed_on_failure(folder: Path, is_main: bool = True) -> Iterator[None]:
    """While a checkpoint is written: if that fails, remove its remains and say what is left.

    Args:
        folder: of the checkpoint.
        is_main: whether this is the process that removes them.

    Raises:
        CheckpointError: instead of whatever went wrong.
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
