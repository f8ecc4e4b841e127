"""Pictures in and out: anything a user may hold becomes a Pillow picture in sRGB, upright."""

import http.client
import io
import os
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from .atomic_files import replacing

PictureSource = str | os.PathLike | bytes | Image.Image | np.ndarray | torch.Tensor
ACCEPTED = "a path, an http(s) URL, bytes, a PIL picture, a numpy array or a tensor"
READABLE_SUFFIXES = frozenset(
    ".jpg .jpeg .png .webp .tif .tiff .bmp .gif .ppm .pgm .pbm .avif".split()
)
WRITABLE_SUFFIXES = frozenset(".jpg .jpeg .png .webp .tif .tiff .bmp .ppm .avif".split())

# What Pillow raises on damaged files, depending on the format.
_DECODING_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)

_URL_TIMEOUT = 20  # seconds
_URL_BYTES = 256 * 2**20
_DEEP_GRAY_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_OPAQUE_SUFFIXES = (".jpg", ".jpeg", ".ppm", ".bmp")


class PictureError(ValueError):
    """A picture that cannot be read; the message is one line that names it."""


def pictures_in(folder: Path) -> Iterator[Path]:
    """Files of a folder, searched in depth, in order, whose suffix is one that can be read."""
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in READABLE_SUFFIXES and file.is_file():
            yield file


def load_picture(source: PictureSource) -> Image.Image:
    """Read a picture: upright, in sRGB, mode L, LA, RGB or RGBA.

    Args:
        source: a path, an http(s) URL, bytes, a PIL picture, a numpy array (H, W), (H, W, 1 to 4)
            or a tensor (H, W), (1 to 4, H, W). Arrays and tensors hold sRGB as uint8, uint16 or
            float in [0, 1]. The EXIF orientation is applied and an embedded profile converted.
            16-bit gray is reduced to 8 bit by its depth, whatever its values.

    Raises:
        PictureError: if it is not there, no picture, damaged or empty.
        TypeError: if it is nothing of the kind.
    """
    if isinstance(source, Image.Image):
        return _decode(source, "the PIL picture")
    if isinstance(source, bytes | bytearray | memoryview):
        return _open(io.BytesIO(source), f"the {len(source)} bytes")
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        return _open(io.BytesIO(_download(source)), source)
    if isinstance(source, str | os.PathLike):
        return _open_path(Path(source))
    if isinstance(source, torch.Tensor):
        return _from_tensor(source.detach().cpu())
    if isinstance(source, np.ndarray):
        return _from_array(source)
    raise TypeError(f"a picture must be {ACCEPTED}, not {type(source).__name__}")


def _open_path(path: Path) -> Image.Image:
    try:
        file = path.open("rb")
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror.lower()}") from None
    with file:
        return _open(file, str(path))


def _open(file, name: str) -> Image.Image:
    try:
        with Image.open(file) as picture:
            return _decode(picture, name)
    except UnidentifiedImageError:
        empty = file.seek(0, io.SEEK_END) == 0
        reason = "is empty" if empty else "is not a picture that can be read (JPEG, PNG, TIFF, ...)"
        raise PictureError(f"{name}: {reason}") from None
    except PictureError:
        raise
    except _DECODING_ERRORS as error:
        raise _damaged(name, error) from None


def _damaged(name: str, error: Exception) -> PictureError:
    return PictureError(f"{name}: is damaged or not supported ({' '.join(str(error).split())})")


def _decode(picture: Image.Image, name: str) -> Image.Image:
    if 0 in picture.size:
        raise PictureError(f"{name}: has no pixels ({picture.width}x{picture.height})")
    try:
        picture.load()
        # Neither touches the caller's own picture.
        upright = ImageOps.exif_transpose(picture)
        if upright.mode in ("P", "PA"):
            upright = _to_plain_mode(upright)
        return _to_plain_mode(_to_srgb(upright))
    except _DECODING_ERRORS as error:
        raise _damaged(name, error) from None


def _to_srgb(picture: Image.Image) -> Image.Image:
    """Convert RGB, RGBA or CMYK through the embedded profile, if there is a usable one."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "RGBA", "CMYK"):
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
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _to_plain_mode(picture: Image.Image) -> Image.Image:
    if picture.mode in _DEEP_GRAY_MODES:
        return Image.fromarray((np.asarray(picture).clip(0, 65535) // 257).astype(np.uint8))
    if picture.mode in ("LA", "La"):
        return picture.convert("LA")
    if picture.mode in ("PA", "RGBa", "RGBA") or "transparency" in picture.info:
        return picture.convert("RGBA")
    if picture.mode in ("1", "L", "F"):
        return picture.convert("L")
    return picture.convert("RGB")


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_URL_TIMEOUT) as response:
            content = response.read(_URL_BYTES + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise PictureError(f"{url}: could not be fetched ({error})") from None
    if len(content) > _URL_BYTES:
        raise PictureError(f"{url}: is larger than {_URL_BYTES // 2**20} MiB")
    return content


def _from_tensor(tensor: torch.Tensor) -> Image.Image:
    _check_shape("the tensor", tuple(tensor.shape), channels_at=0)
    if tensor.ndim == 3:
        tensor = tensor.permute(1, 2, 0)
    return _from_array((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


def _check_shape(name: str, shape: tuple[int, ...], channels_at: int) -> None:
    channels = shape[channels_at] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or channels > 4 or 0 in shape:
        layout = "(C, H, W)" if channels_at == 0 else "(H, W, C)"
        raise PictureError(
            f"{name}: has shape {shape}; accepted are (H, W) and {layout}, C from 1 to 4"
        )


def _from_array(array: np.ndarray) -> Image.Image:
    name = "the array"
    _check_shape(name, array.shape, channels_at=2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype == np.uint16:
        array = (array // 257).astype(np.uint8)
    elif np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < -1e-3 or array.max() > 1 + 1e-3:
            raise PictureError(f"{name}: float pixels must be finite and in [0, 1]")
        array = (array.clip(0, 1) * 255).round().astype(np.uint8)
    elif array.dtype != np.uint8:
        raise PictureError(
            f"{name}: pixels are {array.dtype}; use uint8, uint16 or float in [0, 1]"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def split_alpha(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """A loaded picture as its colours (L or RGB) and its alpha channel (L), None if opaque."""
    if picture.mode not in ("LA", "RGBA"):
        return picture, None
    return picture.convert(picture.mode[:-1]), picture.getchannel("A")


def check_writable_suffix(path: Path) -> None:
    """Raise ValueError unless the suffix of `path` names a format that can be written."""
    if path.suffix.lower() not in WRITABLE_SUFFIXES:
        raise ValueError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}; "
            f"use one of {' '.join(sorted(WRITABLE_SUFFIXES))}"
        )


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture in the format of the suffix: to a temporary name, then renamed.

    A format without transparency gets the picture on white.
    """
    check_writable_suffix(path)
    if picture.mode in ("LA", "RGBA") and path.suffix.lower() in _OPAQUE_SUFFIXES:
        colors, alpha = split_alpha(picture)
        picture = Image.new(colors.mode, picture.size, "white")
        picture.paste(colors, mask=alpha)
    with replacing(path) as temporary:
        picture.save(temporary, format=Image.registered_extensions()[path.suffix.lower()])
