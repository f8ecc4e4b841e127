"""`Segments`: the finished part of a video, in a folder from which a killed run resumes."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ..io.atomic_files import TEMPORARY_PREFIX, replacing
from ..io.run_settings import check_same_settings

SEGMENT_SUFFIX = ".nut"  # a container that keeps any time base exactly

_SETTINGS_FILE = "settings.json"
_STATE_FILE = "state.safetensors"
_PROGRESS_KEY = "progress"  # in the metadata of the state file
_BLOCK = 2**20  # bytes


@dataclass(frozen=True)
class Layout:
    """What all segments of a video share.

    Attributes:
        size: (width, height) in pixels, even.
        time_base: unit of time stamps in seconds.
        rate: frames per second, on average.
        aspect: width of a pixel over its height; None if unknown.
        crf: constant rate factor of x264, 0 (only color resolution is lost) to 51.
    """

    size: tuple[int, int]
    time_base: Fraction
    rate: Fraction
    aspect: Fraction | None
    crf: int


@dataclass
class VideoProgress:
    """How much of a video is finished.

    Attributes:
        segments: number of finished segments.
        frames: number of frames in them.
        size: (width, height) of the first result.
        aspect: pixel aspect ratio, as text; None if unknown.
        last_duration: of the last frame, in units of time stamps.
        damaged: packets of the source that could not be decoded.
        interlaced: whether a frame was marked as interlaced.
        finished: whether all frames are in the segments.
    """

    segments: int = 0
    frames: int = 0
    size: tuple[int, int] | None = None
    aspect: str | None = None
    last_duration: int = 0
    damaged: int = 0
    interlaced: bool = False
    finished: bool = False


class Segments:
    """The folder TARGET.parts beside a video in the making.

    One file, with the progress and the state of the series, decides what counts; it is replaced
    when a segment is complete. So a process may be killed at any moment.

    Example:
        >>> segments = Segments(Path("new.mp4"), {"quality": 16})
        >>> progress, state = segments.load()

    Args:
        target: the video.
        settings: everything that the video depends on, as JSON values.

    Raises:
        ValueError: if the folder belongs to a run with other settings.
    """

    def __init__(self, target: Path, settings: dict[str, Any]):
        self._target = target
        self._folder = target.with_name(f"{target.name}.parts")
        self._settings = settings
        self._settings_file = self._folder / _SETTINGS_FILE
        if self._settings_file.exists():
            check_same_settings(self._settings_file, settings)

    def load(self) -> tuple[VideoProgress, dict[str, torch.Tensor]]:
        """Return the progress of an earlier run, and the state of its series."""
        path = self._folder / _STATE_FILE
        if not path.exists():
            return VideoProgress(), {}
        with safe_open(path, framework="pt") as file:
            progress = VideoProgress(**json.loads(file.metadata()[_PROGRESS_KEY]))
            progress.size = progress.size and tuple(progress.size)
            return progress, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def save(self, progress: VideoProgress, state: dict[str, torch.Tensor]) -> None:
        """Record that the segments of `progress` are complete."""
        check_same_settings(self._settings_file, self._settings)
        with replacing(self._folder / _STATE_FILE) as temporary:
            save_file(state, temporary, {_PROGRESS_KEY: json.dumps(asdict(progress))})

    def path(self, index: int) -> Path:
        """Return the file of a segment, counted from 0."""
        return self._folder / f"{index:06}{SEGMENT_SUFFIX}"

    @property
    def joined(self) -> Path:
        """The file to join the segments into; searches of folders pass over it."""
        return self._folder / f"{TEMPORARY_PREFIX}draft{self._target.suffix}"

    def finish(self) -> None:
        """Move the joined video to its target, and remove the folder."""
        self.joined.replace(self._target)
        # Renamed first, so that no run takes half a folder for the segments of a video.
        removed = self._folder.with_name(f"{TEMPORARY_PREFIX}{self._folder.name}")
        self._folder.rename(removed)
        shutil.rmtree(removed)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 hash of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
