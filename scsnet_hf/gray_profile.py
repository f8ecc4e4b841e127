"""Gray pictures with an embedded profile: their levels in sRGB."""

import io
import struct
from functools import cache

import numpy as np
from PIL import Image, ImageCms

_D50 = (63190, 65536, 54061)  # XYZ in units of 1 / 65536


def srgb_levels(profile: bytes | None) -> np.ndarray | None:
    """What each gray level is in sRGB.

    Args:
        profile: of gray pictures, as files embed it.

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
    kinds = (b"mntr", b"GRAY", b"XYZ ", b"acsp")  # display, colours, connection space, signature
    return struct.pack(">IxxxxI4s4s4s12x4s28x3i48x", size, version, *kinds, *_D50) + body
