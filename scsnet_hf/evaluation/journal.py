"""What measures said of each picture, kept so that a run can be interrupted and go on."""

import json
from pathlib import Path
from typing import Any

from ..files.saving import save_picture
from ..kept_settings import begin_or_go_on, write_json
from .pixels import Pixels

_SETTINGS_FILE = "settings.json"
_NUMBERS_FOLDER = "numbers"
_PICTURES_FOLDER = "pictures"


class Journal:
    """A folder with a file for every picture of a run.

    Args:
        folder: made if it is not there.
        settings: what the numbers hang on, as JSON takes it.
        keep_pictures: also keep truths and results, as `pictures/METHOD/00000.png`.

    Raises:
        ValueError: if the folder holds a run with other settings.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], keep_pictures: bool = False):
        self._folder = folder
        self._keep_pictures = keep_pictures
        (folder / _NUMBERS_FOLDER).mkdir(parents=True, exist_ok=True)
        begin_or_go_on(folder / _SETTINGS_FILE, settings)

    def read(self, index: int, picture: str) -> dict[str, Any] | None:
        """What was written of picture `index`; None if nothing was.

        Args:
            index: from 0.
            picture: `picture_sha256` of the truth.

        Raises:
            ValueError: if it was of another picture.
        """
        path = self._path(index)
        if not path.exists():
            return None
        kept = json.loads(path.read_text())
        if kept["picture"] != picture:
            raise ValueError(
                f"{path}: of another picture, so the data have changed: choose a new output folder"
            )
        return kept

    def write(self, index: int, record: dict[str, Any], outcomes: dict[str, Pixels]) -> None:
        """Keep the record of a picture, `picture` in it, and its pictures if asked for."""
        if self._keep_pictures:
            for name, pixels in outcomes.items():
                path = self._folder / _PICTURES_FOLDER / name / f"{index:05}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                save_picture(pixels.picture, path)
        write_json(self._path(index), record, indent=None)

    def _path(self, index: int) -> Path:
        return self._folder / _NUMBERS_FOLDER / f"{index:05}.json"
