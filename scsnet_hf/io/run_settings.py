"""Small JSON files of runs that can be resumed, and the check that settings did not change."""

import json
from pathlib import Path
from typing import Any

from .atomic_files import replacing


def write_json(path: Path, content: Any, indent: int | None = 2) -> None:
    """Write a JSON file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent) + "\n")


def check_same_settings(path: Path, settings: dict[str, Any]) -> None:
    """Record the settings of a new run, or check that a resumed run has the recorded ones.

    Args:
        path: JSON file in the folder of the run; written if it does not exist.
        settings: everything that the results depend on, as JSON values.

    Raises:
        ValueError: if the recorded settings differ; the message names each difference.
    """
    if not path.exists():
        write_json(path, settings)
        return
    recorded, given = json.loads(path.read_text()), json.loads(json.dumps(settings))
    changes = [
        f"{name} {recorded.get(name)}, now {given.get(name)}"
        for name in {**recorded, **given}
        if recorded.get(name) != given.get(name)
    ]
    if changes:
        raise ValueError(
            f"{path.parent}: belongs to another run, started with {'; '.join(changes)}; "
            "use the same settings, choose a new folder, or remove this one"
        )
