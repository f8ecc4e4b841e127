"""What all tabs share: the pipeline, the references, results, and limits with their notices."""

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
from scsnet_hf.decoding import split_alpha
from scsnet_hf.image_io import load_image
from scsnet_hf.io.folders import images_in
from scsnet_hf.io.saving import save_image
from scsnet_hf.registration import DEFAULT_CHECKPOINT, load_pipeline

HERE = Path(__file__).parent
EXAMPLES = sorted(map(str, (HERE / "examples").glob("*.jpg")))

LARGEST_SOURCE, LARGEST_OUTPUT = 2_000_000, 16_000_000  # pixels
SHOWN_REFERENCES = 24
UPLOAD_MEGABYTES = 20

_KEPT_SECONDS = 24 * 3600
_REFERENCE_SIDE = 512  # pixels


@dataclass(frozen=True)
class Demonstration:
    """What the tabs work with.

    Args:
        pipe: the pipeline, on one device.
        references: paths of color images to choose from.
        results: where finished results lie.
    """

    pipe: ScsColorizeSrPipeline
    references: tuple[Path, ...]
    results: "Results"

    @classmethod
    def from_environment(cls) -> "Demonstration":
        """As SCSNET_MODEL and SCSNET_REFERENCES say; the embedded checkpoint and ours by default.

        Raises:
            ValueError: if the folder of references is none or holds no images.
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
        """The references, described on first use."""
        return ReferenceGallery(self.pipe, self.references)


def name_of(reference: Path) -> str:
    """What visitors see of a reference: its file's name without suffix."""
    return Path(reference.stem).stem


def _copy_references(files: list[Path], folder: Path, to: Path) -> Iterator[Path]:
    """Copies for visitors, as large as the network looks at, so that no other folder is open."""
    for file in tqdm(files, desc="references", unit="image", disable=len(files) < 100):
        try:
            image = split_alpha(load_image(file))[0].convert("RGB")
        except ImageError as error:
            warnings.warn(f"left out of the references: {error}", stacklevel=2)
            continue
        image.thumbnail((_REFERENCE_SIDE, _REFERENCE_SIDE))
        copy = to / f"{file.relative_to(folder)}.jpg"
        save_image(image, copy)
        yield copy


class Results:
    """Folders of finished results, under names that nobody can guess, for a day."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def create(self) -> Path:
        """A new folder; those older than a day go."""
        for old in self.folder.iterdir():
            if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
        folder = self.folder / secrets.token_hex(16)
        folder.mkdir()
        return folder

    def find(self, name: object) -> Path | None:
        """The folder of a name that `create` gave and a browser has kept, if it is still there."""
        if not isinstance(name, str) or not re.fullmatch(r"[0-9a-f]{32}", name):
            return None
        folder = self.folder / name
        return folder if folder.is_dir() else None


def friendly(function: Callable) -> Callable:
    """What a visitor can mend is told to them in a sentence, without the server's paths."""

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
    """A message that names files, with their names only."""
    return re.sub(r"(?:/[^\s/:]+)+/([^/]+)", r"\1", message)


def read_image(path: str | None, what: str = "image") -> Image.Image:
    """Read an upload.

    Raises:
        ImageError: where there is none, or it cannot be read.
    """
    if not path:
        raise ImageError(f"There is no {what} yet: drop one, or choose an example.")
    return load_image(path)


def read_source(path: str | None, tell: Callable[[str], object] = gr.Warning) -> Image.Image:
    """Read an upload, reduced to what a source may have, which is told to the visitor.

    Raises:
        ImageError: where there is none, or it cannot be read.
    """
    image = read_image(path)
    pixels = image.width * image.height
    if pixels <= LARGEST_SOURCE:
        return image
    factor = (LARGEST_SOURCE / pixels) ** 0.5
    size = (int(image.width * factor), int(image.height * factor))
    tell(
        f"{image.width}x{image.height} was reduced to {size[0]}x{size[1]}: this demonstration "
        f"takes up to {LARGEST_SOURCE / 1e6:g} megapixels. The package itself has no such limit."
    )
    return image.resize(size, Image.Resampling.LANCZOS)


def fitting_scale(
    image: Image.Image, scale: float, tell: Callable[[str], object] = gr.Warning
) -> float:
    """The magnification, or the largest one whose result may be so large; tells the visitor."""
    largest = (LARGEST_OUTPUT / (image.width * image.height)) ** 0.5
    if scale <= largest:
        return scale
    largest = int(largest * 100) / 100
    tell(
        f"Magnification {scale:g} was reduced to {largest:g}: results here have up to "
        f"{LARGEST_OUTPUT / 1e6:g} megapixels."
    )
    return largest
