"""Read an image from anywhere: a path, a URL, bytes, a PIL image, an array or a tensor."""

import base64
import http.client
import io
import os
import re
import struct
import sys
import time
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Union

import numpy as np
from PIL import Image, UnidentifiedImageError

from .decoding import ImageError, decode, report_damage
from .unusual_files import (
    bit_depth,
    has_damaged_exif,
    is_misread,
    is_reduced,
    jp2_profile,
    png_of_16_bits,
    readable_png,
    readable_tiff,
    tiff_tags,
    without_exif,
)

if TYPE_CHECKING:
    import torch  # which takes a second, and no file needs it

ImageSource = Union[
    str, os.PathLike, bytes, BinaryIO, Mapping[str, Any], Image.Image, np.ndarray, "torch.Tensor"
]

READABLE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .tif .tiff .bmp .dib .gif .ppm .pgm .pbm .pnm"
    " .pfm .avif .avifs .heic .heif .hif .heics .heifs .jp2 .j2k .j2c .jpc .jpf .jpx .tga .icb .vda"
    " .vst .ico".split()
)
# Pillow reads more, but some formats start other programs (EPS). TGA, without a signature, is last.
_FORMATS = "JPEG MPO PNG WEBP TIFF BMP DIB GIF PPM AVIF JPEG2000 ICO HEIF TGA".split()
_AVIF_BRANDS = (b"ftypavif", b"ftypavis")
_ICO_SIGNATURE = b"\0\0\1\0"
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_URL_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)  # RFC 3986, Sec. 3.1
# An image file in base64: what JPEG, PNG, WebP, GIF and TIFF begin with, and no suffix.
_BASE64_IMAGE = re.compile(r"(/9j/|iVBORw0KGgo|UklGR|R0lGOD|SUkq|TU0A)[A-Za-z0-9+/=\s]{60,}$")
_MAX_DOWNLOAD_BYTES = 256 * 2**20
_CHUNK_BYTES = 2**16
_USER_AGENT = "Mozilla/5.0 (compatible; scsnet_hf)"  # many servers refuse that of urllib


def load_image(
    source: ImageSource, keep_16_bits: bool = False, timeout: float | None = None
) -> Image.Image:
    """Read an image, the first one of a file that contains several, upright and in sRGB.

    Args:
        source: a path, an http(s) URL, a data URI, base64, bytes, a file object, a dict with
            `bytes` or `path`, a PIL image, a numpy array of shape (H, W) or (H, W, C), or a tensor
            of shape (H, W) or (C, H, W), with C from 1 to 4. Arrays and tensors contain sRGB as
            uint8, uint16 or float in [0, 1]. The EXIF orientation is applied, and what the file
            states about lightness (an embedded profile, the gamma of a PNG).
        keep_16_bits: return gray of more than 8 bits, and the lightness of colors of 16 bits, as
            mode I;16. Otherwise they are reduced to 8 bits by the range of their type.
        timeout: seconds that the download of a URL may take in all; the limits of `download` if
            None.

    Returns:
        Mode L, LA, RGB or RGBA; I;16 only with `keep_16_bits`.

    Raises:
        ImageError: if the image is missing, of an unknown format, damaged or empty, or has more
            pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
        TypeError: if `source` is of another type.
    """
    # A row of `datasets.Image(decode=False)`.
    if isinstance(source, Mapping) and source.keys() & {"bytes", "path"}:
        source = source.get("bytes") or source.get("path")
        if source is None:
            raise ImageError("the row has neither `bytes` nor a `path`")
    if isinstance(source, Image.Image):
        return decode(source, "the PIL image", keep_16_bits)
    if _is_tensor(source):
        return _from_tensor(source.detach().cpu(), keep_16_bits)
    if isinstance(source, np.ndarray):
        return _from_array(source, keep_16_bits)
    with open_image(source, timeout) as (image, name):
        return decode(image, name, keep_16_bits)


# Files


@contextmanager
def open_image(
    source: str | os.PathLike | bytes, timeout: float | None = None
) -> Iterator[tuple[Image.Image, str]]:
    """Open an image file without reading its pixels.

    Args:
        source: a path, an http(s) URL or bytes.
        timeout: as in `load_image`.

    Yields:
        The image as Pillow opens it, and what error messages call it.

    Raises:
        ImageError: as in `load_image`; also for what Pillow raises within the `with` block.
        TypeError: if `source` is of another type.
    """
    file, name = _open_file(source, timeout)
    with file, report_damage(name), _identify(file, name) as image:
        yield image, name


def _open_file(source: str | os.PathLike | bytes, timeout: float | None) -> tuple[BinaryIO, str]:
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source), f"the {len(source)} bytes"
    if hasattr(source, "read"):
        if hasattr(source, "seek") and source.seekable():
            source.seek(0)  # as Pillow does: it may have just been written to
        return io.BytesIO(source.read()), f"the file {getattr(source, 'name', 'object')}"
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            "an image must be a path, an http(s) URL, a data URI, bytes, a file object, a PIL "
            f"image, a numpy array or a tensor, not {type(source).__name__}"
        )
    name = os.fspath(source)
    if not name:
        raise ImageError("the path of the image is empty: give a path or an http(s) URL")
    limits = {} if timeout is None else {"max_seconds": timeout}
    try:
        if isinstance(source, str) and is_url(source):
            return io.BytesIO(download(source, **limits)), name
        if name[:5].lower() == "data:":
            return io.BytesIO(_from_data_uri(name)), f"{name[:30]}..."
        if _BASE64_IMAGE.match(name):
            return io.BytesIO(base64.b64decode(name)), f"{name[:30]}..."
        return Path(source).open("rb"), name
    except OSError as error:
        reason = error.strerror.lower() if error.errno else str(error)
        raise ImageError(f"{name}: {reason}") from None
    except ValueError as error:  # a null byte in a path, or damaged base64
        raise ImageError(f"{name[:100]!r}: {error}") from None


def _identify(file: BinaryIO, name: str) -> Image.Image:
    _check_png_header(file, name)
    header = file.read(12)
    file.seek(0)
    if header.startswith(_PNG_SIGNATURE):
        file = readable_png(file, name)
    elif header[4:12] in _AVIF_BRANDS and has_damaged_exif(file):
        file = without_exif(file, name)
    Image.init()
    formats = [known for known in _FORMATS if known in Image.OPEN]
    if header.startswith(_ICO_SIGNATURE):
        formats.remove("TGA")
    try:
        image = Image.open(file, formats=formats)
    except UnidentifiedImageError:
        rewritten = _rewritten(file, header, name)
        if rewritten is not None:
            return _identify(rewritten, name)
        empty = file.seek(0, io.SEEK_END) == 0
        reason = "is empty" if empty else "is not an image that can be read (JPEG, PNG, TIFF, ...)"
        raise ImageError(f"{name}: {reason}") from None
    except Image.DecompressionBombError:
        raise _too_many_pixels(name) from None
    check_pixels(image.size, name)
    if image.format == "TIFF":
        if is_misread(image):
            return _identify(readable_tiff(file, name, check_pixels), name)
        _select_full_size(image, name)
        return image
    if (deep := png_of_16_bits(image, file)) is not None:
        return _identify(deep, name)
    if image.format in ("JPEG2000", "AVIF"):
        image.info["bit_depth"] = bit_depth(image, file)
    if image.format == "JPEG2000" and (profile := jp2_profile(file)):
        image.info["icc_profile"] = profile
    return image


def _rewritten(file: BinaryIO, header: bytes, name: str) -> BinaryIO | None:
    """Return a file that was not identified in a form in which it is, if there is one."""
    if _registers_heif(header, name):
        file.seek(0)
        return file
    if header[4:12] in _AVIF_BRANDS:
        return without_exif(file, name)
    return readable_tiff(file, name, check_pixels) if tiff_tags(file) else None


def _select_full_size(image: Image.Image, name: str) -> None:
    """Select the first page of a TIFF that is no thumbnail, if there is one."""
    try:
        while is_reduced(image):
            image.seek(image.tell() + 1)
    except EOFError:
        image.seek(0)
    check_pixels(image.size, name)


def _check_png_header(file: BinaryIO, name: str) -> None:
    """Check the size that a PNG declares, as Pillow allocates an animated one when it opens it."""
    header = file.read(24)
    file.seek(0)
    if header.startswith(_PNG_SIGNATURE) and len(header) == 24:
        check_pixels(struct.unpack(">II", header[16:]), name)


def check_pixels(size: tuple[int, int], name: str) -> None:
    """Raise ImageError if (width, height) exceeds `PIL.Image.MAX_IMAGE_PIXELS`."""
    width, height = size
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise _too_many_pixels(name, f" ({width}x{height})")


def _too_many_pixels(name: str, size: str = "") -> ImageError:
    return ImageError(
        f"{name}: has more pixels{size} than the limit of {Image.MAX_IMAGE_PIXELS / 1e6:.1f} "
        "megapixels; if you trust it, raise PIL.Image.MAX_IMAGE_PIXELS (--max-megapixels)"
    )


def _registers_heif(header: bytes, name: str) -> bool:
    """Register the decoder of HEIF with Pillow if that is what the file needs."""
    if header[4:8] != b"ftyp" or header[8:] not in _HEIF_BRANDS or "HEIF" in Image.OPEN:
        return False
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ImageError(
            f"{name}: is HEIC, which needs another package: pip install 'scsnet_hf[heif]'"
        ) from None
    register_heif_opener()
    return True


# Downloads. By our own code because urllib alone limits neither the size nor the total time of a
# download, and follows redirects to ftp.


def is_url(source: str) -> bool:
    """Return whether `source` is a URL of any scheme rather than a path."""
    return _URL_SCHEME.match(source) is not None


def download(
    url: str,
    max_bytes: int = _MAX_DOWNLOAD_BYTES,
    max_seconds: float = 120,
    max_silence: float = 20,
) -> bytes:
    """Download an http or https URL, following redirects to other ones.

    Args:
        url: any URL.
        max_bytes: largest content accepted.
        max_seconds: longest time that the download may take in all.
        max_silence: longest time, in seconds, without a byte.

    Raises:
        OSError: if the URL has another scheme, cannot be fetched or exceeds a limit. The message
            does not name the URL.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise OSError("only http and https URLs are fetched")
    end = time.monotonic() + max_seconds
    content = bytearray()
    try:
        with _http_opener().open(
            _ascii_url(url), timeout=min(max_silence, max_seconds)
        ) as response:
            encoding = response.headers.get("Content-Encoding", "identity").lower()
            # Some servers compress whatever is accepted; 47: gzip or zlib.
            decompressor = None if encoding == "identity" else zlib.decompressobj(47)
            while chunk := response.read1(_CHUNK_BYTES):
                content += decompressor.decompress(chunk, max_bytes + 1) if decompressor else chunk
                if len(content) > max_bytes:
                    raise OSError(f"is larger than {max_bytes // 2**20} MiB")
                if time.monotonic() > end:
                    raise OSError(f"took longer than {max_seconds} seconds")
    except (ValueError, http.client.HTTPException, zlib.error) as error:
        raise OSError(f"could not be fetched ({error})") from None
    return bytes(content)


def _ascii_url(url: str) -> str:
    """Return a URL whose host and path may contain spaces and any letters as servers take it."""
    parts = urllib.parse.urlsplit(url.strip())
    host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    return urllib.parse.quote(parts._replace(netloc=host).geturl(), safe="%/:=&?~#+!$,;'@()*[]")


def _from_data_uri(uri: str) -> bytes:
    """Decode a data URI (RFC 2397)."""
    header, _, data = uri.partition(",")
    data = urllib.parse.unquote_to_bytes(data)
    return base64.b64decode(data) if header.lower().endswith(";base64") else data


def _http_opener() -> urllib.request.OpenerDirector:
    """Build an opener for http and https alone, so that no redirect reaches a file or ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", _USER_AGENT)]
    return opener


# Arrays and tensors


def _is_tensor(source: object) -> bool:
    torch = sys.modules.get("torch")  # without it, there are no tensors
    return torch is not None and isinstance(source, torch.Tensor)


def _from_tensor(tensor: "torch.Tensor", keep_16_bits: bool) -> Image.Image:
    _check_shape("the tensor", tuple(tensor.shape), channels_at=0)
    if tensor.ndim == 3:
        tensor = tensor.permute(1, 2, 0)
    if str(tensor.dtype) == "torch.bfloat16":  # unknown to numpy
        tensor = tensor.float()
    return _from_array(tensor.numpy(), keep_16_bits)


def _from_array(array: np.ndarray, keep_16_bits: bool) -> Image.Image:
    name = "the array"
    _check_shape(name, array.shape, channels_at=2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    keep_16_bits = keep_16_bits and array.ndim == 2  # Pillow has no colors of 16 bits
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < -1e-3 or array.max() > 1 + 1e-3:
            raise ImageError(f"{name}: float pixels must be finite and in [0, 1]")
        dtype = np.uint16 if keep_16_bits else np.uint8
        array = (array.clip(0, 1).astype(np.float64) * np.iinfo(dtype).max).round().astype(dtype)
    elif array.dtype == np.uint16:
        array = array if keep_16_bits else (array // 257).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ImageError(f"{name}: pixels are {array.dtype}; use uint8, uint16 or float in [0, 1]")
    return Image.fromarray(np.ascontiguousarray(array))


def _check_shape(name: str, shape: tuple[int, ...], channels_at: int) -> None:
    channels = shape[channels_at] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or channels > 4 or 0 in shape:
        layout = "(C, H, W)" if channels_at == 0 else "(H, W, C)"
        raise ImageError(
            f"{name}: has shape {shape}; accepted are (H, W) and {layout}, C from 1 to 4"
        )
