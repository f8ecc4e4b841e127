"""Arguments of a call of the pipeline: defaults, checks, and the size of the output."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real  # of numpy too
from types import GeneratorType
from typing import Any

from PIL import Image, ImageColor

from .image_io import load_image

DEFAULT_SCALE = 4.0  # the paper's setting
MIN_SCALE, MAX_SCALE = 0.5, 16.0
MAX_SATURATION = 4
LUMINANCES = ("network", "source")
OUTPUT_TYPE_OF_DEPTH = {8: "np", 16: "np16"}  # bits per channel: of the image processor


def output_size_of(source_size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return (round(H p), round(W p)), each at least 1; a half is rounded to the even number."""
    height, width = source_size
    return max(1, round(height * scale)), max(1, round(width * scale))


def exact_scale(scale: float | None) -> float:
    """Return the magnification, 4 by default, as an int where it is one.

    Exported code cannot round a product of a float and a size that is free.
    """
    scale = DEFAULT_SCALE if scale is None else scale
    return int(scale) if float(scale).is_integer() else scale


class Default:
    """A default in the signature of a call, where it is shown as its value.

    It differs from the same value given by the caller: that one takes precedence over
    `pipeline(..., saturation=0)`, a default does not.
    """

    def __init__(self, value: Any):
        self.value = value

    def __repr__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True)
class OutputSize:
    """How large the output is: given by one of the three, or by a magnification of 4.

    Args:
        scale: magnification, 0.5 to 16.
        size: (width, height) in pixels.
        long_side: pixels of the longer side; the aspect ratio is kept.

    Raises:
        ValueError: if a value is out of its range, or more than one is given.
    """

    scale: float | None = None
    size: tuple[int, int] | None = None
    long_side: int | None = None

    def __post_init__(self):
        given = [name for name, value in vars(self).items() if value is not None]
        if len(given) > 1:
            raise ValueError(
                f"give only one of scale, size and long_side, not {' and '.join(given)}"
            )
        if self.scale is not None:
            _check_number("scale", self.scale, MIN_SCALE, MAX_SCALE)
        if self.size is not None:
            if not isinstance(self.size, tuple | list) or len(self.size) != 2:
                raise ValueError(
                    f"size={self.size!r}: give (width, height) in pixels, such as size=(512, 384), "
                    "or long_side=512 for the longer side alone"
                )
            for side in self.size:
                _check_pixels("size", side)
        if self.long_side is not None:
            _check_pixels("long_side", self.long_side)

    def size_for(self, image: Image.Image) -> tuple[int, int]:
        """Return (Ho, Wo) for a source, of which only `width` and `height` are used."""
        if self.size is not None:
            width, height = self.size
            return height, width
        source_size = (image.height, image.width)
        if self.long_side is not None:
            return output_size_of(source_size, self.long_side / max(source_size))
        return output_size_of(source_size, DEFAULT_SCALE if self.scale is None else self.scale)


# Rows: images with what belongs to them alone


def as_row(image: Any) -> Mapping[str, Any]:
    """Return an image as a dict with the key `image`, unless it is one."""
    return image if isinstance(image, Mapping) else {"image": image}


def with_own(name: str, images: list, values: Any) -> list[dict]:
    """Pair every image with its `reference` or its `hints`.

    Raises:
        ValueError: if `values` is not a list with one entry for each.
    """
    several = isinstance(values, list | tuple)
    if not several or len(values) != len(images):
        given = f"{len(values)} {name.rstrip('s')}s" if several else name
        for_all = "one for all, or " if name == "reference" else ""
        raise ValueError(
            f"{given} for {len(images)} images: give {for_all}a list with one for each"
        )
    return [{**as_row(image), name: own} for image, own in zip(images, values, strict=True)]


def with_hints(image: Any, hints: Any) -> dict:
    """Pair one image with its hints.

    Raises:
        ValueError: if it is a generator or data set.
    """
    from torch.utils.data import Dataset  # later than the command, which is faster without torch

    if isinstance(image, GeneratorType | Dataset) or is_table(image):
        raise ValueError(
            "hints: those of a generator or data set belong into its items, dicts with the keys "
            "'image' and 'hints'"
        )
    return {**as_row(image), "hints": hints}


def is_table(images: Any) -> bool:
    """Return whether it is a data set or column of `datasets`, which transformers takes for one."""
    return type(images).__module__.startswith("datasets.")


def check_arguments(**arguments: Any) -> dict[str, Any]:
    """Check arguments of a call of the pipeline, all but images, references and hints.

    Args:
        **arguments: see `ScsColorizeSrPipeline.__call__`. None, except for `tile_size`, and
            `Default` mean that an argument is not given.

    Returns:
        The arguments given, with `output_size` instead of `scale`, `size` and `long_side`.

    Raises:
        ValueError: if a value is out of its range, or two of scale, size and long_side are given.
        TypeError: if an argument is unknown.
    """
    unknown = arguments.keys() - _CHECKS.keys()
    if unknown:
        raise TypeError(
            f"unknown argument {', '.join(sorted(unknown))}; accepted are reference, hints, "
            f"{', '.join(_CHECKS)}, batch_size and num_workers"
        )
    given = {
        name: value
        for name, value in arguments.items()
        if not isinstance(value, Default) and (value is not None or name == "tile_size")
    }
    for name, value in given.items():
        if _CHECKS[name] is not None:
            _CHECKS[name](name, value)
    size = {name: given.pop(name) for name in _SIZES if name in given}
    return given | ({"output_size": OutputSize(**size)} if size else {})


def read_hint(
    hint: Any, size: tuple[int, int] | None = None
) -> tuple[float, float, tuple[float, float, float]]:
    """Check a color hint.

    Args:
        hint: (x, y, color) or a dict of these; the color is what Pillow's `ImageColor` knows, or
            (R, G, B) from 0 to 255.
        size: (width, height) of the image that x and y must be inside, if it is known.

    Returns:
        x, y, and the color as sRGB from 0 to 255.

    Raises:
        ValueError: if it is none, or not inside the image.
    """
    if isinstance(hint, Mapping):
        hint = tuple(hint.get(name) for name in ("x", "y", "color"))
    if not isinstance(hint, tuple | list) or len(hint) != 3 or not all(map(_is_number, hint[:2])):
        raise ValueError(
            f'hints: {hint!r} is no hint; give (x, y, color), such as (120, 80, "#b03020")'
        )
    x, y, color = hint
    if size is not None and not (0 <= x < size[0] and 0 <= y < size[1]):
        raise ValueError(
            f"hints: ({x:g}, {y:g}) is outside the image, which has {size[0]}x{size[1]} pixels, "
            "counted from 0 at the top left"
        )
    return x, y, _read_color(color)


def load_strokes(
    strokes: Any, source_size: tuple[int, int], timeout: float | None = None
) -> Image.Image:
    """Read an image of strokes for a source of (width, height).

    Raises:
        ValueError: if it is no image with transparency, or of another size.
        image_io.ImageError: if it cannot be read.
    """
    try:
        image = load_image(strokes, timeout=timeout)
    except TypeError:
        raise ValueError(
            f"hints: {strokes!r} is neither a list of (x, y, color) nor an image with transparency"
        ) from None
    if image.mode not in ("LA", "RGBA"):
        raise ValueError(
            "hints: the image of strokes has no transparency; leave it transparent where there is "
            "no stroke"
        )
    if image.size != source_size:
        raise ValueError(
            "hints: the image of strokes has {}x{} pixels, but the source {}x{}; "
            "draw them in its size".format(*image.size, *source_size)
        )
    return image


def _read_color(color: Any) -> tuple[float, float, float]:
    try:
        levels = ImageColor.getrgb(color)[:3] if isinstance(color, str) else tuple(color)
    except (TypeError, ValueError):
        levels = ()
    if len(levels) != 3 or not all(_is_number(level) and 0 <= level <= 255 for level in levels):
        raise ValueError(
            f'hints: {color!r} is no color; give one such as "#b03020", "teal" or '
            '"hsl(210, 60%, 40%)", or (R, G, B) from 0 to 255'
        )
    return levels


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    if not _is_number(value) or not low <= value <= high:
        raise ValueError(f"{name}={value!r}: must be a number from {low:g} to {high:g}")


def check_count(name: str, value: int, low: int = 1, unit: str = "") -> None:
    """Raise ValueError unless `value` is a whole number, at least `low`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name}: {value!r} must be a whole number{unit}, {low} or more")


_check_pixels = partial(check_count, unit=" of pixels")


def _check_luminance(name: str, value: Any) -> None:
    if value not in LUMINANCES:
        raise ValueError(f"{name}={value!r}: choose one of {', '.join(LUMINANCES)}")


def _check_tile_size(name: str, value: Any) -> None:
    if value not in ("auto", None):
        check_count(name, value, unit=' of source pixels or "auto"')


def _check_depth(name: str, value: Any) -> None:
    if value not in OUTPUT_TYPE_OF_DEPTH:
        raise ValueError(f"{name}={value!r}: choose 8 or 16 bits per channel")


_SIZES = ("scale", "size", "long_side")
# All arguments; None where there is nothing to check, or where `OutputSize` does it.
_CHECKS = {
    "reference_strength": partial(_check_number, low=0, high=1),
    **dict.fromkeys(_SIZES),
    "saturation": partial(_check_number, low=0, high=MAX_SATURATION),
    "luminance": _check_luminance,
    "tile_size": _check_tile_size,
    "return_attention": None,
    "depth": _check_depth,
    "reference_tokens": None,
    "timeout": partial(_check_number, low=0.001, high=86400),
}
