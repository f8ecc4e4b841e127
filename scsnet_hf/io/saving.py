"""Images out: files of any format, written whole or not at all."""

import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ..decoding import split_alpha
from ..tiling import Strips
from .atomic_files import replacing
from .lossless import STRIP_FORMATS, STRIP_MODES, write_strips
from .metadata import Metadata

WRITABLE_SUFFIXES = frozenset(".jpg .jpeg .png .apng .webp .tif .tiff .bmp .gif .ppm .avif".split())
LOSSY_FORMATS = ("JPEG", "WEBP", "AVIF")

_OPAQUE_FORMATS = ("JPEG", "PPM", "BMP")
_LARGE = 2**26  # pixels


def check_writable_suffix(path: Path) -> None:
    """Raise ValueError unless the suffix of `path` names a format that can be written."""
    if path.suffix.lower() not in WRITABLE_SUFFIXES:
        raise ValueError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}; "
            f"use one of {' '.join(sorted(WRITABLE_SUFFIXES))}"
        )


def check_quality(quality: int | None, path: Path) -> None:
    """Raise ValueError unless `quality` is None, or 1 to 100 for a format that has one."""
    if quality is None:
        return
    if not 1 <= quality <= 100:
        raise ValueError(f"quality={quality}: must be from 1 to 100")
    if format_of(path) not in LOSSY_FORMATS:
        raise ValueError(
            f"{path}: {path.suffix} has no quality, nothing is lost; use .jpg, .webp or .avif"
        )


def format_of(path: Path) -> str:
    """The name that Pillow has for the format of a file, by its suffix."""
    return Image.registered_extensions()[path.suffix.lower()]


def holds_deep(path: Path) -> bool:
    """Whether a file with this suffix keeps 16 bits a channel."""
    return format_of(path) in STRIP_FORMATS


def save_image(
    image: Image.Image | np.ndarray,
    path: Path,
    quality: int | None = None,
    metadata: Metadata | None = None,
) -> None:
    """Write an image in the format of the suffix: to a temporary name, then renamed.

    Args:
        image: an image of Pillow, or (H, W, 3 or 4) uint16 for 16 bits a channel, which PNG and
            TIFF hold. A format without transparency gets it on white.
        path: file; missing folders are made.
        quality: 1 to 100 for JPEG, WebP and AVIF. Without it nothing is lost (WebP), or as little
            as the format allows: 95 and full color resolution (JPEG), 100 (AVIF).
        metadata: of the source, to be carried over.

    Raises:
        ValueError: if the format cannot be written, has no quality or not so many bits.
        OSError: if the file cannot be written; what was there before stays.
    """
    check_writable_suffix(path)
    check_quality(quality, path)
    with replacing(path) as temporary, temporary.open("wb+") as file:
        write_image(image, file, format_of(path), quality, metadata)


def write_image(
    image: Image.Image | np.ndarray,
    file: BinaryIO,
    image_format: str,
    quality: int | None = None,
    metadata: Metadata | None = None,
) -> None:
    """As `save_image`, into an open file, in a format as Pillow names it."""
    arguments = metadata.save_arguments(image_format) if metadata else {}
    if metadata and image_format == "TIFF" and isinstance(image, Image.Image):
        # Pillow compresses with libtiff, which takes no directories of EXIF.
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if isinstance(image, np.ndarray) and image_format not in STRIP_FORMATS:
        raise ValueError(f"{image_format} does not hold 16 bits a channel, PNG and TIFF do")
    if image_format in STRIP_FORMATS and _has_channels(image):
        profile = getattr(image, "info", {}).get("icc_profile")  # which Pillow would write too
        arguments = {"icc_profile": profile} | arguments
        write_strips(Strips.from_image(image), file, image_format, arguments)
        return
    arguments |= encoding_arguments(image_format, quality)
    fitting(image, image_format).save(file, image_format, **arguments)


def _has_channels(image: Image.Image | np.ndarray) -> bool:
    """Whether an image is of colors, and transparent by a channel if at all."""
    if isinstance(image, np.ndarray):
        return True
    by_color = image.mode == "RGB" and image.has_transparency_data
    return image.mode in STRIP_MODES.values() and not by_color


def write_result(
    strips: Strips,
    file: BinaryIO,
    image_format: str,
    quality: int | None = None,
    metadata: Metadata | None = None,
) -> None:
    """As `write_image`; PNG and TIFF of a large image are written while it is computed."""
    if strips.pixels < _LARGE or image_format not in STRIP_FORMATS:
        write_image(strips.to_image(), file, image_format, quality, metadata)
        return
    arguments = metadata.save_arguments(image_format) if metadata else {}
    write_strips(strips, file, image_format, arguments)


def fitting(image: Image.Image, image_format: str) -> Image.Image:
    """An image as the format can hold it: on white, where it has no transparency.

    Pixels of a GIF are transparent or not; those at least half opaque are not.
    """
    colors, alpha = split_alpha(image)
    if alpha is None:
        return image
    if image_format == "GIF":
        return _with_transparent_index(colors, alpha)
    if image_format not in _OPAQUE_FORMATS:
        return image
    opaque = Image.new(colors.mode, image.size, "white")
    opaque.paste(colors, mask=alpha)
    return opaque


def _with_transparent_index(colors: Image.Image, alpha: Image.Image) -> Image.Image:
    """255 colors and one more index for what is transparent, declared also where nothing is."""
    indices = colors.convert("RGB").quantize(255)
    indices.paste(255, mask=alpha.point(lambda level: 255 * (level < 128)))
    indices.info["transparency"] = 255
    return indices


def encoding_arguments(image_format: str, quality: int | None) -> dict[str, Any]:
    """How Pillow is to encode, see `save_image`."""
    if image_format == "JPEG":
        return {"quality": 95, "subsampling": 0} if quality is None else {"quality": quality}
    if image_format == "WEBP":
        return {"lossless": True, "exact": True} if quality is None else {"quality": quality}
    if image_format == "AVIF":
        lossy = {"quality": 100, "subsampling": "4:4:4"}
        return lossy if quality is None else {"quality": quality}
    if image_format == "TIFF":
        return {"compression": "tiff_adobe_deflate"}
    if image_format == "PNG":
        return {"compress_type": zlib.Z_RLE}  # a fifth of the time of zlib's default, 2 % larger
    return {}
