"""Shared by all tabs: the pipeline, the references, results, and limits with their notices."""

import functools
import os
import re
import secrets
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import gradio as gr
import torch
from PIL import Image
from tqdm import tqdm

from scsnet_hf import ImageError, ReferenceGallery, ScsColorizeSrPipeline
from scsnet_hf.image_io import load_image
from scsnet_hf.image_processing_scsnet import drop_alpha
from scsnet_hf.io.folders import images_in
from scsnet_hf.io.saving import save_image
from scsnet_hf.registration import DEFAULT_CHECKPOINT, load_pipeline

HERE = Path(__file__).parent
EXAMPLES = sorted(map(str, (HERE / "examples").glob("*.jpg")))

LARGEST_SOURCE, LARGEST_OUTPUT = 2_000_000, 16_000_000  # pixels
THINNEST = 1000  # times as long as wide
SHOWN_REFERENCES = 24
UPLOAD_MEGABYTES = 20

_KEPT_SECONDS = 24 * 3600
_REFERENCE_SIDE = 512  # pixels


@dataclass(frozen=True)
class Demonstration:
    """The pipeline and the folders that the tabs work with.

    Args:
        pipe: the pipeline, on one device.
        references: paths of color images to choose from.
        results: where finished results are kept.

    Example:
        >>> demonstration = Demonstration.from_environment()
        >>> app.build(demonstration).launch()
    """

    pipe: ScsColorizeSrPipeline
    references: tuple[Path, ...]
    results: "Results"

    @classmethod
    def from_environment(cls) -> "Demonstration":
        """Load the model of SCSNET_MODEL and the references of the folder SCSNET_REFERENCES.

        Without these variables it is the embedded checkpoint and the folder `references`.

        Raises:
            ValueError: if the folder of references does not exist or holds no images.
            OSError: if the model is not found.
        """
        pipe = load_pipeline(os.environ.get("SCSNET_MODEL", DEFAULT_CHECKPOINT))
        folder = Path(os.environ.get("SCSNET_REFERENCES", HERE / "references"))
        files = list(images_in(folder))
        temporary = Path(os.environ["GRADIO_TEMP_DIR"])
        references = tuple(_copy_references(files, folder, temporary / "references"))
        if not references:
            raise ValueError(f"SCSNET_REFERENCES={folder}: holds no images that can be read")
        return cls(pipe, references, Results(temporary / "results"))

    @cached_property
    def gallery(self) -> ReferenceGallery:
        """The references, embedded on first use."""
        return ReferenceGallery(self.pipe, self.references)


def caption_for(reference: Path) -> str:
    """Return the name of a reference that visitors see: its file's name without suffixes."""
    return Path(reference.stem).stem


def _copy_references(files: list[Path], folder: Path, to: Path) -> Iterator[Path]:
    """Copy references, reduced to what is needed, so that no other folder is served."""
    for file in tqdm(files, desc="references", unit="image", disable=len(files) < 100):
        try:
            image = drop_alpha(load_image(file)).convert("RGB")
        except ImageError as error:
            warnings.warn(f"left out of the references: {error}", stacklevel=2)
            continue
        image.thumbnail((_REFERENCE_SIDE, _REFERENCE_SIDE))
        copy = to / f"{file.relative_to(folder)}.jpg"
        save_image(image, copy)
        yield copy


class Results:
    """Folders of finished results under names that nobody can guess, kept for a day.

    Args:
        folder: where they are; created if it does not exist.

    Example:
        >>> folder = Results(Path("results")).create()
    """

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def create(self) -> Path:
        """Create a folder, and delete those older than a day."""
        for old in self.folder.iterdir():
            if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
        folder = self.folder / secrets.token_hex(16)
        folder.mkdir()
        return folder

    def find(self, name: object) -> Path | None:
        """Return the folder that `create` gave this name, None if there is none (any more)."""
        if not isinstance(name, str) or not re.fullmatch(r"[0-9a-f]{32}", name):
            return None
        folder = self.folder / name
        return folder if folder.is_dir() else None


def show_errors(function: Callable) -> Callable:
    """Show a visitor the errors they can correct as a sentence without the server's paths."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise gr.Error(without_folders(str(error)), print_exception=False) from error
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise gr.Error(
                "This was too much for the memory: choose a smaller size.", print_exception=False
            ) from error

    return wrapped


def without_folders(message: str) -> str:
    """Return a message with the names of files in place of their paths."""
    return re.sub(r"(?:/[^\s/:]+)+/([^/]+)", r"\1", message)


def read_image(path: str | None, what: str = "image") -> Image.Image:
    """Read an upload.

    Args:
        path: of the upload, None without one.
        what: name of the input, for the message.

    Raises:
        ImageError: if nothing was uploaded, or it cannot be read or is too thin.
    """
    if not path:
        raise ImageError(f"There is no {what} yet: drop one, or choose an example.")
    image = load_image(path)
    if max(image.size) > THINNEST * min(image.size):
        raise ImageError(
            f"{image.width}x{image.height} is too thin for this demonstration: one side may be "
            f"{THINNEST:,} times as long as the other. Crop it first."
        )
    return image


def read_source(path: str | None, notify: Callable[[str], object] = gr.Warning) -> Image.Image:
    """Read an upload, and reduce it to the size that sources may have.

    Args:
        path: of the upload, None without one.
        notify: called with a message if the image is reduced.

    Raises:
        ImageError: as `read_image`.
    """
    image = read_image(path)
    pixels = image.width * image.height
    if pixels <= LARGEST_SOURCE:
        return image
    factor = (LARGEST_SOURCE / pixels) ** 0.5
    size = (int(image.width * factor), int(image.height * factor))
    notify(
        f"{image.width}x{image.height} was reduced to {size[0]}x{size[1]}: this demonstration "
        f"takes up to {LARGEST_SOURCE / 1e6:g} megapixels. The package itself has no such limit."
    )
    return image.resize(size, Image.Resampling.LANCZOS)


def limit_scale(
    image: Image.Image, scale: float, notify: Callable[[str], object] = gr.Warning
) -> float:
    """Return the magnification, reduced with a notice where the result would be too large."""
    largest = (LARGEST_OUTPUT / (image.width * image.height)) ** 0.5
    if scale <= largest:
        return scale
    largest = int(largest * 100) / 100
    notify(
        f"Magnification {scale:g} was reduced to {largest:g}: results here have up to "
        f"{LARGEST_OUTPUT / 1e6:g} megapixels."
    )
    return largest
