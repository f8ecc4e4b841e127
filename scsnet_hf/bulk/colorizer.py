"""The pipeline with the settings of a job."""

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..io.saving import write_image
from ..registration import find_checkpoint, load_pipeline
from .output import Colorized

_MODEL_SUFFIXES = (".json", ".safetensors")


@dataclass(frozen=True)
class ColorizerSettings:
    """What results depend on besides the images.

        ColorizerSettings("small", {"scale": 2.0}, reference=Path("modern.jpg").read_bytes())

    Args:
        model: name of an embedded checkpoint, a folder or a Hub id.
        arguments: arguments of a call of the pipeline, except for the reference.
        reference: encoded image whose colors to use.
        dtype: number format of the network; None for the model's own.
    """

    model: str = "medium"
    arguments: dict[str, Any] = field(default_factory=dict)
    reference: bytes | None = None
    dtype: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; models in a folder and images are identified by their content."""
        reference = None if self.reference is None else hashlib.sha256(self.reference).hexdigest()
        model = {"model": _identify(self.model), "dtype": self.dtype, "reference": reference}
        return {**model, **self.arguments}


class Colorizer:
    """Colorizes encoded images.

    Args:
        settings: settings of the job.
        device: device as for `transformers.pipeline`.

    Raises:
        ValueError: if the model cannot be loaded, or an argument is wrong.
    """

    def __init__(self, settings: ColorizerSettings, device: str | None = None):
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            self._pipe = load_pipeline(settings.model, device, settings.dtype)
        except Exception as error:  # whatever is wrong with a folder, the user needs one line
            raise ValueError(
                f"model {settings.model}: cannot be loaded{f' on {device}' if device else ''} "
                f"({' '.join(str(error).split())})"
            ) from error
        self._arguments = dict(settings.arguments)
        self._pipe([], **self._arguments)  # refuses wrong arguments
        if settings.reference is not None:
            try:
                tokens = self._pipe.encode_reference(settings.reference)
            except ValueError as error:
                raise ValueError(f"reference: {error}") from error
            self._arguments["reference_tokens"] = tokens

    def __call__(self, key: str, image: bytes) -> Colorized:
        """Return the result of a row; raise what is wrong with the image."""
        result = self._pipe(image, **self._arguments)
        file = io.BytesIO()
        write_image(result, file, "PNG")
        return Colorized(key, file.getvalue(), result.width, result.height)


def _identify(model: str) -> str:
    """Return the SHA-256 of the files of a model in a folder; the id of one on the Hub."""
    folder = Path(find_checkpoint(model))
    if not folder.is_dir():
        return model
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix in _MODEL_SUFFIXES:
            digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
