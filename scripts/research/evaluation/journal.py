"""What measures said of each image, kept so that a run can be interrupted and go on."""

import json
from pathlib import Path
from typing import Any

from scsnet_hf.io.run_settings import begin_or_go_on, write_json
from scsnet_hf.io.saving import save_image

from .pixels import Pixels

_SETTINGS_FILE = "settings.json"
_NUMBERS_FOLDER = "numbers"
_IMAGES_FOLDER = "images"


class Journal:
    """A folder with a file for every image of a run.

    Args:
        folder: made if it is not there.
        settings: what the numbers hang on, as JSON takes it.
        keep_images: also keep truths and results, as `images/METHOD/00000.png`.

    Raises:
        ValueError: if the folder holds a run with other settings.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], keep_images: bool = False):
        self._folder = folder
        self._keep_images = keep_images
        (folder / _NUMBERS_FOLDER).mkdir(parents=True, exist_ok=True)
        begin_or_go_on(folder / _SETTINGS_FILE, settings)

    def read(self, index: int, image: str) -> dict[str, Any] | None:
        """What was written of image `index`; None if nothing was.

        Args:
            index: from 0.
            image: `image_sha256` of the truth.

        Raises:
            ValueError: if it was of another image.
        """
        path = self._path(index)
        if not path.exists():
            return None
        kept = json.loads(path.read_text())
        if kept["image"] != image:
            raise ValueError(
                f"{path}: of another image, so the data have changed: choose a new output folder"
            )
        return kept

    def write(self, index: int, record: dict[str, Any], outcomes: dict[str, Pixels]) -> None:
        """Keep the record of an image, `image` in it, and its images if asked for."""
        if self._keep_images:
            for name, pixels in outcomes.items():
                path = self._folder / _IMAGES_FOLDER / name / f"{index:05}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                save_image(pixels.image, path)
        write_json(self._path(index), record, indent=None)

    def _path(self, index: int) -> Path:
        return self._folder / _NUMBERS_FOLDER / f"{index:05}.json"
