"""What a picture file may hold becomes upright sRGB in one of a few plain modes."""

import io
import struct

import numpy as np
from PIL import Image, ImageCms, ImageOps

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
        depth, never by its values: `F` as Pillow has it, from 0 to 255, `I` from 0 to 65535, that of
        a TIFF from 0 to the largest of its integers; values beyond are clipped.

    Raises:
        PictureError: if it has no pixels, is damaged, or holds what is not finite.
    """
    if 0 in picture.size:
        raise PictureError(f"{name}: has no pixels ({picture.width}x{picture.height})")
    try:
        _check_planes(picture, name)
        transparent = _transparent(picture)
        picture.load()
        ends = _black_and_white(picture)
        upright = ImageOps.exif_transpose(picture)
        if transparent is not None:
            upright.info["transparency"] = transparent
        if upright.mode in _DEEP_GRAY_MODES:
            plain = _plain_gray(upright, ends, name, deep)
        else:
            plain = _to_plain_mode(_to_srgb(_without_palette(upright)))
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


def _transparent(picture: Image.Image) -> int | tuple[int, ...] | bytes | None:
    """What is declared transparent, in levels of the pixels; to be asked before they are read."""
    declared = picture.info.get("transparency")
    raw_mode = picture.tile[0].args if getattr(picture, "tile", None) else None
    factor = _TRANSPARENCY_FACTORS.get(raw_mode) if isinstance(raw_mode, str) else None
    if declared is None or factor is None:
        return declared
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
    levels = _through_profile(levels.round(), picture.info.get("icc_profile")).astype(np.uint16)
    shallow = Image.fromarray((levels // 257).astype(np.uint8))
    hidden = picture.info.get("transparency")
    if isinstance(hidden, int):
        shallow.putalpha(Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8)))
        return shallow
    return Image.fromarray(levels) if deep else shallow


def _through_profile(levels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Gray from 0 to 65535 through an embedded profile, whose curve is known at 256 points."""
    if not profile:
        return levels
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    ramp.info["icc_profile"] = profile
    curve = np.asarray(_to_srgb(ramp))[0].astype(np.float64)
    return np.interp(levels, 257.0 * np.arange(256), 257.0 * curve).round()


def _without_palette(picture: Image.Image) -> Image.Image:
    return _to_plain_mode(picture) if picture.mode in ("P", "PA") else picture


def _to_srgb(picture: Image.Image) -> Image.Image:
    """Convert gray, RGB or CMYK through the embedded profile, if there is a usable one."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return picture
    colors, alpha = split_alpha(picture)
    try:
        converted = ImageCms.profileToProfile(
            colors,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError):
        return picture
    if colors.mode == "L":
        converted = converted.convert("L")
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _to_plain_mode(picture: Image.Image) -> Image.Image:
    if picture.mode in ("LA", "La"):
        return picture.convert("LA")
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def split_alpha(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """A plain picture as its colours (L, I;16 or RGB) and its alpha channel (L), None if opaque."""
    if picture.mode not in ("LA", "RGBA"):
        return picture, None
    return picture.convert(picture.mode[:-1]), picture.getchannel("A")
