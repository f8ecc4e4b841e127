"""Formats of image files that are written, by the suffixes of their names."""

from pathlib import Path

from PIL import Image

WRITABLE_SUFFIXES = frozenset(".jpg .jpeg .png .apng .webp .tif .tiff .bmp .gif .ppm .avif".split())
LOSSY_FORMATS = ("JPEG", "WEBP", "AVIF")


def check_writable_suffix(path: Path) -> None:
    """Raise ValueError unless the suffix of `path` is that of a format that can be written."""
    if path.suffix.lower() not in WRITABLE_SUFFIXES:
        raise ValueError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}; "
            f"use one of {' '.join(sorted(WRITABLE_SUFFIXES))}"
        )


def check_quality(quality: int | None, path: Path) -> None:
    """Raise ValueError unless `quality` is None, or 1 to 100 for a lossy format."""
    if quality is None:
        return
    if not 1 <= quality <= 100:
        raise ValueError(f"quality={quality}: must be from 1 to 100")
    if format_of(path) not in LOSSY_FORMATS:
        raise ValueError(
            f"{path}: {path.suffix} is lossless and has no quality; use .jpg, .webp or .avif"
        )


def format_of(path: Path) -> str:
    """Return Pillow's name of the format of a file, by its suffix."""
    return Image.registered_extensions()[path.suffix.lower()]
