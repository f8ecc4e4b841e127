"""Images in: anything a user may hold becomes a Pillow image in sRGB, upright."""

import http.client
import io
import os
import re
import struct
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from .decoding import (
    DECODING_ERRORS,
    ImageError,
    damaged,
    decode,
)

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)  # RFC 3986, Sec. 3.1
_FETCHED = ("http://", "https://")
_SILENCE = 20  # seconds without a byte
_SECONDS = 120  # in all
_BYTES = 256 * 2**20
_CHUNK = 2**16


def is_url(source: str) -> bool:
    """Whether `source` names something on the web, of any kind, and not a file."""
    return _SCHEME.match(source) is not None


def download(url: str) -> bytes:
    """The content of an http or https URL, also where it redirects to another.

    Raises:
        OSError: if it is another kind of URL, cannot be fetched, is larger than 256 MiB, or takes
            longer than two minutes. The message does not name the URL.
    """
    if not url.lower().startswith(_FETCHED):
        raise OSError("only http and https URLs are fetched")
    try:
        with _opener().open(url, timeout=_SILENCE) as response:
            return _read(response)
    except (ValueError, http.client.HTTPException) as error:
        raise OSError(f"could not be fetched ({error})") from None


def _opener() -> urllib.request.OpenerDirector:
    """One that knows http and https only: no redirect leads to a file or another protocol."""
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
    return opener


def _read(response: http.client.HTTPResponse) -> bytes:
    end = time.monotonic() + _SECONDS
    content = bytearray()
    while chunk := response.read1(_CHUNK):
        content += chunk
        if len(content) > _BYTES:
            raise OSError(f"is larger than {_BYTES // 2**20} MiB")
        if time.monotonic() > end:
            raise OSError(f"took longer than {_SECONDS} seconds")
    return bytes(content)


ImageSource = str | os.PathLike | bytes | Image.Image | np.ndarray | torch.Tensor
ACCEPTED = "a path, an http(s) URL, bytes, a PIL image, a numpy array or a tensor"
READABLE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .webp .tif .tiff .bmp .gif .ppm .pgm .pbm .pnm .avif"
    " .heic .heif".split()
)

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Pillow reads more, but some of it starts other programs (EPS), or takes any file for its own.
_FORMATS = "JPEG MPO PNG WEBP TIFF BMP DIB GIF PPM AVIF JPEG2000 TGA ICO HEIF".split()
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def load_image(source: ImageSource, deep: bool = False) -> Image.Image:
    """Read an image, the first of several in one file: upright, in sRGB.

    Args:
        source: a path, an http(s) URL, bytes, a PIL image, a numpy array (H, W), (H, W, 1 to 4)
            or a tensor (H, W), (1 to 4, H, W). Arrays and tensors hold sRGB as uint8, uint16 or
            float in [0, 1]. The EXIF orientation is applied and an embedded profile converted.
        deep: keep gray of more than 8 bits, as mode I;16. Else it is reduced by its depth,
            whatever its values. (Pillow reads deep colors as 8 bits.)

    Returns:
        Mode L, LA, RGB or RGBA; I;16 with `deep`.

    Raises:
        ImageError: if it is not there, no image, damaged, empty, or has more pixels than
            `PIL.Image.MAX_IMAGE_PIXELS`.
        TypeError: if it is nothing of the kind.
    """
    if isinstance(source, Image.Image):
        return decode(source, "the PIL image", deep)
    if isinstance(source, torch.Tensor):
        return _from_tensor(source.detach().cpu(), deep)
    if isinstance(source, np.ndarray):
        return _from_array(source, deep)
    with opened(source) as (image, name):
        return decode(image, name, deep)


@contextmanager
def opened(
    source: str | os.PathLike | bytes,
) -> Iterator[tuple[Image.Image, str]]:
    """An image file as Pillow opens it, its pixels not yet read, and what errors call it.

    Raises:
        ImageError, TypeError: see `load_image`; also for what Pillow raises in the block.
    """
    file, name = _file(source)
    with file:
        try:
            with _open(file, name) as image:
                yield image, name
        except ImageError:
            raise
        except DECODING_ERRORS as error:
            raise damaged(name, error) from None


def _file(source: str | os.PathLike | bytes) -> tuple[io.BufferedIOBase, str]:
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source), f"the {len(source)} bytes"
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"an image must be {ACCEPTED}, not {type(source).__name__}")
    name = os.fspath(source)
    try:
        if isinstance(source, str) and is_url(source):
            return io.BytesIO(download(source)), name
        return Path(source).open("rb"), name
    except OSError as error:
        reason = error.strerror.lower() if error.errno else str(error)
        raise ImageError(f"{name}: {reason}") from None
    except ValueError as error:  # a null byte in a path
        raise ImageError(f"{name!r}: {error}") from None


def _open(file: io.BufferedIOBase, name: str) -> Image.Image:
    _check_png_header(file, name)
    try:
        image = Image.open(file, formats=_formats())
    except UnidentifiedImageError:
        if _registered_heif(file, name):
            return _open(file, name)
        empty = file.seek(0, io.SEEK_END) == 0
        reason = "is empty" if empty else "is not an image that can be read (JPEG, PNG, TIFF, ...)"
        raise ImageError(f"{name}: {reason}") from None
    except Image.DecompressionBombError:
        raise _too_large(name) from None
    check_pixels(image.size, name)
    return image


def _formats() -> list[str]:
    """Those of `_FORMATS` that this Pillow reads."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _check_png_header(file: io.BufferedIOBase, name: str) -> None:
    """Look at the size of a PNG first: Pillow opens an animated one with room for all its pixels.

    So a header alone could take more memory than there is.
    """
    header = file.read(24)
    file.seek(0)
    if header.startswith(_PNG_SIGNATURE) and len(header) == 24:
        check_pixels(struct.unpack(">II", header[16:]), name)


def check_pixels(size: tuple[int, int], name: str) -> None:
    """Raise ImageError if (width, height) is more than `PIL.Image.MAX_IMAGE_PIXELS`."""
    width, height = size
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise _too_large(name, f" ({width}x{height})")


def _too_large(name: str, size: str = "") -> ImageError:
    return ImageError(
        f"{name}: has more pixels{size} than the limit of {Image.MAX_IMAGE_PIXELS / 1e6:.1f} "
        "megapixels; if you trust it, raise PIL.Image.MAX_IMAGE_PIXELS (--max-megapixels)"
    )


def _registered_heif(file: io.BufferedIOBase, name: str) -> bool:
    """Whether a file that Pillow does not know is HEIF, which Pillow has just learned to read."""
    file.seek(0)
    header = file.read(12)
    file.seek(0)
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


def _from_tensor(tensor: torch.Tensor, deep: bool) -> Image.Image:
    _check_shape("the tensor", tuple(tensor.shape), channels_at=0)
    if tensor.ndim == 3:
        tensor = tensor.permute(1, 2, 0)
    return _from_array((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy(), deep)


def _check_shape(name: str, shape: tuple[int, ...], channels_at: int) -> None:
    channels = shape[channels_at] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or channels > 4 or 0 in shape:
        layout = "(C, H, W)" if channels_at == 0 else "(H, W, C)"
        raise ImageError(
            f"{name}: has shape {shape}; accepted are (H, W) and {layout}, C from 1 to 4"
        )


def _from_array(array: np.ndarray, deep: bool) -> Image.Image:
    name = "the array"
    _check_shape(name, array.shape, channels_at=2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    deep = deep and array.ndim == 2  # Pillow has no deep colors
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < -1e-3 or array.max() > 1 + 1e-3:
            raise ImageError(f"{name}: float pixels must be finite and in [0, 1]")
        kind = np.uint16 if deep else np.uint8
        array = (array.clip(0, 1).astype(np.float64) * np.iinfo(kind).max).round().astype(kind)
    elif array.dtype == np.uint16:
        array = array if deep else (array // 257).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ImageError(f"{name}: pixels are {array.dtype}; use uint8, uint16 or float in [0, 1]")
    return Image.fromarray(np.ascontiguousarray(array))
