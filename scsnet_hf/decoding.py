"""Decode an opened image to upright sRGB in one of a few plain modes."""

import io
import logging
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_logger = logging.getLogger(__name__)

_HIGH_BIT_DEPTH_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # all of them gray
# For raw modes of PNG files: the level of a pixel in Pillow for a declared transparent level of 1.
_TRANSPARENCY_FACTORS = {"L;2": 85, "L;4": 17, "RGB;16B": 1 / 256}
# Raw modes of 16 bits a channel, of which Pillow keeps the high bytes, and of their low bytes.
_SWAPPED = "B" if sys.byteorder == "little" else "L"
_GRAY_AND_ALPHA = "LA;16B"
_LOW_BYTES = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA", "RGBX")
    for order, other in (("B", "L"), ("L", "B"), ("N", _SWAPPED))
} | {_GRAY_AND_ALPHA: "RGBA"}  # all four bytes of a pixel

# Tags and values of TIFF 6.0 and EXIF 2.3.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274
_SAMPLE_FORMAT, _LARGEST_SAMPLE = 339, 341
_WHITE_IS_ZERO, _SIGNED = 0, 2
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Linear sRGB to the Y of its white, D65, and to XYZ of D50, the white of profiles (Lindbloom).
_LUMINANCE = np.array([0.2126729, 0.7151522, 0.0721750]) / np.sum([0.2126729, 0.7151522, 0.0721750])
_SRGB_TO_D50 = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)
_D50 = (63190, 65536, 54061)  # XYZ of the white of profiles, in units of 1 / 65536


class ImageError(ValueError):
    """An image that cannot be read; the message is one line that names it."""


@contextmanager
def report_damage(name: str) -> Iterator[None]:
    """Raise ImageError for whatever Pillow raises in the block about a damaged image.

    Args:
        name: what the error message calls the image.
    """
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # it differs from format to format
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: is damaged or not supported ({reason})") from None


def decode(image: Image.Image, name: str, keep_16_bits: bool = False) -> Image.Image:
    """Decode an opened image to upright sRGB. The caller's own image is not modified.

    Args:
        image: of any mode of Pillow.
        name: what error messages call it.
        keep_16_bits: return gray of more than 8 bits, and the lightness of colors of 16 bits in PNG
            and TIFF files, as mode I;16. Its alpha, if it has one, is found by `split_alpha`.

    Returns:
        Mode L, LA, RGB or RGBA; I;16 only with `keep_16_bits`. Gray of 16 bits and more is scaled
        by the range of its type, never by its values: mode I from 0 to 65535, integers in a TIFF
        from 0 to the largest one, mode F from 0 to 255. Floats in a file are scaled by the range
        that it states, otherwise from 0 to the first of 1, 255 and 65535 that holds them.
        Values outside the range are clipped.

    Raises:
        ImageError: if the image has no pixels, is damaged, or contains values that are not finite.
    """
    if 0 in image.size:
        raise ImageError(f"{name}: has no pixels ({image.width}x{image.height})")
    with report_damage(name):
        transparent = _transparent_level(image)  # Pillow forgets it when it reads the pixels
        gray_and_alpha = _raw_mode(image) == _GRAY_AND_ALPHA
        low_bytes = _low_bytes(image) if keep_16_bits else None
        image.load()
        tags = dict(getattr(image, "tag_v2", {}))
        turn = _transposition(image, name)
        upright = image.copy() if turn is None else image.transpose(turn)
        if low_bytes is not None and turn is not None:
            low_bytes = low_bytes.transpose(turn)
        plain = None
        if low_bytes is not None:
            plain = _decode_16_bits(upright, low_bytes, name, gray_and_alpha)
        elif upright.mode in _HIGH_BIT_DEPTH_MODES:
            stated = tags if image.format else None
            plain = _decode_high_bit_depth(upright, stated, name, keep_16_bits)
        if plain is None:
            if transparent is not None:
                upright.info["transparency"] = transparent
            if _is_signed(tags):
                upright = _without_sign(upright)
            plain = _to_plain_mode(_to_srgb(_without_palette(upright)))
    depth = image.info.get("bit_depth", 8)
    if keep_16_bits and depth > 8 and plain.mode != "I;16":
        _logger.warning("%s: its %d bits a channel are read as 8", name, depth)
    # All the rest has been applied; whoever decodes the result must not apply it again.
    alpha = plain.info.get("alpha") if plain.mode == "I;16" else None
    plain.info = {} if alpha is None else {"alpha": alpha}
    return plain


def _transposition(image: Image.Image, name: str) -> Image.Transpose | None:
    """Return what makes an image upright, by the tag of its orientation alone."""
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception as error:  # it differs from damage to damage
        _logger.warning("%s: its EXIF is damaged and left out (%s)", name, error)
        return None
    return _TRANSPOSITIONS.get(orientation)


def _transparent_level(image: Image.Image) -> int | tuple[int, ...] | None:
    """Return the transparent level or color of a PNG where Pillow's pixels have another scale."""
    declared = image.info.get("transparency")
    raw_mode = _raw_mode(image)
    factor = _TRANSPARENCY_FACTORS.get(raw_mode)
    if declared is None or factor is None:
        return None
    if isinstance(declared, tuple):
        return tuple(int(level * factor) for level in declared)
    return int(declared * factor)


def _raw_mode(image: Image.Image) -> str | None:
    """Return how the pixels of an opened file are stored, before they are read."""
    arguments = image.tile[0].args if getattr(image, "tile", None) else None
    return arguments[0] if isinstance(arguments, tuple) and arguments else arguments


# More than 8 bits


def _low_bytes(image: Image.Image) -> Image.Image | None:
    """Decode the low bytes of channels of 16 bits, of which Pillow keeps the high ones.

    Returns:
        An image of the same mode, but RGBA with the four bytes of a pixel for gray with alpha;
        None if the file has other channels.
    """
    low_mode = _LOW_BYTES.get(_raw_mode(image))
    is_animated = image.format == "PNG" and getattr(image, "is_animated", False)
    if low_mode is None or image.fp is None or is_animated:
        return None
    image.fp.seek(0)
    again = Image.open(image.fp, formats=[image.format])
    again.seek(image.tell())
    again.tile = [
        part._replace(args=low_mode if isinstance(part.args, str) else (low_mode, *part.args[1:]))
        for part in again.tile
    ]
    if low_mode == "RGBA":
        again._mode = low_mode
    again.load()
    return again


def _decode_16_bits(
    high: Image.Image, low: Image.Image, name: str, gray_and_alpha: bool
) -> Image.Image | None:
    """Return the lightness as I;16 of channels of 16 bits; None if a profile allows only 8."""
    if gray_and_alpha:
        channels = np.asarray(low).view(">u2").astype(np.uint16)
    else:
        channels = np.asarray(high).astype(np.uint16) << 8 | np.asarray(low)
    alpha = None
    if low.mode == "RGBA":
        channels, alpha = channels[..., :-1], (channels[..., -1] >> 8).astype(np.uint8)
    elif isinstance(transparent := high.info.get("transparency"), tuple):
        alpha = np.where((channels == transparent).all(axis=-1), 0, 255).astype(np.uint8)
    table = _gray_to_srgb_table(high.info)
    if table is not None:
        channels = table[channels]
    if channels.shape[-1] == 1:
        gray = channels[..., 0]
    else:
        profile = None if table is not None else high.info.get("icc_profile")
        primaries = _primaries(profile) if profile else (_LUMINANCE, [_srgb_to_linear()] * 3)
        if primaries is None:
            _logger.warning("%s: 16 bits were reduced to 8, as its color profile needs it", name)
            return None
        if np.ptp(channels[::8, ::8].astype(int), axis=-1).mean() > 2 * 257:
            _warn_of_colors()
        weights, curves = primaries
        bands = zip(weights, curves, np.moveaxis(channels, -1, 0), strict=True)
        gray = _linear_to_srgb(sum(weight * curve[band] for weight, curve, band in bands))
    deep = Image.fromarray(gray)
    if alpha is not None:
        deep.info["alpha"] = Image.fromarray(alpha)
    return deep


@cache  # once
def _warn_of_colors() -> None:
    _logger.warning("A source has colors: only its lightness (CIE L) is used.")


def _decode_high_bit_depth(
    image: Image.Image, tags: Mapping[int, Any] | None, name: str, keep_16_bits: bool
) -> Image.Image:
    """Return gray as I;16, or as L or LA.

    Args:
        image: upright.
        tags: of a TIFF, empty for other files; None for an image in memory.
        name: what error messages call it.
        keep_16_bits: see `decode`.
    """
    values = np.asarray(image)
    if image.mode == "F" and not np.isfinite(values).all():
        raise ImageError(f"{name}: contains values that are not finite")
    black, white = _black_and_white(image.mode, values, tags, name)
    if white > 2**31:
        values = values.view(np.uint32)  # Pillow takes them for signed
    levels = (values.clip(black, white).astype(np.float64) - black) * (65535 / (white - black))
    levels = levels.round().astype(np.uint16)
    if tags and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        levels = 65535 - levels  # Pillow inverts such images of 8 bits itself, but not these
    table = _gray_to_srgb_table(image.info)
    if table is not None:
        levels = table[levels]
    alpha, transparent = image.info.get("alpha"), image.info.get("transparency")
    if isinstance(transparent, int):
        alpha = Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))
    gray = Image.fromarray(levels if keep_16_bits else (levels // 257).astype(np.uint8))
    if alpha is not None and keep_16_bits:
        gray.info["alpha"] = alpha
    elif alpha is not None:
        gray.putalpha(alpha)
    return gray


def _black_and_white(
    mode: str, values: np.ndarray, tags: Mapping[int, Any] | None, name: str
) -> tuple[float, float]:
    """Return the values of black and white in gray of more than 8 bits."""
    if mode != "F":
        stated = tags or {}
        bits = stated.get(_BITS_PER_SAMPLE, (16,))[0]
        return 0, 2 ** (bits - (stated.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED)) - 1
    if tags is None:
        return 0, 255  # Pillow's own range
    return float_range(values, tags.get(_LARGEST_SAMPLE), name)


def float_range(values: np.ndarray, stated: Any, name: str) -> tuple[float, float]:
    """Return the values of black and white of floats in a file.

    Args:
        values: finite, of any shape.
        stated: the largest value that the file states, perhaps one per channel; None if unknown.
        name: what a warning calls the file.

    Returns:
        0 and the stated value, or else the first of 1, 255 and 65535 that holds all but 1 % of the
        values. Where some are far below zero or none of these holds them, their own range.
    """
    largest = float(np.max(stated)) if stated is not None else 0.0
    if 0 < largest < np.inf:
        return 0, largest
    low, high = np.quantile(values, (0.01, 0.99))
    for white in (1, 255, 65535):
        if low >= -0.01 * white and high <= 1.01 * white:
            return 0, white
    _logger.warning("%s: is scaled by its own values, from %g to %g", name, low, high)
    return float(low), float(high) if high > low else float(low) + 1


def _is_signed(tags: Mapping[int, Any]) -> bool:
    return tags.get(_SAMPLE_FORMAT, ())[:1] == (_SIGNED,)


def _without_sign(image: Image.Image) -> Image.Image:
    """Return signed levels of 8 bits, which Pillow takes for unsigned, from 0 to 255."""
    table = [round(level * 255 / 127) if level < 128 else 0 for level in range(256)]
    return image.point(table * len(image.getbands()))


# Plain modes


def _without_palette(image: Image.Image) -> Image.Image:
    """Look up a palette and a transparent color, to which color management does not apply."""
    declared = image.mode in ("P", "PA") or "transparency" in image.info
    return _to_plain_mode(image) if declared else image


def _to_plain_mode(image: Image.Image) -> Image.Image:
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    return image.convert(f"{mode}A" if image.has_transparency_data else mode)


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Split a decoded image into its colors (L, I;16 or RGB) and its alpha (L), None if opaque."""
    if image.mode == "I;16":
        return image, image.info.get("alpha")
    if image.mode not in ("LA", "RGBA"):
        return image, None
    return image.convert(image.mode[:-1]), image.getchannel("A")


# Color profiles


def _to_srgb(image: Image.Image) -> Image.Image:
    """Convert gray, RGB or CMYK by what the file states, if it is usable."""
    if image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return image
    table, profile = _gray_to_srgb_table(image.info), image.info.get("icc_profile")
    if table is None and (not profile or image.mode in ("L", "LA")):
        return image
    colors, alpha = split_alpha(image)
    if table is None:
        converted = _colors_to_srgb(colors, profile)
    elif image.mode == "CMYK":
        return image
    else:
        levels = (table[::257] / 257).round().astype(int).tolist()
        converted = colors.point(levels * len(colors.getbands()))
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _colors_to_srgb(colors: Image.Image, profile: bytes) -> Image.Image:
    try:
        return ImageCms.profileToProfile(
            colors,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError):
        return colors


def _gray_to_srgb_table(info: Mapping[str, Any]) -> np.ndarray | None:
    """Tabulate the sRGB level of every level of a gray profile, or of the gamma of a PNG.

    Args:
        info: of an image.

    Returns:
        (65536,) uint16; None if the file states nothing, or sRGB, or a profile that is damaged or
        not one of gray. A profile takes precedence over sRGB, and both over a gamma (PNG, Third
        Edition, Sec. 4.3).
    """
    profile, gamma = info.get("icc_profile"), info.get("gamma", 0)
    if profile:
        return _curve_table(profile) if profile[16:20] == b"GRAY" else None
    if "srgb" in info or not 0.1 < gamma < 10 or abs(gamma * 2.2 - 1) < 0.05:
        return None  # 1 / 2.2 stands for sRGB
    return _linear_to_srgb((np.arange(2**16) / 65535) ** (1 / gamma))


def _curve_table(profile: bytes) -> np.ndarray | None:
    """Tabulate the sRGB level of every gray level of an ICC profile; None if it is damaged."""
    ramp = Image.fromarray(np.arange(2**16, dtype=np.uint16).reshape(2**8, 2**8))
    try:
        converted = ImageCms.profileToProfile(
            ramp,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.ImageCmsProfile(io.BytesIO(_gray_srgb_profile())),
            outputMode="I;16",
            # With its optimization, LittleCMS is off by several of 256 levels near black.
            flags=ImageCms.Flags.NOOPTIMIZE,
        )
    except (ImageCms.PyCMSError, OSError):
        return None
    return np.asarray(converted).reshape(-1)


def _primaries(profile: bytes) -> tuple[np.ndarray, list[np.ndarray]] | None:
    """Return the luminances of red, green and blue, and their curves to linear light.

    Args:
        profile: an ICC profile.

    Returns:
        (3,), and three (65536,) float32; None if the profile is damaged or not one of RGB with
        primaries and curves.
    """
    try:
        (count,) = struct.unpack(">I", profile[128:132])
        entries = struct.iter_unpack(">4sII", profile[132 : 132 + 12 * count])
        tags = {tag: profile[start : start + size] for tag, start, size in entries}
        primaries = [struct.unpack(">3i", tags[b"%cXYZ" % band][8:20]) for band in b"rgb"]
        tables = [_curve_table(_gray_profile(tags[b"%cTRC" % band])) for band in b"rgb"]
    except (struct.error, KeyError):
        return None
    if any(table is None for table in tables):
        return None
    weights = _LUMINANCE @ np.linalg.inv(_SRGB_TO_D50) @ np.transpose(primaries)
    return weights / weights.sum(), [_srgb_to_linear()[table] for table in tables]


@cache
def _srgb_to_linear() -> np.ndarray:
    """Tabulate the light of every sRGB level: (65536,) float32."""
    return _linearized(np.arange(2**16) / 65535).astype(np.float32)


def _linearized(srgb: np.ndarray) -> np.ndarray:
    """Return the light, from 0 to 1, of sRGB from 0 to 1 (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _linear_to_srgb(light: np.ndarray) -> np.ndarray:
    """Return the sRGB levels, uint16, of light from 0 to 1."""
    light = np.clip(light, 0, 1)
    curve = 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055
    encoded = np.where(light <= 0.0031308, 12.92 * light, curve)
    return (encoded * 65535).round().astype(np.uint16)


@cache
def _gray_srgb_profile() -> bytes:
    light = _linearized(np.linspace(0, 1, 4096))
    curve = struct.pack(">4sxxxxI", b"curv", len(light))
    return _gray_profile(curve + (light * 65535).round().astype(">u2").tobytes())


def _gray_profile(curve: bytes) -> bytes:
    """Build a gray profile of a curve, as the tag of a profile holds it (ICC.1:2001-04)."""
    curve += bytes(-len(curve) % 4)
    white = struct.pack(">4sxxxx3i", b"XYZ ", *_D50)
    start = 128 + 4 + 2 * 12
    table = struct.pack(">I", 2)
    table += struct.pack(">4sII", b"kTRC", start, len(curve))
    table += struct.pack(">4sII", b"wtpt", start + len(curve), len(white))
    body = table + curve + white
    size, version = 128 + len(body), 0x02400000
    kinds = (b"mntr", b"GRAY", b"XYZ ", b"acsp")  # display, colors, connection space, signature
    return struct.pack(">IxxxxI4s4s4s12x4s28x3i48x", size, version, *kinds, *_D50) + body
