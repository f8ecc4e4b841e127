"""What an image file may hold becomes upright sRGB in one of a few plain modes."""

import io
import struct
from functools import cache

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps
from torch import nn

_D50 = (63190, 65536, 54061)  # XYZ in units of 1 / 65536


def srgb_levels(profile: bytes | None) -> np.ndarray | None:
    """What each gray level is in sRGB.

    Args:
        profile: of gray images, as files embed it.

    Returns:
        (65536,) uint16, by level; None if there is no profile, or it is damaged or not of gray.
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
            # Optimized, LittleCMS is off by several of 256 levels near black.
            flags=ImageCms.Flags.NOOPTIMIZE,
        )
    except (ImageCms.PyCMSError, OSError):
        return None
    return np.asarray(converted).reshape(-1)


@cache
def _gray_srgb_profile() -> bytes:
    """A gray profile with the curve of sRGB (ICC.1:2001-04, IEC 61966-2-1)."""
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


def visible_colors(image: Image.Image) -> Image.Image:
    """A plain image without alpha (L, I;16 or RGB), what is hidden filled by `fill_hidden`."""
    colors, alpha = split_alpha(image)
    if alpha is None:
        return colors
    levels = torch.from_numpy(np.array(colors, dtype=np.float32))
    levels = levels.reshape(1, *np.shape(alpha), -1).permute(0, 3, 1, 2)
    filled = fill_hidden(levels, torch.from_numpy(np.array(alpha) > 0)[None, None])
    return Image.fromarray(filled[0].permute(1, 2, 0).squeeze(2).round().byte().numpy())


def fill_hidden(values: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Replace what lies under fully transparent pixels by its visible surroundings.

    The network would otherwise mix it into the edges (dark fringes). Pull-push (Gortler et al.,
    "The Lumigraph", SIGGRAPH 1996): means of visible pixels at half the size, again and again, and
    back.

    Args:
        values: (1, C, H, W).
        visible: (1, 1, H, W) bool.

    Returns:
        (1, C, H, W), where `visible` exactly `values`; all of it if nothing is visible.
    """
    if visible.all() or not visible.any():
        return values
    window = [min(2, side) for side in values.shape[-2:]]
    weight = _mean(visible.to(values.dtype), window)
    halved = _mean(values * visible, window) / weight.clamp_min(torch.finfo(values.dtype).tiny)
    around = nn.functional.interpolate(
        fill_hidden(halved, weight > 0), values.shape[-2:], mode="bilinear"
    )
    return torch.where(visible, values, around)


def _mean(values: torch.Tensor, window: list[int]) -> torch.Tensor:
    return nn.functional.avg_pool2d(values, window, ceil_mode=True, count_include_pad=False)


def resized_alpha(alpha: Image.Image, size: tuple[int, int]) -> Image.Image:
    """An alpha channel (mode L) at another size (width, height); one even level stays exact."""
    lowest, highest = alpha.getextrema()
    if lowest == highest:
        return Image.new("L", size, lowest)
    return alpha.resize(size, Image.Resampling.BICUBIC)


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


class ImageError(ValueError):
    """An image that cannot be read; the message is one line that names it."""


def damaged(name: str, error: Exception) -> ImageError:
    """The error for an image in which Pillow found `error`."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return ImageError(f"{name}: is damaged or not supported ({reason})")


def decode(image: Image.Image, name: str, deep: bool = False) -> Image.Image:
    """An opened image, upright and in sRGB; the caller's own image is left as it was.

    Args:
        image: of any mode of Pillow.
        name: what errors call it.
        deep: keep more than 8 bits of gray, as mode I;16.

    Returns:
        Mode L, LA, RGB or RGBA, and I;16 where `deep`. Gray of 16 bits and more is mapped by its
        depth, never by its values: `F` as Pillow has it, from 0 to 255, `I` from 0 to 65535, a TIFF
        of integers from 0 to the largest of them; values beyond are clipped.

    Raises:
        ImageError: if it has no pixels, is damaged, or holds what is not finite.
    """
    if 0 in image.size:
        raise ImageError(f"{name}: has no pixels ({image.width}x{image.height})")
    try:
        _check_planes(image, name)
        transparent = _transparent_in_png(image)
        image.load()
        ends = _black_and_white(image)
        upright = ImageOps.exif_transpose(image)
        if transparent is not None:
            upright.info["transparency"] = transparent
        if upright.mode in _DEEP_GRAY_MODES:
            plain = _plain_gray(upright, ends, name, deep)
        else:
            plain = _to_plain_mode(_to_srgb(_looked_up(upright)))
    except ImageError:
        raise
    except DECODING_ERRORS as error:
        raise damaged(name, error) from None
    # What it said is applied; a second reading must not apply it again.
    for applied in ("icc_profile", "transparency"):
        plain.info.pop(applied, None)
    return plain


def _check_planes(image: Image.Image, name: str) -> None:
    """Refuse the planes of 16 bits that Pillow reads as if they had 8."""
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


def _transparent_in_png(image: Image.Image) -> int | tuple[int, ...] | None:
    """What a PNG declares transparent, where Pillow has it in other levels than the pixels.

    To be asked before pixels are read.
    """
    declared = image.info.get("transparency")
    raw_mode = image.tile[0].args if getattr(image, "tile", None) else None
    factor = _TRANSPARENCY_FACTORS.get(raw_mode) if isinstance(raw_mode, str) else None
    if declared is None or factor is None:
        return None
    if isinstance(declared, tuple):
        return tuple(int(level * factor) for level in declared)
    return int(declared * factor)


def _black_and_white(image: Image.Image) -> tuple[int, int]:
    """The values of black and white in an image of deep gray."""
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        largest = 255
    else:
        bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
        largest = 2 ** (bits - (tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED)) - 1
    # Pillow has inverted other images, but not these.
    return (largest, 0) if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else (0, largest)


def _plain_gray(image: Image.Image, ends: tuple[int, int], name: str, deep: bool) -> Image.Image:
    """Deep gray as I;16, else L; LA if one of its levels is declared transparent."""
    values = np.asarray(image)
    black, white = ends
    if max(ends) > 2**31:
        values = values.view(np.uint32)  # Pillow holds them as signed
    if image.mode == "F" and not np.isfinite(values).all():
        raise ImageError(f"{name}: holds values that are not finite")
    levels = values.clip(min(ends), max(ends)).astype(np.float64)
    levels = (levels - black) * (65535 / (white - black))
    levels = levels.round().astype(np.uint16)
    curve = srgb_levels(image.info.get("icc_profile"))
    if curve is not None:
        levels = curve[levels]
    shallow = Image.fromarray((levels // 257).astype(np.uint8))
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        shallow.putalpha(Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8)))
        return shallow
    return Image.fromarray(levels) if deep else shallow


def _looked_up(image: Image.Image) -> Image.Image:
    """Without a palette and a declared transparent color, which profiles do not know of."""
    declared = image.mode in ("P", "PA") or "transparency" in image.info
    return _to_plain_mode(image) if declared else image


def _to_srgb(image: Image.Image) -> Image.Image:
    """Convert gray, RGB or CMYK through the embedded profile, if there is a usable one."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return image
    colors, alpha = split_alpha(image)
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


def _to_plain_mode(image: Image.Image) -> Image.Image:
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    return image.convert(f"{mode}A" if image.has_transparency_data else mode)


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """A plain image as its colors (L, I;16 or RGB) and its alpha channel (L), None if opaque."""
    if image.mode not in ("LA", "RGBA"):
        return image, None
    return image.convert(image.mode[:-1]), image.getchannel("A")
