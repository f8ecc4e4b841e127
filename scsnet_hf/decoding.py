"""What a picture file may hold becomes upright sRGB in one of a few plain modes."""

import io
import struct

import numpy as np
from PIL import Image, ImageCms, ImageOps

from .gray_profile import srgb_levels

# What Pillow raises on damaged files, depending on the format.
DECODING_ERRORS = (
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

_DEEP_GRAY_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
# Of the levels of transparency in PNG files to those of the pixels that Pillow has from them.
_TRANSPARENCY_FACTORS = {"L;2": 85, "L;4": 17, "RGB;16B": 1 / 256}

# TIFF 6.0
_BITS_PER_SAMPLE, _COMPRESSION, _PHOTOMETRIC = 258, 259, 262
_PLANAR_CONFIGURATION, _SAMPLE_FORMAT = 284, 339
_UNCOMPRESSED, _WHITE_IS_ZERO, _SEPARATE, _SIGNED = 1, 0, 2, 2


class PictureError(ValueError):
    """A picture that cannot be read; the message is one line that names it."""


def damaged(name: str, error: Exception) -> PictureError:
    """The error for a picture in which Pillow found `error`."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return PictureError(f"{name}: is damaged or not supported ({reason})")


def decode(picture: Image.Image, name: str, deep: bool = False) -> Image.Image:
    """An opened picture, upright and in sRGB; the caller's own picture is left as it was.

    Args:
        picture: of any mode of Pillow.
        name: what errors call it.
        deep: keep more than 8 bits of gray, as mode I;16.

    Returns:
        Mode L, LA, RGB or RGBA, and I;16 where `deep`. Gray of 16 bits and more is mapped by its
        depth, never by its values: `F` as Pillow has it, from 0 to 255, `I` from 0 to 65535, a TIFF
        of integers from 0 to the largest of them; values beyond are clipped.

    Raises:
        PictureError: if it has no pixels, is damaged, or holds what is not finite.
    """
    if 0 in picture.size:
        raise PictureError(f"{name}: has no pixels ({picture.width}x{picture.height})")
    try:
        _check_planes(picture, name)
        transparent = _transparent_in_png(picture)
        picture.load()
        ends = _black_and_white(picture)
        upright = ImageOps.exif_transpose(picture)
        if transparent is not None:
            upright.info["transparency"] = transparent
        if upright.mode in _DEEP_GRAY_MODES:
            plain = _plain_gray(upright, ends, name, deep)
        else:
            plain = _to_plain_mode(_to_srgb(_looked_up(upright)))
    except PictureError:
        raise
    except DECODING_ERRORS as error:
        raise damaged(name, error) from None
    # What it said is applied; a second reading must not apply it again.
    for applied in ("icc_profile", "transparency"):
        plain.info.pop(applied, None)
    return plain


def _check_planes(picture: Image.Image, name: str) -> None:
    """Refuse the planes of 16 bits that Pillow reads as if they had 8."""
    tags = getattr(picture, "tag_v2", {})
    if (
        tags.get(_PLANAR_CONFIGURATION) == _SEPARATE
        and tags.get(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED
        and tags.get(_BITS_PER_SAMPLE, ())[:2] == (16, 16)
    ):
        raise PictureError(
            f"{name}: is a TIFF of separate planes of 16 bits, which is not supported; store it "
            "interleaved or compressed"
        )


def _transparent_in_png(picture: Image.Image) -> int | tuple[int, ...] | None:
    """What a PNG declares transparent, where Pillow has it in other levels than the pixels.

    To be asked before pixels are read.
    """
    declared = picture.info.get("transparency")
    raw_mode = picture.tile[0].args if getattr(picture, "tile", None) else None
    factor = _TRANSPARENCY_FACTORS.get(raw_mode) if isinstance(raw_mode, str) else None
    if declared is None or factor is None:
        return None
    if isinstance(declared, tuple):
        return tuple(int(level * factor) for level in declared)
    return int(declared * factor)


def _black_and_white(picture: Image.Image) -> tuple[int, int]:
    """The values of black and white in a picture of deep gray."""
    tags = getattr(picture, "tag_v2", {})
    if picture.mode == "F":
        largest = 255
    else:
        bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
        largest = 2 ** (bits - (tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED)) - 1
    # Pillow has inverted other pictures, but not these.
    return (largest, 0) if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else (0, largest)


def _plain_gray(picture: Image.Image, ends: tuple[int, int], name: str, deep: bool) -> Image.Image:
    """Deep gray as I;16, else L; LA if one of its levels is declared transparent."""
    values = np.asarray(picture)
    black, white = ends
    if max(ends) > 2**31:
        values = values.view(np.uint32)  # Pillow holds them as signed
    if picture.mode == "F" and not np.isfinite(values).all():
        raise PictureError(f"{name}: holds values that are not finite")
    levels = values.clip(min(ends), max(ends)).astype(np.float64)
    levels = (levels - black) * (65535 / (white - black))
    levels = levels.round().astype(np.uint16)
    curve = srgb_levels(picture.info.get("icc_profile"))
    if curve is not None:
        levels = curve[levels]
    shallow = Image.fromarray((levels // 257).astype(np.uint8))
    hidden = picture.info.get("transparency")
    if isinstance(hidden, int):
        shallow.putalpha(Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8)))
        return shallow
    return Image.fromarray(levels) if deep else shallow


def _looked_up(picture: Image.Image) -> Image.Image:
    """Without a palette and a declared transparent colour, which profiles do not know of."""
    declared = picture.mode in ("P", "PA") or "transparency" in picture.info
    return _to_plain_mode(picture) if declared else picture


def _to_srgb(picture: Image.Image) -> Image.Image:
    """Convert gray, RGB or CMYK through the embedded profile, if there is a usable one."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return picture
    colors, alpha = split_alpha(picture)
    convert = _gray_to_srgb if colors.mode == "L" else _colors_to_srgb
    converted = convert(colors, profile)
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _gray_to_srgb(gray: Image.Image, profile: bytes) -> Image.Image:
    curve = srgb_levels(profile)
    return gray if curve is None else gray.point((curve[::257] / 257).round().astype(int).tolist())


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


def _to_plain_mode(picture: Image.Image) -> Image.Image:
    mode = "L" if picture.mode in ("1", "L", "LA", "La") else "RGB"
    return picture.convert(f"{mode}A" if picture.has_transparency_data else mode)


def split_alpha(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """A plain picture as its colours (L, I;16 or RGB) and its alpha channel (L), None if opaque."""
    if picture.mode not in ("LA", "RGBA"):
        return picture, None
    return picture.convert(picture.mode[:-1]), picture.getchannel("A")
