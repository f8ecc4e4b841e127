"""`Parts`: what is finished of a video, in a folder, so that a killed run can go on."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ..io.atomic_files import TEMPORARY_PREFIX, replacing
from ..io.run_settings import begin_or_go_on

SEGMENT_SUFFIX = ".nut"  # a container that keeps any time base exactly

_SETTINGS_FILE = "settings.json"
_STATE_FILE = "state.safetensors"
_PROGRESS = "progress"  # key of the metadata of the state
_BLOCK = 2**20  # bytes


@dataclass
class Progress:
    """How far a video is.

    Attributes:
        segments: finished files.
        frames: frames in them.
        size: (width, height) of the first result.
        aspect: of a pixel, as text; None if not known.
        last_duration: of the last frame, in units of time stamps.
        damaged: packets of the source that could not be decoded.
        interlaced: whether a frame was marked as two fields.
        finished: whether that is all.
    """

    segments: int = 0
    frames: int = 0
    size: tuple[int, int] | None = None
    aspect: str | None = None
    last_duration: int = 0
    damaged: int = 0
    interlaced: bool = False
    finished: bool = False


class Parts:
    """The folder TARGET.parts beside a video that is being made.

    What counts is in one file, the progress and the state of the series, which is replaced when a
    segment is complete. So a process may die at any moment.

    Args:
        target: the video.
        settings: what the video hangs on, as JSON takes it.

    Raises:
        ValueError: if the folder holds a video with other settings.
    """

    def __init__(self, target: Path, settings: dict[str, Any]):
        self._target = target
        self._folder = target.with_name(f"{target.name}.parts")
        self._settings = settings
        self._kept = self._folder / _SETTINGS_FILE
        if self._kept.exists():
            begin_or_go_on(self._kept, settings)

    def load(self) -> tuple[Progress, dict[str, torch.Tensor]]:
        """How far an earlier run came, and the state of its series then."""
        path = self._folder / _STATE_FILE
        if not path.exists():
            return Progress(), {}
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads(file.metadata()[_PROGRESS]))
            progress.size = progress.size and tuple(progress.size)
            return progress, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def save(self, progress: Progress, state: dict[str, torch.Tensor]) -> None:
        """Note that the segments of `progress` are complete."""
        begin_or_go_on(self._kept, self._settings)
        with replacing(self._folder / _STATE_FILE) as temporary:
            save_file(state, temporary, {_PROGRESS: json.dumps(asdict(progress))})

    def segment(self, index: int) -> Path:
        """The file of a segment, from 0."""
        return self._folder / f"{index:06}{SEGMENT_SUFFIX}"

    @property
    def draft(self) -> Path:
        """A file in the folder with the suffix of the video, which no search of folders finds."""
        return self._folder / f"{TEMPORARY_PREFIX}draft{self._target.suffix}"

    def deliver(self) -> None:
        """Move the draft to the place of the video, and remove the folder."""
        self.draft.replace(self._target)
        # Renamed first, so that no run takes half a folder for parts of a video.
        done = self._folder.with_name(f"{TEMPORARY_PREFIX}{self._folder.name}")
        self._folder.rename(done)
        shutil.rmtree(done)


def file_sha256(path: Path) -> str:
    """Of what a file holds."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
