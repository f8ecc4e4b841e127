"""Images that go out to other programs, and come back.

    FOLDER/inputs/00000.png                  the source, gray
    FOLDER/references/own/00000.png          the image itself, flipped and distorted
    FOLDER/references/other/00000.png        that of another image
    FOLDER/truth/00000.png                   what is to come out

What a program makes of 00000.png lies in a folder of its own, named 00000 too.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from scsnet_hf.image_io import load_image
from scsnet_hf.io.folders import images_in
from scsnet_hf.io.saving import save_image

from .methods import Method
from .samples import Sample, enlarged


def write_inputs(samples: Iterable[Sample], folder: Path) -> None:
    """Write what other programs are to restore."""
    for sample in samples:
        for name, image in (
            ("inputs", sample.gray),
            ("references/own", sample.reference),
            ("references/other", sample.unrelated),
            ("truth", sample.truth),
        ):
            save_image(image, folder / name / f"{sample.index:05}.png")


def made_elsewhere(folder: Path, mode: str) -> Method:
    """Images that another program has made, resized to the truth's size by the bicubic kernel.

    Args:
        folder: with an image for every sample, named by its number as in `write_inputs`.
        mode: one of `methods.MODES`.

    Raises:
        ValueError: if the folder has no images; and when an image is wanted, if it is missing.
    """
    images = _by_stem(folder)

    def restore(sample: Sample) -> Image.Image:
        stem = f"{sample.index:05}"
        if stem not in images:
            raise ValueError(f"{folder}: has no image {stem}")
        return enlarged(load_image(images[stem]).convert("RGB"), sample)

    return Method(restore, mode)


def pairs_of(results: Path, truths: Path) -> Iterator[tuple[Image.Image, Image.Image]]:
    """The images of two folders, RGB, paired by their names without suffix.

    Raises:
        ValueError: if one has names that the other has not, or two sizes differ.
    """
    first, second = _by_stem(results), _by_stem(truths)
    alone = sorted(first.keys() ^ second.keys())
    if alone:
        raise ValueError(
            f"{results} and {truths} must have images of the same names; "
            f"{len(alone)} lie in one only: {', '.join(alone[:3])}"
        )
    for stem, path in first.items():
        pair = tuple(load_image(one).convert("RGB") for one in (path, second[stem]))
        if pair[0].size != pair[1].size:
            sizes = " and ".join("x".join(map(str, one.size)) for one in pair)
            raise ValueError(f"{path} and {second[stem]} must have one size, not {sizes}")
        yield pair


def _by_stem(folder: Path) -> dict[str, Path]:
    images = {str(path.relative_to(folder).with_suffix("")): path for path in images_in(folder)}
    if not images:
        raise ValueError(f"{folder}: there are no images")
    return images
