"""The numbers of each image of a run, kept so that it can be interrupted and resumed."""

import json
from pathlib import Path
from typing import Any

from scsnet_hf.io.run_settings import check_same_settings, write_json
from scsnet_hf.io.saving import save_image

from .pixels import Pixels


class RunFolder:
    """A folder with a file for every image of a run.

    Args:
        folder: made if it does not exist.
        settings: everything that the numbers depend on, as JSON values.
        keep_images: also keep truths and results, as `images/METHOD/00000.png`.

    Raises:
        ValueError: if the folder belongs to a run with other settings.

    Example:
        >>> evaluate(samples, methods, metrics, run_folder=RunFolder(Path("run"), {"seed": 0}))
    """

    def __init__(self, folder: Path, settings: dict[str, Any], keep_images: bool = False):
        self._folder = folder
        self._keep_images = keep_images
        (folder / "numbers").mkdir(parents=True, exist_ok=True)
        check_same_settings(folder / "settings.json", settings)

    def read(self, index: int, sha256: str) -> dict[str, Any] | None:
        """Read the record of an image, None if there is none.

        Args:
            index: of the image, from 0.
            sha256: `image_sha256` of the truth.

        Raises:
            ValueError: if the record is of another image.
        """
        path = self._path(index)
        if not path.exists():
            return None
        record = json.loads(path.read_text())
        if record["sha256"] != sha256:
            raise ValueError(
                f"{path}: of another image, so the data have changed: choose a new output folder"
            )
        return record

    def write(self, index: int, record: dict[str, Any], images: dict[str, Pixels]) -> None:
        """Keep the record of an image, which includes `sha256`, and its results if asked for."""
        if self._keep_images:
            for name, pixels in images.items():
                save_image(pixels.image, self._folder / "images" / name / f"{index:05}.png")
        write_json(self._path(index), record, indent=None)

    def _path(self, index: int) -> Path:
        return self._folder / "numbers" / f"{index:05}.json"
