"""Pictures in: anything a user may hold becomes a Pillow picture in sRGB, upright."""

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from .decoding import DECODING_ERRORS, PictureError, damaged, decode
from .downloads import download, is_url

PictureSource = str | os.PathLike | bytes | Image.Image | np.ndarray | torch.Tensor
ACCEPTED = "a path, an http(s) URL, bytes, a PIL picture, a numpy array or a tensor"
READABLE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .webp .tif .tiff .bmp .gif .ppm .pgm .pbm .pnm .avif"
    " .heic .heif".split()
)

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Pillow reads more, but some of it starts other programs (EPS), or takes any file for its own.
_FORMATS = "JPEG MPO PNG WEBP TIFF BMP DIB GIF PPM AVIF JPEG2000 TGA ICO HEIF".split()
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def load_picture(source: PictureSource, deep: bool = False) -> Image.Image:
    """Read a picture, the first of several in one file: upright, in sRGB.

    Args:
        source: a path, an http(s) URL, bytes, a PIL picture, a numpy array (H, W), (H, W, 1 to 4)
            or a tensor (H, W), (1 to 4, H, W). Arrays and tensors hold sRGB as uint8, uint16 or
            float in [0, 1]. The EXIF orientation is applied and an embedded profile converted.
        deep: keep gray of more than 8 bits, as mode I;16. Else it is reduced by its depth,
            whatever its values. (Pillow reads deep colours as 8 bits.)

    Returns:
        Mode L, LA, RGB or RGBA; I;16 with `deep`.

    Raises:
        PictureError: if it is not there, no picture, damaged, empty, or has more pixels than
            `PIL.Image.MAX_IMAGE_PIXELS`.
        TypeError: if it is nothing of the kind.
    """
    if isinstance(source, Image.Image):
        return decode(source, "the PIL picture", deep)
    if isinstance(source, torch.Tensor):
        return _from_tensor(source.detach().cpu(), deep)
    if isinstance(source, np.ndarray):
        return _from_array(source, deep)
    with opened(source) as (picture, name):
        return decode(picture, name, deep)


@contextmanager
def opened(
    source: str | os.PathLike | bytes,
) -> Iterator[tuple[Image.Image, str]]:
    """A picture file as Pillow opens it, its pixels not yet read, and what errors call it.

    Raises:
        PictureError, TypeError: see `load_picture`; also for what Pillow raises in the block.
    """
    file, name = _file(source)
    with file:
        try:
            with _open(file, name) as picture:
                yield picture, name
        except PictureError:
            raise
        except DECODING_ERRORS as error:
            raise damaged(name, error) from None


def _file(source: str | os.PathLike | bytes) -> tuple[io.BufferedIOBase, str]:
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source), f"the {len(source)} bytes"
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"a picture must be {ACCEPTED}, not {type(source).__name__}")
    name = os.fspath(source)
    try:
        if isinstance(source, str) and is_url(source):
            return io.BytesIO(download(source)), name
        return Path(source).open("rb"), name
    except OSError as error:
        reason = error.strerror.lower() if error.errno else str(error)
        raise PictureError(f"{name}: {reason}") from None
    except ValueError as error:  # a null byte in a path
        raise PictureError(f"{name!r}: {error}") from None


def _open(file: io.BufferedIOBase, name: str) -> Image.Image:
    _check_png_header(file, name)
    try:
        picture = Image.open(file, formats=_formats())
    except UnidentifiedImageError:
        if _registered_heif(file, name):
            return _open(file, name)
        empty = file.seek(0, io.SEEK_END) == 0
        reason = "is empty" if empty else "is not a picture that can be read (JPEG, PNG, TIFF, ...)"
        raise PictureError(f"{name}: {reason}") from None
    except Image.DecompressionBombError:
        raise _too_large(name) from None
    check_pixels(picture.size, name)
    return picture


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
    """Raise PictureError if (width, height) is more than `PIL.Image.MAX_IMAGE_PIXELS`."""
    width, height = size
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise _too_large(name, f" ({width}x{height})")


def _too_large(name: str, size: str = "") -> PictureError:
    return PictureError(
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
        raise PictureError(
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
        raise PictureError(
            f"{name}: has shape {shape}; accepted are (H, W) and {layout}, C from 1 to 4"
        )


def _from_array(array: np.ndarray, deep: bool) -> Image.Image:
    name = "the array"
    _check_shape(name, array.shape, channels_at=2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    deep = deep and array.ndim == 2  # Pillow has no deep colours
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < -1e-3 or array.max() > 1 + 1e-3:
            raise PictureError(f"{name}: float pixels must be finite and in [0, 1]")
        kind = np.uint16 if deep else np.uint8
        array = (array.clip(0, 1).astype(np.float64) * np.iinfo(kind).max).round().astype(kind)
    elif array.dtype == np.uint16:
        array = array if deep else (array // 257).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise PictureError(
            f"{name}: pixels are {array.dtype}; use uint8, uint16 or float in [0, 1]"
        )
    return Image.fromarray(np.ascontiguousarray(array))
