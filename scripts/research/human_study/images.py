"""Folders of images, one for each method, and their copies under neutral names."""

import random
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from scsnet_hf.image_io import load_image
from scsnet_hf.io.folders import images_in

Images = dict[str, dict[str, Path]]  # files by the name of the image and by method

_MOST_NAMED = 3


def find_images(folders: Mapping[str, Path], count: int | None = None, seed: int = 0) -> Images:
    """Find the images that all folders have, by name.

    Folders are searched recursively; a name is the path inside the folder without its suffix,
    because a method may have written another format than that of the truth.

    Args:
        folders: by method.
        count: number of images to choose at random, None for all.
        seed: of that choice.

    Raises:
        ValueError: if a folder does not exist or lacks an image of another one, if two of its
            images have the same name, or if there are fewer than `count`.
    """
    files = {method: _files_by_name(folder) for method, folder in folders.items()}
    names = sorted(set().union(*files.values()))
    for method, folder in folders.items():
        missing = [name for name in names if name not in files[method]]
        if missing:
            raise ValueError(f"{folder}: lacks {_summary(missing)}, which another folder has")
    if count is not None:
        if not 1 <= count <= len(names):
            raise ValueError(f"cannot choose {count} of {len(names)} images")
        names = random.Random(f"{seed} images").sample(names, count)
    return {name: {method: files[method][name] for method in folders} for name in names}


def _files_by_name(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ValueError(f"{folder}: is not a folder")
    files: dict[str, Path] = {}
    for file in images_in(folder):
        name = file.relative_to(folder).with_suffix("").as_posix()
        if not name.isprintable():
            raise ValueError(f"{folder}: the name {name!r} has control characters")
        if name in files:
            raise ValueError(f"{folder}: {files[name].name} and {file.name} have the same name")
        files[name] = file
    if not files:
        raise ValueError(f"{folder}: has no images")
    return files


def _summary(names: list[str]) -> str:
    named = ", ".join(names[:_MOST_NAMED])
    more = len(names) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def copy_images(files: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Copy an image of each method as PNG to a random name, so that nothing reveals the method.

    Args:
        files: of one image, by method.
        folder: for the copies.

    Returns:
        The copies, by method.

    Raises:
        ImageError: if one cannot be read.
        ValueError: if they differ in size: a browser would enlarge with a kernel of its own.
    """
    images = {method: load_image(file) for method, file in files.items()}
    _check_sizes(files, [image.size for image in images.values()])
    copies = {}
    for method, image in images.items():
        copies[method] = folder / f"{secrets.token_hex(16)}.png"
        image.info = {}  # or profiles and text would be written too
        image.save(copies[method], compress_level=1)
    return copies


def _check_sizes(files: Mapping[str, Path], sizes: Iterable[tuple[int, int]]) -> None:
    (first, size), *others = zip(files.values(), sizes, strict=True)
    for file, other in others:
        if other != size:
            raise ValueError(
                f"{file}: is {other[0]}x{other[1]}, but {first} is {size[0]}x{size[1]}"
            )
