"""Rewrite files that Pillow refuses or misreads, in memory, so that it reads them."""

import io
import logging
import struct
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin

from .decoding import ImageError, float_range

_logger = logging.getLogger(__name__)

# PNG: chunks with text or a profile, and the lengths that others have at least.
_TEXT, _COMPRESSED = (b"tEXt", b"zTXt", b"iTXt"), (b"zTXt", b"iTXt", b"iCCP")
_LENGTHS = {b"pHYs": 9, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"cICP": 4}
_LIGHTNESS = (b"iCCP", b"sRGB", b"gAMA")  # which cICP takes precedence over
# For transfer characteristics of ITU-T H.273: chunks that say the same.
_SRGB, _GAMMA = (b"sRGB", b"\0"), lambda gamma: (b"gAMA", struct.pack(">I", round(1e5 / gamma)))
_TRANSFERS = dict.fromkeys((1, 6, 13, 14, 15), _SRGB) | {
    4: _GAMMA(2.2),
    5: _GAMMA(2.8),
    8: _GAMMA(1),
}

# Tags and values of TIFF 6.0.
_SUBFILE, _PHOTOMETRIC, _PLANAR_CONFIGURATION, _EXTRA_SAMPLES = 254, 262, 284, 338
_BITS, _COMPRESSION, _SAMPLES, _SAMPLE_FORMAT = 258, 259, 277, 339
_REDUCED, _MASK = 1, 4  # bits of _SUBFILE
_BIG_TIFF = 43
_GRAY, _YCBCR, _PREMULTIPLIED = (0, 1), 6, (1,)
_WEBP = 50001  # of _COMPRESSION
_COPIED_TAGS = (270, 271, 272, 274, 306, 315, 700, 33432, 34675)
_KINDS = {1: "", 2: "signed ", 3: "float ", 5: "complex ", 6: "complex float "}
_PHOTOMETRICS = {0: "gray", 1: "gray", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "Lab"}


def is_reduced(image: Image.Image) -> bool:
    """Return whether the page of a TIFF is a thumbnail, a level of a pyramid or a mask."""
    kind = getattr(image, "tag_v2", {}).get(_SUBFILE, 0)
    return bool(kind & (_REDUCED | _MASK))


# PNG (W3C Recommendation, Third Edition, 2025)


def readable_png(file: BinaryIO, name: str) -> BinaryIO:
    """Return a PNG without ancillary chunks that Pillow refuses; the same file if it has none.

    These are damaged ones, and text that exceeds Pillow's limits. A cICP chunk, which Pillow does
    not know, is replaced by one that states the same lightness.

    Args:
        file: at its begin, where it is again afterwards.
        name: what a warning calls it.
    """
    chunks, dropped, stated, text = [], set(), None, 0
    position = file.seek(8)
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        is_ancillary = kind[:1].islower() and kind not in (b"fcTL", b"fdAT")
        if is_ancillary:
            content, checksum = file.read(length), file.read(4)
            size = _ancillary_size(kind, content, checksum)
            text += size or 0 if kind in _TEXT else 0
            if size is None or text > PngImagePlugin.MAX_TEXT_MEMORY:
                dropped.add(kind)
            elif kind == b"cICP":
                stated = _TRANSFERS.get(content[1])
        chunks.append((kind, position, length + 12))
        position = file.seek(position + length + 12)
    file.seek(0)
    if dropped:
        kinds = ", ".join(sorted(kind.decode("latin-1") for kind in dropped))
        _logger.warning("%s: metadata that cannot be read were left out (%s)", name, kinds)
    left_out = dropped | set(_LIGHTNESS) if stated else dropped
    if not left_out:
        return file
    content = file.read()
    file.seek(0)
    parts = [content[:8]]
    for kind, start, length in chunks:
        if kind not in left_out:
            parts.append(content[start : start + length])
        if kind == b"IHDR" and stated:
            parts.append(_chunk(*stated))
    return io.BytesIO(b"".join(parts))


def _ancillary_size(kind: bytes, content: bytes, checksum: bytes) -> int | None:
    """Return the decompressed size of an ancillary chunk; None if Pillow refuses the chunk."""
    if checksum != struct.pack(">I", zlib.crc32(kind + content)):
        return None
    if kind not in _COMPRESSED:
        return len(content) if len(content) >= _LENGTHS.get(kind, 0) else None
    _, separator, rest = content.partition(b"\0")
    if kind == b"iTXt":
        flag, rest = rest[:1], rest[1:]
        if flag == b"\0":
            return len(content)
        rest = rest[:1] + rest[1:].split(b"\0", 2)[-1]
    if not separator or rest[:1] != b"\0":
        return None
    try:
        decompressor = zlib.decompressobj()
        size = len(decompressor.decompress(rest[1:], PngImagePlugin.MAX_TEXT_CHUNK))
    except zlib.error:
        return 0  # which Pillow leaves out itself
    return None if decompressor.unconsumed_tail else size


# JPEG 2000 (ISO/IEC 15444-1) and AVIF


def jp2_profile(file: BinaryIO) -> bytes | None:
    """Return the ICC profile of a JP2 file, which Pillow ignores; None if it has none."""
    file.seek(0)
    header = file.read(2**20)
    place = header.find(b"jp2h")
    place = header.find(b"colr", place) if place >= 0 else -1
    if place < 4 or header[place + 4 : place + 5] not in (b"\2", b"\3"):  # methods with a profile
        return None
    (length,) = struct.unpack(">I", header[place - 4 : place])
    return header[place + 7 : place - 4 + length]


def has_damaged_exif(file: BinaryIO) -> bool:
    """Return whether an AVIF file has EXIF without a header, for which libavif refuses it."""
    content = file.read()
    file.seek(0)
    return b"Exif" in content and b"MM\0*" not in content and b"II*\0" not in content


def without_exif(file: BinaryIO, name: str) -> BinaryIO | None:
    """Return an AVIF file with its EXIF renamed, so that Pillow does not read it; None without.

    AVIF states the orientation beside EXIF.
    """
    file.seek(0)
    content = file.read()
    if b"Exif" not in content:
        return None
    _logger.warning("%s: its EXIF is damaged and left out", name)
    return io.BytesIO(content.replace(b"Exif", b"skip"))


# More than 8 bits a channel


def bit_depth(image: Image.Image, file: BinaryIO) -> int:
    """Return the bits a channel that an opened AVIF, JPEG 2000 or HEIC file states, 8 for others.

    Of 10 and 12 in AVIF it is 10.
    """
    file.seek(0)
    header = file.read(2**16)
    if image.format == "JPEG2000" and (place := header.find(b"\xff\x4f\xff\x51")) >= 0:
        return (header[place + 42] & 0x7F) + 1
    if image.format == "AVIF" and (place := header.find(b"av1C")) >= 0:
        return 10 if header[place + 6] & 0x40 else 8
    return image.info.get("bit_depth", 8)


def png_of_16_bits(image: Image.Image, file: BinaryIO) -> BinaryIO | None:
    """Return colors of more than 8 bits in a HEIC or PPM file as PNG, as Pillow keeps 8 of them.

    Returns:
        A file with the metadata of `image`, upright; None if there are no such colors.
    """
    size = image.height, image.width, len(image.getbands())
    if image.format == "HEIF" and image.mode in ("RGB", "RGBA") and bit_depth(image, file) > 8:
        try:
            from pillow_heif import open_heif
        except ImportError:  # it was there when the file was opened
            return None
        file.seek(0)
        opened = open_heif(file, convert_hdr_to_8bit=False)
        levels = np.array(opened)  # a copy: before 1.1 the array did not keep its memory alive
    elif image.format == "PPM" and image.mode == "RGB" and image.tile[0].codec_name == "ppm":
        file.seek(image.tile[0].offset)
        levels = np.frombuffer(file.read(2 * np.prod(size)), ">u2")
        levels = (levels * (65535 / image.tile[0].args[1])).round().clip(0, 65535)
    else:
        return None
    if levels.size != np.prod(size):
        return None  # as it is cut off, of which Pillow tells
    rows = levels.reshape(size).astype(">u2").view(np.uint8).reshape(image.height, -1)
    return _png(image, np.pad(rows, ((0, 0), (1, 0))).tobytes())


def _png(image: Image.Image, rows: bytes) -> BinaryIO:
    """Return a PNG of RGB or RGBA of 16 bits with the size and metadata of an image."""
    color_type = 2 if image.mode == "RGB" else 6
    header = struct.pack(">IIBBBBB", *image.size, 16, color_type, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", header)]
    if profile := image.info.get("icc_profile"):
        parts.append(_chunk(b"iCCP", b"profile\0\0" + zlib.compress(profile)))
    if exif := image.info.get("exif"):
        parts.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    if xmp := image.info.get("xmp"):
        parts.append(_chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + xmp))
    parts += [_chunk(b"IDAT", zlib.compress(rows, 0)), _chunk(b"IEND", b"")]
    return io.BytesIO(b"".join(parts))


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


# TIFF


def tiff_tags(file: BinaryIO) -> dict[int, Any]:
    """Return the tags of the first page of a TIFF; none if the file is no TIFF or damaged."""
    file.seek(0)
    try:
        header = file.read(8)
        order = header[:2]
        if _BIG_TIFF in header[2:4]:  # which Pillow overlooks where it is the last byte
            header = b"II+\0" + header[4:] + file.read(8)
        directory = TiffImagePlugin.ImageFileDirectory_v2(header, prefix=order)
        file.seek(directory.next)
        directory.load(file)
        return dict(directory)
    except Exception:  # it differs from damage to damage
        return {}
    finally:
        file.seek(0)


def is_misread(image: Image.Image) -> bool:
    """Return whether Pillow identifies a TIFF, but reads wrong pixels or none."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return False
    bits, colors = tags.get(_BITS, (1,))[0], tags.get(_PHOTOMETRIC)
    alpha, is_compressed = tags.get(_EXTRA_SAMPLES, ())[:1], tags.get(_COMPRESSION, 1) != 1
    in_planes = tags.get(_PLANAR_CONFIGURATION) == 2 and tags.get(_SAMPLES, 1) > 1
    # The bytes of compressed signed numbers and floats are swapped twice.
    is_swapped = is_compressed and tags.prefix == b"MM" and tags.get(_SAMPLE_FORMAT, (1,))[0] != 1
    return bool(
        (in_planes and (bits == 16 or alpha == _PREMULTIPLIED or (alpha and colors in _GRAY)))
        or (bits > 8 and is_swapped)
        or (bits == 16 and alpha == _PREMULTIPLIED)
        or (colors == _YCBCR and not is_compressed)
        or tags.get(_COMPRESSION) == _WEBP  # which its libtiff lacks
    )


def readable_tiff(
    file: BinaryIO, name: str, check_pixels: Callable[[tuple[int, int], str], None]
) -> BinaryIO:
    """Decode the pages of a TIFF by tifffile and write them as kinds that Pillow reads.

    Args:
        file: of a kind that Pillow does not read.
        name: what error messages call it.
        check_pixels: raises for a page that is too large, which is then not decoded.

    Returns:
        Pages of 8 or 16 bits a channel: gray or RGB, perhaps with alpha.

    Raises:
        ImageError: if tifffile is missing or does not read the file either.
    """
    kind = _kind(tiff_tags(file))
    try:
        import tifffile
    except ImportError:
        raise ImageError(f"{name}: is a {kind}: pip install 'scsnet_hf[tiff]'") from None
    result = io.BytesIO()
    try:
        with tifffile.TiffFile(file) as source, tifffile.TiffWriter(result) as target:
            for page in source.pages:
                check_pixels((page.imagewidth, page.imagelength), name)
                levels, has_alpha = _levels(page, name)
                is_gray = levels.shape[-1] < 3
                if is_gray and has_alpha:  # Pillow reads it with colors alone
                    levels = levels[..., [0, 0, 0, 1]]
                target.write(
                    levels.squeeze(-1) if levels.shape[-1] == 1 else levels,
                    photometric="minisblack" if levels.shape[-1] == 1 else "rgb",
                    extrasamples=["unassalpha"] if has_alpha else None,
                    subfiletype=int(page.subfiletype),
                    resolution=page.resolution,
                    resolutionunit=page.resolutionunit,
                    software=False,
                    metadata=None,
                    extratags=[
                        (tag.code, tag.dtype, tag.count, tag.value, True)
                        for tag in page.tags
                        if tag.code in _COPIED_TAGS
                    ],
                )
    except ImageError:
        raise
    except Exception as error:  # it differs from kind to kind
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: is a {kind} that cannot be read ({reason})") from None
    return result


def _kind(tags: dict[int, Any]) -> str:
    """Name the kind of a TIFF, for example "TIFF of float 64-bit gray"."""
    bits, sample_format = tags.get(_BITS, (1,)), tags.get(_SAMPLE_FORMAT, (1,))
    color = _PHOTOMETRICS.get(tags.get(_PHOTOMETRIC), "unknown color")
    extra = " with extra samples" if tags.get(_EXTRA_SAMPLES) else ""
    planes = " in planes" if tags.get(_PLANAR_CONFIGURATION) == 2 else ""
    kind = f"TIFF of {_KINDS.get(sample_format[0], '')}{bits[0]}-bit {color}{extra}{planes}"
    return f"{kind}, compression {tags.get(_COMPRESSION, 1)}"


def _levels(page: Any, name: str) -> tuple[np.ndarray, bool]:
    """Return a page of tifffile as (H, W, C) uint8 or uint16, and whether it ends with alpha."""
    values = page.asarray()
    photometric = int(page.photometric)
    shape = (page.imagelength, page.imagewidth)
    values = values.reshape(-1, *shape) if page.planarconfig == 2 else values.reshape(*shape, -1)
    if page.planarconfig == 2:
        values = np.moveaxis(values, 0, -1)
    if photometric == 3:  # palette
        return np.moveaxis(page.colormap, 0, -1)[values[..., 0]], False
    if photometric == _YCBCR and values.shape[-1] == 3 and values.dtype == np.uint8:
        return np.asarray(Image.fromarray(values, "YCbCr").convert("RGB")), False
    if photometric not in (0, 1, 2) or values.dtype.kind not in "buif":
        raise ValueError("neither gray, RGB nor palette")
    colors = 3 if photometric == 2 else 1
    alpha = int(page.extrasamples[0]) if page.extrasamples else 0
    values = values[..., : colors + (alpha in (1, 2))]
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise ImageError(f"{name}: contains values that are not finite")
        stated = page.tags.valueof(341)
        black, white = float_range(values[..., :colors], stated, name)
    else:
        bits = page.bitspersample - (values.dtype.kind == "i")
        black, white = 0, 2**bits - 1
    levels = (values.astype(np.float64) - black) / (white - black)
    if photometric == 0:
        levels[..., :colors] = 1 - levels[..., :colors]
    if alpha == 1:  # multiplied into the colors
        levels[..., :colors] /= np.maximum(levels[..., colors:], 1e-9)
    dtype = np.uint8 if page.bitspersample <= 8 else np.uint16
    levels = levels.clip(0, 1) * np.iinfo(dtype).max
    return levels.round().astype(dtype), alpha in (1, 2)
