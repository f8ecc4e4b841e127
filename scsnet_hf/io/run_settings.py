"""Runs that can go on where they were: what they were begun with, and small files of theirs."""

import json
from pathlib import Path
from typing import Any

from .atomic_files import replacing


def write_json(path: Path, content: Any, indent: int | None = 2) -> None:
    """Write a JSON file under its name only once it is whole."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent) + "\n")


def begin_or_go_on(path: Path, settings: dict[str, Any]) -> None:
    """Write what a run is begun with, or check that it goes on with the same.

    Args:
        path: JSON file in the folder of the run.
        settings: all that its results hang on, as JSON takes it.

    Raises:
        ValueError: if the file is there and says something else; it tells what.
    """
    if not path.exists():
        write_json(path, settings)
        return
    kept, given = json.loads(path.read_text()), json.loads(json.dumps(settings))
    changes = [
        f"{name} {kept.get(name)}, now {given.get(name)}"
        for name in {**kept, **given}
        if kept.get(name) != given.get(name)
    ]
    if changes:
        raise ValueError(
            f"{path.parent}: holds another run, begun with {'; '.join(changes)}; "
            "give the same, choose a new folder, or remove this one"
        )
