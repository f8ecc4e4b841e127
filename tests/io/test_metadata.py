"""What is carried over from one file to another, and what is not."""

import io

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, TiffImagePlugin, features

from helpers.image_checks import encoded
from helpers.image_files import SIZE, exif_block, heic_bytes
from helpers.images import make_image
from scsnet_hf.io.image_file import ImageFile
from scsnet_hf.io.metadata import Metadata
from scsnet_hf.io.saving import save_image

IMAGE = make_image(*SIZE)
FORMATS = [
    name
    for name in ("JPEG", "PNG", "TIFF", "WEBP", "AVIF")
    if name not in ("WEBP", "AVIF") or features.check(name.lower())
]
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "WEBP": ".webp", "AVIF": ".avif"}
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6">a title'
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)
Base, Directory = ExifTags.Base, ExifTags.IFD


def full_exif(orientation: int = 6) -> bytes:
    """EXIF with tags of all directories: of the image, the camera, the place and a thumbnail."""
    exif = Image.Exif()
    exif.load(exif_block(orientation, ImageDescription="harbour", Artist="A. Person", Make="Maker"))
    exif.get_ifd(Directory.Exif)[Base.DateTimeOriginal] = "1931:05:17 12:00:00"
    exif.get_ifd(Directory.Exif)[Base.ExifImageWidth] = 4000
    exif.get_ifd(Directory.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return exif.tobytes()


def source(image_format: str, **options) -> bytes:
    if image_format == "HEIF":
        return heic_bytes(IMAGE, **options)
    if image_format == "PNG" and "xmp" in options:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode())
    if image_format == "TIFF" and "xmp" in options:
        options["tiffinfo"] = {TiffImagePlugin.XMP: options.pop("xmp")}
    return encoded(IMAGE, image_format, **options)


@pytest.fixture
def copied(tmp_path):
    """Saves the image in a format with the metadata of a file; gives the result, opened."""

    def copy(content: bytes, image_format: str, keep_16_bits: bool = False) -> Image.Image:
        path = tmp_path / "source"
        path.write_bytes(content)
        result = tmp_path / f"result{SUFFIXES.get(image_format, '.bmp')}"
        with ImageFile(path, keep_metadata=True) as file:
            image = next(file.frames())
        pixels = np.asarray(image).astype(np.uint16) * 257 if keep_16_bits else image
        save_image(pixels, result, metadata=file.metadata)
        opened = Image.open(result)
        opened.load()
        assert opened.size == image.size
        return opened

    return copy


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("origin", [*FORMATS, "HEIF"])
def test_exif_is_kept_and_says_upright(copied, origin, target):
    result = copied(source(origin, exif=full_exif()), target)
    assert result.size == SIZE[::-1]
    exif = result.getexif()
    assert exif[Base.ImageDescription] == "harbour"
    assert exif[Base.Artist] == "A. Person"
    assert exif[Base.Make] == "Maker"
    camera = exif.get_ifd(Directory.Exif)
    assert camera[Base.DateTimeOriginal] == "1931:05:17 12:00:00"
    assert exif.get_ifd(Directory.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
    assert exif.get(Base.Orientation, 1) == 1
    assert Base.ExifImageWidth not in camera


@pytest.mark.parametrize("target", FORMATS)
def test_exif_of_any_letters_is_kept(copied, target):
    stored = "Grüße, 写真".encode().decode("latin-1")  # as Pillow has it
    exif = Image.Exif()
    exif[Base.Artist] = stored.encode("latin-1")
    assert copied(source("JPEG", exif=exif.tobytes()), target).getexif()[Base.Artist] == stored


@pytest.mark.parametrize("target", ["PNG", "TIFF"])
def test_files_of_16_bits_keep_it_all(copied, target):
    content = source("JPEG", exif=full_exif(), dpi=(300, 150), xmp=XMP)
    result = copied(content, target, keep_16_bits=True)
    exif = result.getexif()
    assert exif[Base.Artist] == "A. Person"
    assert exif.get_ifd(Directory.Exif)[Base.DateTimeOriginal] == "1931:05:17 12:00:00"
    assert exif.get_ifd(Directory.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
    assert result.info["dpi"] == pytest.approx((300, 150), rel=1e-3)
    assert b"a title" in _xmp(result)
    assert "sRGB" in _profile_name(result)


@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("origin", ["JPEG", "PNG", "TIFF"])
def test_dots_per_inch_are_kept(copied, origin, target):
    result = copied(source(origin, dpi=(300, 150)), target)
    assert result.info["dpi"] == pytest.approx((300, 150), rel=1e-3)


def test_no_dots_per_inch_are_made_up():
    assert read_metadata_of(source("PNG")).dpi is None


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("origin", FORMATS)
def test_xmp_is_kept_without_the_orientation(copied, origin, target):
    xmp = _xmp(copied(source(origin, xmp=XMP), target))
    assert b"a title" in xmp
    assert b"Orientation" not in xmp


@pytest.mark.parametrize("text", ["plain", "Grüße, 写真"])
def test_text_of_png_is_kept(copied, text):
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("Title", text)
    chunks.add_text("Author", "A. Person", zip=True)
    result = copied(encoded(IMAGE, pnginfo=chunks), "PNG")
    assert {name: str(value) for name, value in result.text.items()} == {
        "Title": text,
        "Author": "A. Person",
    }


@pytest.mark.parametrize("origin", ["JPEG", "GIF"])
def test_comment_is_kept(copied, origin):
    content = encoded(IMAGE, origin, comment="Grüße")
    assert copied(content, "JPEG").info["comment"].decode() == "Grüße"
    assert copied(content, "PNG").text["Comment"] == "Grüße"


@pytest.mark.parametrize("target", FORMATS)
def test_result_is_tagged_as_srgb(copied, target):
    assert "sRGB" in _profile_name(copied(source("JPEG", exif=full_exif()), target))


def test_image_that_says_nothing_has_no_metadata():
    assert read_metadata_of(encoded(IMAGE, "PPM")) == Metadata()


@pytest.mark.parametrize("target", [*FORMATS, "BMP", "GIF", "PPM"])
def test_every_format_takes_full_metadata(target):
    content = source("JPEG", exif=full_exif(), dpi=(300, 300), xmp=XMP, comment="a comment")
    arguments = read_metadata_of(content).save_arguments(target)
    assert encoded(IMAGE, target, **arguments)


def read_metadata_of(content: bytes) -> Metadata:
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return Metadata.from_image(image)


def _xmp(image: Image.Image) -> bytes:
    xmp = image.info.get("xmp", b"")
    return xmp if isinstance(xmp, bytes) else xmp.encode()


def _profile_name(image: Image.Image) -> str:
    return ImageCms.getProfileDescription(io.BytesIO(image.info["icc_profile"]))
