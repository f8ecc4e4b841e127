"""Formats of image files that are written, by the suffixes of their names."""

from pathlib import Path

from PIL import Image

WRITABLE_SUFFIXES = frozenset(".jpg .jpeg .png .apng .webp .tif .tiff .bmp .gif .ppm .avif".split())
LOSSY_FORMATS = ("JPEG", "WEBP", "AVIF")
_LARGEST_SIDES = {"JPEG": 65500, "WEBP": 16383, "AVIF": 65536, "GIF": 65535}  # as encoders allow


def check_writable_suffix(path: Path) -> None:
    """Raise ValueError unless the suffix of `path` is that of a format that can be written."""
    if path.suffix.lower() not in WRITABLE_SUFFIXES:
        raise ValueError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}; "
            f"use one of {' '.join(sorted(WRITABLE_SUFFIXES))}"
        )


def check_size(size: tuple[int, int], path: Path) -> None:
    """Raise ValueError if the format of `path` does not hold (width, height)."""
    (width, height), largest = size, _LARGEST_SIDES.get(format_of(path))
    if largest is not None and max(size) > largest:
        raise ValueError(
            f"{path}: {path.suffix} holds at most {largest} pixels a side, the result has "
            f"{width}x{height}; use .png or .tif, or make it smaller"
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
