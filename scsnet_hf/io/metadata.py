"""Metadata of an image file, carried over to its result."""

import io
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

_logger = logging.getLogger(__name__)

# Tags of EXIF 2.3 that describe the image, not how the file stores it.
_DESCRIPTIVE_TAGS = frozenset(
    {
        270,  # ImageDescription
        271,  # Make
        272,  # Model
        305,  # Software
        306,  # DateTime
        315,  # Artist
        316,  # HostComputer
        18246,  # Rating
        33432,  # Copyright
        *range(40091, 40096),  # XPTitle, XPComment, XPAuthor, XPKeywords, XPSubject
    }
)
_EXIF_DIRECTORY, _GPS_DIRECTORY = 34665, 34853
_STORED_SIZE = {40962, 40963}  # PixelXDimension, PixelYDimension
# What Pillow takes for an orientation in XMP.
_XMP_ORIENTATION = re.compile(
    rb'<tiff:Orientation>[2-8]</tiff:Orientation>|tiff:Orientation="[2-8]"'
)


@dataclass(frozen=True)
class Metadata:
    """Metadata of an image, in the form that Pillow writes.

    Example:
        >>> image = Image.open("old.jpg")
        >>> image.load()
        >>> result.save("new.jpg", **Metadata.from_image(image).save_arguments("JPEG"))

    Attributes:
        exif: EXIF block without orientation, sizes and thumbnail; empty if there is none.
        dpi: horizontal and vertical pixels per inch; None if the file does not say.
        xmp: XMP packet; empty if there is none.
        text: text of a PNG by keyword; comments of other formats under `Comment`.
        name: what warnings call the image.
    """

    exif: bytes = b""
    dpi: tuple[float, float] | None = None
    xmp: bytes = b""
    text: dict[str, str] = field(default_factory=dict)
    name: str = "the image"

    @classmethod
    def from_image(cls, image: Image.Image, name: str = "the image") -> "Metadata":
        """Read the metadata of an image that Pillow opened and loaded.

        Parts that are damaged are left out with a warning.

        Args:
            image: the image.
            name: what a warning calls it.
        """

        def read(part: str, reader: Callable[[Image.Image], Any], default: Any) -> Any:
            try:
                return reader(image)
            except Exception as error:  # it differs from damage to damage
                _logger.warning("%s: its %s is damaged and left out (%s)", name, part, error)
                return default

        return cls(
            read("EXIF", _descriptive, b""),
            read("resolution", _dots_per_inch, None),
            read("XMP", _xmp, b""),
            read("text", _text, {}),
            name,
        )

    def save_arguments(self, image_format: str) -> dict[str, Any]:
        """Return keyword arguments of `PIL.Image.Image.save`: what a format can hold.

        They include an sRGB profile, as results are sRGB. Parts that cannot be written, such as
        those too long for the format, are left out with a warning.

        Args:
            image_format: Pillow's name of the format.
        """
        arguments, writable = self._save_arguments(image_format), {}
        for part, value in arguments.items():
            try:
                Image.new("RGB", (1, 1)).save(io.BytesIO(), image_format, **{part: value})
                writable[part] = value
            except Exception as error:  # it differs from format to format
                _logger.warning(
                    "%s: its %s cannot be written as %s and is left out (%s)",
                    self.name, part, image_format, error,
                )  # fmt: skip
        return writable

    def _save_arguments(self, image_format: str) -> dict[str, Any]:
        arguments: dict[str, Any] = {"icc_profile": _srgb_profile()}
        if image_format == "TIFF":
            arguments["exif"] = self._tiff_tags()
        elif self.exif:
            arguments["exif"] = self.exif
        if self.dpi and image_format in ("PNG", "JPEG", "TIFF", "BMP"):
            arguments["dpi"] = self.dpi
        if self.xmp and image_format in ("JPEG", "WEBP", "AVIF"):
            arguments["xmp"] = self.xmp
        if image_format == "PNG":
            arguments["pnginfo"] = self._png_text()
        elif image_format == "JPEG" and "Comment" in self.text:
            arguments["comment"] = self.text["Comment"].encode()
        return arguments

    def _tiff_tags(self) -> Image.Exif:
        """EXIF and XMP as tags of a TIFF."""
        tags = Image.Exif()
        tags.load(self.exif)
        for tag, value in tags.items():
            tags[tag] = as_written(value)
        if self.xmp:
            tags[TiffImagePlugin.XMP] = self.xmp
        return tags

    def _png_text(self) -> PngImagePlugin.PngInfo:
        chunks = PngImagePlugin.PngInfo()
        for keyword, text in self.text.items():
            chunks.add_itxt(keyword, text)
        if self.xmp:
            chunks.add_itxt("XML:com.adobe.xmp", self.xmp.decode("utf-8", "replace"))
        return chunks


def as_written(value: Any) -> Any:
    """Return the value of an EXIF or TIFF tag with the bytes that it was read from.

    Pillow reads text as Latin-1, whatever its encoding, and would write it as ASCII.
    """
    return value.encode("latin-1", "replace") if isinstance(value, str) else value


def _descriptive(image: Image.Image) -> bytes:
    exif, kept = image.getexif(), Image.Exif()
    for tag in _DESCRIPTIVE_TAGS & set(exif):
        if _is_writable(tag, value := as_written(exif[tag])):
            kept[tag] = value
    for directory in (_EXIF_DIRECTORY, _GPS_DIRECTORY):
        details = exif.get_ifd(directory)
        for tag in details.keys() - _STORED_SIZE:
            if _is_writable(tag, details[tag], directory):
                kept.get_ifd(directory)[tag] = details[tag]
    block = kept.tobytes()
    return block if block != Image.Exif().tobytes() else b""


def _is_writable(tag: int, value: Any, directory: int | None = None) -> bool:
    """Return whether Pillow can write the value of a tag; ratios without denominator it cannot."""
    exif = Image.Exif()
    (exif if directory is None else exif.get_ifd(directory))[tag] = value
    try:
        exif.tobytes()
    except Exception:  # it differs from value to value
        return False
    return True


def _dots_per_inch(image: Image.Image) -> tuple[float, float] | None:
    """The resolution; None where a file gives only an aspect ratio, or nonsense."""
    horizontal, vertical = (float(value) for value in image.info.get("dpi", (0, 0)))
    sensible = 1 < horizontal < 2**16 and 1 < vertical < 2**16
    return (horizontal, vertical) if sensible else None


def _xmp(image: Image.Image) -> bytes:
    """The XMP packet without the orientation, which has been applied."""
    xmp = image.info.get("xmp", b"")
    return _XMP_ORIENTATION.sub(b"", xmp.encode() if isinstance(xmp, str) else bytes(xmp))


def _text(image: Image.Image) -> dict[str, str]:
    text = {
        keyword: str(value)
        for keyword, value in getattr(image, "text", {}).items()
        if keyword != "XML:com.adobe.xmp"
    }
    comment = image.info.get("comment")
    if comment:
        text["Comment"] = (
            comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)
        )
    return text


def _srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
