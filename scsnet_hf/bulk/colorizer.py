"""A pipeline with the arguments of a job."""

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..io.saving import write_image
from ..registration import find_checkpoint, load_pipeline
from .output import Colored

_MODEL_FILES = (".json", ".safetensors", ".onnx")


@dataclass(frozen=True)
class Recipe:
    """What results depend on, besides the images.

    Args:
        model: name of an embedded checkpoint, a folder or a Hub id.
        arguments: of a call of the pipeline, but for the reference.
        reference: encoded image whose colors to use.
        dtype: number format of the network; the model's own if None.
    """

    model: str = "medium"
    arguments: dict[str, Any] = field(default_factory=dict)
    reference: bytes | None = None
    dtype: str | None = None

    def describe(self) -> dict[str, Any]:
        """As JSON takes it: folders and images by their content, not by their name."""
        reference = None if self.reference is None else hashlib.sha256(self.reference).hexdigest()
        described = {"model": _content_of(self.model), "dtype": self.dtype, "reference": reference}
        return {**described, **self.arguments}


class Colorizer:
    """Colorizes encoded images by a recipe.

    Args:
        recipe: the reference is encoded once, here.
        device: as for `transformers.pipeline`.

    Raises:
        ValueError: if the model cannot be loaded, or an argument is wrong.
    """

    def __init__(self, recipe: Recipe, device: str | None = None):
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            self._pipe = load_pipeline(recipe.model, device, recipe.dtype)
        except Exception as error:  # whatever is wrong with a folder, the user needs one line
            raise ValueError(
                f"model {recipe.model}: cannot be loaded{f' on {device}' if device else ''} "
                f"({' '.join(str(error).split())})"
            ) from error
        self._arguments = dict(recipe.arguments)
        self._pipe([], **self._arguments)  # refuses wrong ones
        if recipe.reference is not None:
            self._arguments["reference_tokens"] = self._encode(recipe.reference)

    def _encode(self, reference: bytes) -> Any:
        try:
            return self._pipe.encode_reference(reference)
        except ValueError as error:
            raise ValueError(f"reference: {error}") from error

    def __call__(self, key: str, image: bytes) -> Colored:
        """The result of a row, as PNG; raises what is wrong with the image."""
        result = self._pipe(image, **self._arguments)
        file = io.BytesIO()
        write_image(result, file, "PNG")
        return Colored(key, file.getvalue(), result.width, result.height)


def _content_of(model: str) -> str:
    """SHA-256 of the files of a model here; the id of one on the Hub."""
    folder = Path(find_checkpoint(model))
    if not folder.is_dir():
        return model
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix in _MODEL_FILES:
            digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
