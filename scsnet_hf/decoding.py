"""Decode an opened image to upright sRGB in one of a few plain modes."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
from PIL import Image, ImageCms, ImageOps

# What Pillow raises for damaged files; it differs from format to format.
_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    EOFError,
    MemoryError,
    RuntimeError,
    struct.error,
    Image.DecompressionBombError,
)

_HIGH_BIT_DEPTH_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # all of them gray
# For raw modes of PNG files: the level of a pixel in Pillow for a declared transparent level of 1.
_TRANSPARENCY_FACTORS = {"L;2": 85, "L;4": 17, "RGB;16B": 1 / 256}
_D50 = (63190, 65536, 54061)  # XYZ of the white of profiles, in units of 1 / 65536

# Tags and values of TIFF 6.0.
_BITS_PER_SAMPLE, _COMPRESSION, _PHOTOMETRIC = 258, 259, 262
_PLANAR_CONFIGURATION, _SAMPLE_FORMAT = 284, 339
_UNCOMPRESSED, _WHITE_IS_ZERO, _SEPARATE, _SIGNED = 1, 0, 2, 2


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
    except _DECODING_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: is damaged or not supported ({reason})") from None


def decode(image: Image.Image, name: str, keep_16_bits: bool = False) -> Image.Image:
    """Decode an opened image to upright sRGB. The caller's own image is not modified.

    Args:
        image: of any mode of Pillow.
        name: what error messages call it.
        keep_16_bits: return gray of more than 8 bits as mode I;16.

    Returns:
        Mode L, LA, RGB or RGBA; I;16 only with `keep_16_bits`. Gray of 16 bits and more is scaled
        by the range of its type, never by its values: mode F from 0 to 255, mode I from 0 to 65535,
        integers in a TIFF from 0 to the largest one. Values outside the range are clipped.

    Raises:
        ImageError: if the image has no pixels, is damaged, or contains values that are not finite.
    """
    if 0 in image.size:
        raise ImageError(f"{name}: has no pixels ({image.width}x{image.height})")
    with report_damage(name):
        _refuse_separate_planes(image, name)
        transparent = _transparent_level(image)  # Pillow forgets it when it reads the pixels
        image.load()
        black_and_white = _black_and_white(image)
        upright = ImageOps.exif_transpose(image)
        if transparent is not None:
            upright.info["transparency"] = transparent
        if upright.mode in _HIGH_BIT_DEPTH_MODES:
            plain = _decode_high_bit_depth(upright, black_and_white, name, keep_16_bits)
        else:
            plain = _to_plain_mode(_to_srgb(_without_palette(upright)))
    # Both have been applied; whoever decodes the result must not apply them again.
    for applied in ("icc_profile", "transparency"):
        plain.info.pop(applied, None)
    return plain


def _refuse_separate_planes(image: Image.Image, name: str) -> None:
    """Raise ImageError for planes of 16 bits, which Pillow reads as if they had 8."""
    tags = getattr(image, "tag_v2", {})
    if (
        tags.get(_PLANAR_CONFIGURATION) == _SEPARATE
        and tags.get(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED
        and tags.get(_BITS_PER_SAMPLE, ())[:2] == (16, 16)
    ):
        raise ImageError(
            f"{name}: is a TIFF of separate planes of 16 bits, which is not supported; store it "
            "interleaved or compressed"
        )


def _transparent_level(image: Image.Image) -> int | tuple[int, ...] | None:
    """Return the transparent level or color of a PNG where Pillow's pixels have another scale."""
    declared = image.info.get("transparency")
    raw_mode = image.tile[0].args if getattr(image, "tile", None) else None
    factor = _TRANSPARENCY_FACTORS.get(raw_mode) if isinstance(raw_mode, str) else None
    if declared is None or factor is None:
        return None
    if isinstance(declared, tuple):
        return tuple(int(level * factor) for level in declared)
    return int(declared * factor)


def _black_and_white(image: Image.Image) -> tuple[int, int]:
    """Return the values of black and white in gray of more than 8 bits."""
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        largest = 255
    else:
        bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
        largest = 2 ** (bits - (tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED)) - 1
    # Pillow inverts such images of 8 bits itself, but not these.
    return (largest, 0) if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else (0, largest)


def _decode_high_bit_depth(
    image: Image.Image, black_and_white: tuple[int, int], name: str, keep_16_bits: bool
) -> Image.Image:
    """Return gray as I;16 or L, or as LA if one of its levels is declared transparent."""
    values = np.asarray(image)
    black, white = black_and_white
    if max(black_and_white) > 2**31:
        values = values.view(np.uint32)  # Pillow takes them for signed
    if image.mode == "F" and not np.isfinite(values).all():
        raise ImageError(f"{name}: contains values that are not finite")
    levels = values.clip(min(black_and_white), max(black_and_white)).astype(np.float64)
    levels = (levels - black) * (65535 / (white - black))
    levels = levels.round().astype(np.uint16)
    table = _gray_to_srgb_table(image.info.get("icc_profile"))
    if table is not None:
        levels = table[levels]
    gray = Image.fromarray((levels // 257).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        alpha = np.where(values == transparent, 0, 255).astype(np.uint8)
        gray.putalpha(Image.fromarray(alpha))
        return gray
    return Image.fromarray(levels) if keep_16_bits else gray


def _without_palette(image: Image.Image) -> Image.Image:
    """Look up a palette and a transparent color, to which color management does not apply."""
    declared = image.mode in ("P", "PA") or "transparency" in image.info
    return _to_plain_mode(image) if declared else image


def _to_plain_mode(image: Image.Image) -> Image.Image:
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    return image.convert(f"{mode}A" if image.has_transparency_data else mode)


# Color profiles


def _to_srgb(image: Image.Image) -> Image.Image:
    """Convert gray, RGB or CMYK by the embedded profile, if it has a usable one."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return image
    colors, alpha = split_alpha(image)
    convert = _gray_to_srgb if colors.mode == "L" else _colors_to_srgb
    converted = convert(colors, profile)
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


def _gray_to_srgb(gray: Image.Image, profile: bytes) -> Image.Image:
    table = _gray_to_srgb_table(profile)
    return gray if table is None else gray.point((table[::257] / 257).round().astype(int).tolist())


def _gray_to_srgb_table(profile: bytes | None) -> np.ndarray | None:
    """Tabulate the sRGB level of every gray level of a profile.

    Args:
        profile: an ICC profile of gray images, as files embed it.

    Returns:
        (65536,) uint16; None if there is no profile, or if it is damaged or not one of gray.
    """
    if not profile:
        return None
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


@cache
def _gray_srgb_profile() -> bytes:
    """Build a gray profile with the curve of sRGB (ICC.1:2001-04, IEC 61966-2-1)."""
    encoded = np.linspace(0, 1, 4096)
    light = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    curve = (
        struct.pack(">4sxxxxI", b"curv", len(light))
        + (light * 65535).round().astype(">u2").tobytes()
    )
    white = struct.pack(">4sxxxx3i", b"XYZ ", *_D50)
    start = 128 + 4 + 2 * 12
    table = struct.pack(">I", 2)
    table += struct.pack(">4sII", b"kTRC", start, len(curve))
    table += struct.pack(">4sII", b"wtpt", start + len(curve), len(white))
    body = table + curve + white
    size, version = 128 + len(body), 0x02400000
    kinds = (b"mntr", b"GRAY", b"XYZ ", b"acsp")  # display, colors, connection space, signature
    return struct.pack(">IxxxxI4s4s4s12x4s28x3i48x", size, version, *kinds, *_D50) + body


# Transparency


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Split a decoded image into its colors (L, I;16 or RGB) and its alpha (L), None if opaque."""
    if image.mode not in ("LA", "RGBA"):
        return image, None
    return image.convert(image.mode[:-1]), image.getchannel("A")
