"""The numbers of each image of a run, kept so that it can be interrupted and resumed."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from scsnet_hf.io.atomic_files import replacing
from scsnet_hf.io.run_settings import check_same_settings, write_json
from scsnet_hf.io.saving import save_image

from .metrics import Numbers
from .pixels import Pixels


class RunFolder:
    """A folder with a JSON file for every image of a run, and an .npz file for arrays.

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
        arrays = path.with_suffix(".npz")
        if arrays.exists():
            with np.load(arrays) as kept:
                for name, array in kept.items():
                    index, method, key = json.loads(name)
                    record["numbers"][index].setdefault(method, {})[key] = array
        return record

    def write(self, index: int, record: dict[str, Any], images: dict[str, Pixels]) -> None:
        """Keep the record of an image, which includes `sha256`, and its results if asked for."""
        if self._keep_images:
            for name, pixels in images.items():
                save_image(pixels.image, self._folder / "images" / name / f"{index:05}.png")
        plain, arrays = _separate_arrays(record["numbers"])
        if arrays:
            path = self._path(index).with_suffix(".npz")
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.savez(file, **arrays)
        write_json(self._path(index), {**record, "numbers": plain}, indent=None)

    def _path(self, index: int) -> Path:
        return self._folder / "numbers" / f"{index:05}.json"


def _separate_arrays(
    numbers: list[dict[str, Numbers]],
) -> tuple[list[dict[str, Numbers]], dict[str, np.ndarray]]:
    """Return the numbers of all metrics without arrays, and the arrays by place in JSON."""
    plain: list[dict[str, Numbers]] = [{} for _ in numbers]
    arrays = {}
    for index, methods in enumerate(numbers):
        for method, values in methods.items():
            plain[index][method] = {}
            for key, value in values.items():
                if isinstance(value, np.ndarray):
                    arrays[json.dumps([index, method, key])] = value
                else:
                    plain[index][method][key] = value
    return plain, arrays
