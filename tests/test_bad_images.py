"""Bad files: each is refused in one line that names it, and the others are still processed."""

import random
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from helpers.image_checks import encoded, refusal
from helpers.image_files import (
    encoded_frames,
    exif_block,
    moving,
    sample_files,
    tiff_12_bits,
    tiff_bytes,
    with_checksums,
)
from helpers.images import make_image
from scsnet_hf.image_io import ImageError, load_image
from scsnet_hf.io.image_colorizer import ImageColorizer
from scsnet_hf.io.image_file import ImageFile
from scsnet_hf.io.jobs import Job

pytestmark = pytest.mark.filterwarnings("ignore")  # of Pillow, about these files

HUGE = 2**31 - 1
MANY = ("animated.png", "animated.gif", "animated.avif", "pages.tif")


def truncations() -> Iterator[tuple[str, bytes]]:
    """Every sample, cut at two random places."""
    for name, content in sample_files().items():
        for part in range(2):
            rng = random.Random(f"{name} {part}")
            end = rng.randrange(1, int(0.8 * len(content)))
            yield f"cut at {end} {name}", content[:end]


def with_huge_png(content: bytes) -> bytes:
    png = bytearray(content)
    struct.pack_into(">II", png, 16, HUGE, HUGE)
    control = png.find(b"fcTL")
    if control > 0:  # a frame of that size, to be cleared afterwards
        struct.pack_into(">IIII", png, control + 8, HUGE, HUGE, 0, 0)
        png[control + 28] = 1
    return with_checksums(bytes(png))


def with_huge_tiff(content: bytes) -> bytes:
    tiff = bytearray(content)
    order = "<" if tiff[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (entries,) = struct.unpack_from(f"{order}H", tiff, start)
    for place in range(start + 2, start + 2 + 12 * entries, 12):
        (tag,) = struct.unpack_from(f"{order}H", tiff, place)
        if tag in (256, 257):  # ImageWidth, ImageLength
            struct.pack_into(f"{order}HII", tiff, place + 2, 4, 1, HUGE)
    return bytes(tiff)


def packed(content: bytes, place: int, layout: str, *values: int) -> bytes:
    changed = bytearray(content)
    struct.pack_into(layout, changed, place, *values)
    return bytes(changed)


def huge_headers() -> Iterator[tuple[str, bytes]]:
    """Small files that promise more pixels than any memory holds."""
    files = sample_files()
    for name in ("rgb.png", "gray16.png", "animated.png"):
        yield f"huge {name}", with_huge_png(files[name])
    for name in ("raw.tif", "deflate.tif", "gray16.tif", "float.tif", "pages.tif", "fax.tif"):
        yield f"huge {name}", with_huge_tiff(files[name])
    for name in ("rgb.jpg", "progressive.jpg"):
        content = files[name]
        start = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))  # start of frame
        yield f"huge {name}", packed(content, start + 5, ">HH", 65535, 65535)
    for name in ("still.gif", "animated.gif"):
        yield f"huge {name}", packed(files[name], 6, "<HH", 65535, 65535)
    yield "huge rgb.bmp", packed(files["rgb.bmp"], 18, "<ii", HUGE, HUGE)
    yield "huge rgb.ppm", files["rgb.ppm"].replace(b"29 22", b"999999 999999")
    canvas = files["animated.webp"].find(b"VP8X") + 12
    yield "huge animated.webp", packed(files["animated.webp"], canvas, "<HBHB", 16383, 0, 16383, 0)
    for name in ("rgb.avif", "rgb.heic"):
        extent = files[name].find(b"ispe") + 8
        yield f"huge {name}", packed(files[name], extent, ">II", HUGE, HUGE)


def bombs() -> Iterator[tuple[str, bytes]]:
    """Sound files that unpack to far more than they are."""
    even = Image.new("1", (10_000, 10_000))
    yield "bomb.png", encoded(even)
    yield "bomb.tif", encoded(even, "TIFF", compression="group4")


def no_images() -> Iterator[tuple[str, bytes]]:
    """Files that are something else, whatever their suffix says."""
    yield "empty.png", b""
    yield "one byte.jpg", b"\xff"
    yield "zeros.tif", bytes(500)
    yield "noise.webp", random.Random(0).randbytes(500)
    yield "text.png", "Kein Bild, 写真".encode() * 20
    yield "page.jpg", b"<html><body>404</body></html>"
    yield "archive.png", b"PK\x03\x04" + bytes(60)
    yield "document.tif", b"%PDF-1.7\n" + bytes(60)
    yield "vector.png", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    for name in ("rgb.png", "rgb.jpg", "lossy.webp", "animated.gif", "rgb.avif", "rgb.heic"):
        yield f"signature of {name}", sample_files()[name][:12]


def impossible() -> Iterator[tuple[str, bytes]]:
    """Images that break a rule of their format, or that nothing can be made of."""
    yield "not finite.tif", tiff_bytes(np.full((4, 6), np.nan, dtype=np.float32))
    yield "not finite doubles.tif", tiff_bytes(np.full((4, 6), np.nan), photometric="minisblack")
    yield "complex.tif", tiff_bytes(np.zeros((4, 6), dtype=np.complex64))
    yield "no pixels.ppm", b"P6 0 5 255 "
    yield "negative.ppm", b"P6 -4 5 255 " + bytes(60)
    yield "no levels.pgm", b"P5 4 5 0 " + bytes(60)
    yield "words.ppm", b"P6 four 5 255 " + bytes(60)
    png = sample_files()["rgb.png"]
    yield "wrong checksum.png", packed(png, 29, ">I", 0)
    yield "no pixels.png", png[: png.find(b"IDAT") - 4]
    gif = sample_files()["still.gif"]
    yield "no frame.gif", gif[:13] + b";"
    tiff = bytearray(tiff_12_bits(np.zeros((1, 4))))
    yield "directory beyond the end.tif", packed(bytes(tiff), 4, "<I", 2**31)


BAD = dict(
    entry for kind in (truncations, huge_headers, bombs, no_images, impossible) for entry in kind()
)

# A cut may leave a first frame or page.
FORGIVEN = {name for name in BAD if name.startswith("cut") and name.endswith(MANY)}


def test_there_are_enough_bad_files():
    assert len(set(BAD) - FORGIVEN) >= 60


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_file_is_refused_by_name_in_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BAD[name])
    if name in FORGIVEN:
        try:
            load_image(path)
        except ImageError as error:
            assert str(error).startswith(str(path))
            assert "\n" not in str(error)
    else:
        assert refusal(path).startswith(str(path))


@pytest.mark.parametrize("name", sorted(dict(huge_headers()) | dict(bombs())))
def test_refusal_of_a_file_that_is_too_large_names_its_size(name):
    reasons = ("more pixels", "exceeds", "not an image", "Image size")
    assert any(reason in refusal(BAD[name]) for reason in reasons)


def test_neighbors_of_bad_files_are_done(tmp_path, tiny_pipe):
    good = sorted(sample_files().items())[::3]
    jobs = []
    for index, (name, content) in enumerate(BAD.items()):
        neighbor_name, neighbor = good[index % len(good)]
        for kind, file, data in (("bad", name, content), ("good", neighbor_name, neighbor)):
            source = tmp_path / "in" / kind / f"{index} {file}"
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(data)
            jobs.append(Job(source, tmp_path / kind / f"{index}.png"))

    def colorize(image, depth):
        return tiny_pipe.strips(image, scale=0.5, depth=depth)

    colorizer = ImageColorizer(colorize, lambda: colorize)
    refused = set()
    for job in jobs:
        try:
            with ImageFile(job.source) as source:
                colorizer(source, job.target)
        except ImageError as error:
            assert str(error).startswith(str(job.source))
            refused.add(job)
    assert all(job.source.parent.name == "bad" for job in refused)
    assert len(refused) >= 0.8 * len(BAD)
    for job in jobs:
        pages = job.target.with_suffix(".tif")
        assert (job.target.is_file() or pages.is_file()) == (job not in refused)
        assert job.source.is_file()
    left = [file.name for kind in ("bad", "good") for file in (tmp_path / kind).iterdir()]
    assert len(left) == len(jobs) - len(refused)


def test_flipped_bytes_leave_an_image_or_a_refusal(tmp_path):
    outcomes = set()
    for name, content in sample_files().items():
        rng = random.Random(name)
        changed = bytearray(content)
        for _ in range(3):
            changed[rng.randrange(len(changed))] ^= 0xFF
        path = tmp_path / name
        path.write_bytes(changed)
        try:
            outcomes.add(type(load_image(path)))
        except ImageError as error:
            assert str(error).startswith(str(path))
            outcomes.add(type(error))
    assert outcomes == {Image.Image, ImageError}


@pytest.mark.parametrize("name", sorted(sample_files()))
def test_suffix_does_not_matter(tmp_path, name):
    content = sample_files()[name]
    path = tmp_path / ("image.gif" if not name.endswith(".gif") else "image.jpg")
    path.write_bytes(content)
    assert load_image(path).tobytes() == load_image(content).tobytes()


# Limits


@pytest.mark.parametrize("name", sorted(sample_files()))
def test_limit_on_pixels_holds_for_every_format(monkeypatch, name):
    pixels = Image.Image.copy(load_image(sample_files()[name]))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels.width * pixels.height - 1)
    assert "more pixels" in refusal(sample_files()[name])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels.width * pixels.height)
    assert load_image(sample_files()[name]).size == pixels.size


@pytest.mark.parametrize("limit", [100, None])
def test_limit_on_pixels_can_be_raised_or_lifted(monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert load_image(encoded(Image.new("L", (10, 10)))).size == (10, 10)


def test_limit_on_pixels_does_not_concern_images_in_memory(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert load_image(make_image(29, 22)).size == (29, 22)
    assert load_image(np.zeros((22, 29), dtype=np.uint8)).size == (29, 22)


@pytest.mark.parametrize("factor", [1.5, 10])  # Pillow itself refuses from 2 on
def test_limit_on_pixels_holds_for_every_page(tmp_path, monkeypatch, factor):
    path = tmp_path / "pages.tif"
    pages = [Image.new("L", (10, 10)), Image.new("L", (10, int(10 * factor)))]
    path.write_bytes(encoded_frames(pages, "TIFF"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 120)
    with pytest.raises(ImageError, match="pixels"), ImageFile(path) as file:
        list(file.frames())


def test_thousands_of_pages_are_refused_and_not_counted(tmp_path):
    directory = struct.pack("<H", 5) + b"".join(
        struct.pack("<HHII", tag, 4, 1, value)
        for tag, value in ((256, 1), (257, 1), (258, 8), (262, 1), (273, 8))
    )
    size = len(directory) + 4
    pages = b"".join(
        directory + struct.pack("<I", 8 + (number + 1) * size) for number in range(100_000)
    )
    path = tmp_path / "pages.tif"
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + pages)
    with pytest.raises(ImageError, match="more frames than the limit of 50"):
        ImageFile(path, max_frames=50)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_limit_on_frames_holds_for_every_format(tmp_path, kind):
    path = tmp_path / "animation"
    path.write_bytes(encoded_frames(moving(frames=4), kind))
    with pytest.raises(ImageError, match="more frames than the limit of 3") as caught:
        ImageFile(path, max_frames=3)
    assert str(caught.value).startswith(str(path))
    with ImageFile(path, max_frames=4) as file:
        assert file.frame_count == 4


def test_damaged_exif_does_not_lose_the_image():
    image = make_image(29, 22)
    exif = bytearray(exif_block(6, Artist="an artist"))
    exif[14:] = b"\xff" * (len(exif) - 14)
    assert load_image(encoded(image, exif=bytes(exif))).size in ((29, 22), (22, 29))
