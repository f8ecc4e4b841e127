"""Metadata of an image file, carried over to its result."""

from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageCms, ImageOps, PngImagePlugin, TiffImagePlugin

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
    """

    exif: bytes = b""
    dpi: tuple[float, float] | None = None
    xmp: bytes = b""
    text: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_image(cls, image: Image.Image) -> "Metadata":
        """Read the metadata of an image that Pillow opened and loaded."""
        xmp = ImageOps.exif_transpose(image).info.get("xmp", b"")  # without the orientation
        return cls(
            _descriptive(image.getexif()),
            _dots_per_inch(image),
            xmp.encode() if isinstance(xmp, str) else bytes(xmp),
            _text(image),
        )

    def save_arguments(self, image_format: str) -> dict[str, Any]:
        """Return keyword arguments of `PIL.Image.Image.save`: what a format can hold.

        They include an sRGB profile, as results are sRGB.

        Args:
            image_format: Pillow's name of the format.
        """
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


def _descriptive(exif: Image.Exif) -> bytes:
    kept = Image.Exif()
    for tag in _DESCRIPTIVE_TAGS & set(exif):
        kept[tag] = as_written(exif[tag])
    for tag in (_EXIF_DIRECTORY, _GPS_DIRECTORY):
        details = exif.get_ifd(tag)
        for name in details.keys() - _STORED_SIZE:
            kept.get_ifd(tag)[name] = details[name]
    block = kept.tobytes()
    return block if block != Image.Exif().tobytes() else b""


def _dots_per_inch(image: Image.Image) -> tuple[float, float] | None:
    """The resolution; None where a file gives only an aspect ratio, or nonsense."""
    horizontal, vertical = (float(value) for value in image.info.get("dpi", (0, 0)))
    sensible = 1 < horizontal < 2**16 and 1 < vertical < 2**16
    return (horizontal, vertical) if sensible else None


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
