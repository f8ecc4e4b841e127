"""Images for other programs, and their results.

    FOLDER/inputs/00000.png                  the source, gray
    FOLDER/references/own/00000.png          the image itself, flipped and distorted
    FOLDER/references/other/00000.png        the same of another image
    FOLDER/references/protocol/00000.png     that of the two which the protocol asks for, if one
    FOLDER/truth/00000.png                   the image itself

A program writes its result for 00000.png into a folder of its own, also under the name 00000. Its
cost may be there too, as method.json: {"parameters": 33000000, "seconds": 0.25}, per image.
"""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from scsnet_hf.image_io import load_image
from scsnet_hf.io.folders import images_in
from scsnet_hf.io.saving import save_image

from .methods import MODES, REFERENTIAL, Method
from .protocol import EVERY_MODE, REFERENCES, Protocol
from .samples import Sample, enlarge


def write_inputs(samples: Iterable[Sample], folder: Path, protocol: Protocol = EVERY_MODE) -> None:
    """Write the inputs of other programs, and the truths."""
    for sample in samples:
        own, other = (mode in protocol.modes(sample.index) for mode in REFERENCES)
        if own != other:
            path = folder / "references/protocol" / f"{sample.index:05}.png"
            save_image(sample.reference if own else sample.unrelated, path)
        for name, image in (
            ("inputs", sample.gray),
            ("references/own", sample.reference),
            ("references/other", sample.unrelated),
            ("truth", sample.truth),
        ):
            save_image(image, folder / name / f"{sample.index:05}.png")


def external_results(folder: Path, mode: str) -> Method:
    """Return a method that reads the results of another program, resized to the truth's size.

    Args:
        folder: with an image for every sample, named by its number as in `write_inputs`.
        mode: one of `methods.MODES`, or `methods.REFERENTIAL`.

    Raises:
        ValueError: if the mode is unknown, or the folder has no images; and when the method is
            called, if the image of that sample is missing.
    """
    if mode not in (*MODES, REFERENTIAL):
        raise ValueError(f"{folder}: of mode {mode!r}, not {', '.join((*MODES, REFERENTIAL))}")
    images = _by_stem(folder)
    cost = folder / "method.json"
    costs = json.loads(cost.read_text()) if cost.exists() else {}

    def read(sample: Sample) -> Image.Image:
        stem = f"{sample.index:05}"
        if stem not in images:
            raise ValueError(f"{folder}: has no image {stem}")
        return enlarge(load_image(images[stem]).convert("RGB"), sample)

    # The time to read a result is not that of the program.
    return Method(read, mode, costs.get("parameters"), costs.get("seconds", math.nan))


def paired_images(results: Path, truths: Path) -> Iterator[tuple[Image.Image, Image.Image]]:
    """Yield the images of two folders, RGB, paired by their names without suffix.

    Raises:
        ValueError: if one has names that the other has not, or two sizes differ.
    """
    first, second = _by_stem(results), _by_stem(truths)
    unpaired = sorted(first.keys() ^ second.keys())
    if unpaired:
        raise ValueError(
            f"{results} and {truths} must have images of the same names; "
            f"{len(unpaired)} are in one only: {', '.join(unpaired[:3])}"
        )
    for stem, path in first.items():
        result, truth = (load_image(one).convert("RGB") for one in (path, second[stem]))
        if result.size != truth.size:
            sizes = " and ".join("x".join(map(str, one.size)) for one in (result, truth))
            raise ValueError(f"{path} and {second[stem]} must have the same size, not {sizes}")
        yield result, truth


def _by_stem(folder: Path) -> dict[str, Path]:
    images = {str(path.relative_to(folder).with_suffix("")): path for path in images_in(folder)}
    if not images:
        raise ValueError(f"{folder}: there are no images")
    return images
