"""Images to files of any format, atomically."""

import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ..decoding import split_alpha
from ..tiling import Strips
from .atomic_files import replacing
from .formats import check_quality, check_writable_suffix, format_of
from .lossless import STRIP_FORMATS, STRIP_MODES, write_strips
from .metadata import Metadata

_OPAQUE_FORMATS = ("JPEG", "PPM", "BMP")
_STREAMED_PIXELS = 2**26  # from so many on, a result is written while it is computed


def keeps_16_bits(path: Path) -> bool:
    """Return whether the format of a file, by its suffix, keeps 16 bits a channel here."""
    return format_of(path) in STRIP_FORMATS


def save_image(
    image: Image.Image | np.ndarray,
    path: str | Path,
    quality: int | None = None,
    metadata: Metadata | None = None,
) -> None:
    """Write an image atomically, in the format of the suffix of `path`.

    Args:
        image: a Pillow image, or (H, W, 3 or 4) uint16 for 16 bits a channel, which only PNG and
            TIFF hold. In a format without transparency it is put on white.
        path: the file; missing folders are created.
        quality: 1 to 100 for JPEG, WebP and AVIF. None is lossless for WebP and loses as little as
            the format allows in others: 95 with full color resolution (JPEG), 100 (AVIF).
        metadata: of the source, to carry over.

    Raises:
        ValueError: if the format cannot be written, has no quality or does not hold 16 bits.
        OSError: if the file cannot be written; an earlier file stays as it was.
    """
    path = Path(path)
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
    """Write an image to an open file.

    Args:
        image: see `save_image`.
        file: open for writing, TIFF also for reading.
        image_format: Pillow's name of the format.
        quality: see `save_image`.
        metadata: of the source, to carry over.

    Raises:
        ValueError: if the format does not hold 16 bits.
    """
    arguments = metadata.save_arguments(image_format) if metadata else {}
    if metadata and image_format == "TIFF" and isinstance(image, Image.Image):
        # Pillow compresses with libtiff, which takes no EXIF directories.
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if isinstance(image, np.ndarray) and image_format not in STRIP_FORMATS:
        raise ValueError(f"{image_format} does not hold 16 bits a channel, PNG and TIFF do")
    if image_format in STRIP_FORMATS and _has_channels(image):
        profile = getattr(image, "info", {}).get("icc_profile")  # Pillow would write it too
        arguments = {"icc_profile": profile} | arguments
        write_strips(Strips.from_image(image), file, image_format, arguments)
        return
    arguments |= encoding_arguments(image_format, quality)
    fit_to_format(image, image_format).save(file, image_format, **arguments)


def _has_channels(image: Image.Image | np.ndarray) -> bool:
    """Whether an image is RGB or RGBA, without a transparent color."""
    if isinstance(image, np.ndarray):
        return True
    has_transparent_color = image.mode == "RGB" and image.has_transparency_data
    return image.mode in STRIP_MODES.values() and not has_transparent_color


def write_result(
    strips: Strips,
    file: BinaryIO,
    image_format: str,
    quality: int | None = None,
    metadata: Metadata | None = None,
) -> None:
    """Write a result to an open file; a large PNG or TIFF is written while it is computed.

    Args:
        strips: the result.
        file, image_format, quality, metadata: see `write_image`.
    """
    if strips.pixels < _STREAMED_PIXELS or image_format not in STRIP_FORMATS:
        write_image(strips.to_image(), file, image_format, quality, metadata)
        return
    arguments = metadata.save_arguments(image_format) if metadata else {}
    write_strips(strips, file, image_format, arguments)


def fit_to_format(image: Image.Image, image_format: str) -> Image.Image:
    """Return an image as a format can hold it: on white, if it holds no transparency.

    A pixel of a GIF is either transparent or opaque; it is opaque if it was so by half or more.
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
    """Quantize to 255 colors and one transparent index, declared even if it is not used."""
    indices = colors.convert("RGB").quantize(255)
    indices.paste(255, mask=alpha.point(lambda level: 255 * (level < 128)))
    indices.info["transparency"] = 255
    return indices


def encoding_arguments(image_format: str, quality: int | None) -> dict[str, Any]:
    """Return keyword arguments of `PIL.Image.Image.save` for a quality, see `save_image`."""
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
