"""What a picture file says beside its pixels, to be carried over to its result."""

from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageCms, ImageOps, PngImagePlugin

# Tags of EXIF 2.3 that are about the picture, not about how the file stores it.
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
    """Metadata of a picture, in the form that Pillow writes.

    Attributes:
        exif: EXIF block, upright and without sizes and thumbnail; empty if there is none.
        dpi: horizontal and vertical pixels per inch, as in the source.
        xmp: XMP packet.
        text: text of PNG files by keyword, the comment of others as `Comment`.
    """

    exif: bytes = b""
    dpi: tuple[float, float] | None = None
    xmp: bytes = b""
    text: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, picture: Image.Image) -> "Metadata":
        """Of a picture as Pillow opened it, its pixels loaded."""
        xmp = ImageOps.exif_transpose(picture).info.get("xmp", b"")  # without the orientation
        dpi = picture.info.get("dpi")
        return cls(
            _descriptive(picture.getexif()),
            tuple(float(value) for value in dpi) if dpi and min(dpi) > 1 else None,
            xmp.encode() if isinstance(xmp, str) else bytes(xmp),
            _text(picture),
        )

    def save_arguments(self, picture_format: str) -> dict[str, Any]:
        """Keyword arguments of `PIL.Image.Image.save` for a format; what it cannot hold is left.

        The result is tagged as sRGB, which it is.
        """
        arguments: dict[str, Any] = {"icc_profile": _srgb_profile()}
        if self.exif:
            arguments["exif"] = self.exif
        if self.dpi and picture_format in ("PNG", "JPEG", "TIFF", "BMP"):
            arguments["dpi"] = self.dpi
        if self.xmp and picture_format in ("JPEG", "WEBP", "AVIF"):
            arguments["xmp"] = self.xmp
        if picture_format == "PNG":
            arguments["pnginfo"] = self._png_text()
        elif picture_format == "JPEG" and "Comment" in self.text:
            arguments["comment"] = self.text["Comment"].encode()
        return arguments

    def _png_text(self) -> PngImagePlugin.PngInfo:
        chunks = PngImagePlugin.PngInfo()
        for keyword, text in self.text.items():
            chunks.add_itxt(keyword, text)
        if self.xmp:
            chunks.add_itxt("XML:com.adobe.xmp", self.xmp.decode("utf-8", "replace"))
        return chunks


def _descriptive(exif: Image.Exif) -> bytes:
    kept = Image.Exif()
    for tag in _DESCRIPTIVE_TAGS & set(exif):
        kept[tag] = exif[tag]
    for tag in (_EXIF_DIRECTORY, _GPS_DIRECTORY):
        details = exif.get_ifd(tag)
        for name in details.keys() - _STORED_SIZE:
            kept.get_ifd(tag)[name] = details[name]
    block = kept.tobytes()
    return block if block != Image.Exif().tobytes() else b""


def _text(picture: Image.Image) -> dict[str, str]:
    text = {
        keyword: str(value)
        for keyword, value in getattr(picture, "text", {}).items()
        if keyword != "XML:com.adobe.xmp"
    }
    comment = picture.info.get("comment")
    if comment:
        text["Comment"] = (
            comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)
        )
    return text


def _srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
