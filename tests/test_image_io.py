"""Reading images from every kind of source."""

import base64
import io
import struct
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image, features

from helpers.image_checks import assert_same, encoded, pixels, refusal
from helpers.image_files import heic_bytes
from helpers.images import make_image
from scsnet_hf.image_io import ImageError, load_image
from scsnet_hf.io.folders import images_in

IMAGE = make_image(24, 17)


# Kinds of input


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize(
    "convert",
    [
        pytest.param(lambda array: array, id="uint8 array"),
        pytest.param(lambda array: array.astype(np.uint16) * 257, id="uint16 array"),
        pytest.param(lambda array: (array / 255).astype(np.float16), id="float16 array"),
        pytest.param(lambda array: (array / 255).astype(np.float32), id="float32 array"),
        pytest.param(lambda array: array / 255, id="float64 array"),
        pytest.param(lambda array: array[::-1].copy()[::-1], id="negative strides"),
        pytest.param(lambda array: to_tensor(array), id="uint8 tensor"),
        pytest.param(lambda array: to_tensor(array) / 255, id="float tensor"),
        pytest.param(lambda array: (to_tensor(array) / 255).half(), id="half tensor"),
        pytest.param(lambda array: (to_tensor(array) / 255).requires_grad_(), id="with gradient"),
        pytest.param(lambda array: encoded(Image.fromarray(array)), id="bytes"),
        pytest.param(lambda array: bytearray(encoded(Image.fromarray(array))), id="bytearray"),
        pytest.param(lambda array: Image.fromarray(array), id="PIL"),
    ],
)
def test_every_kind_of_input_gives_the_same_image(mode, convert):
    image = make_image(24, 17, mode)
    assert_same(load_image(convert(np.asarray(image))), image)


def to_tensor(array: np.ndarray) -> torch.Tensor:
    """(H, W) stays, (H, W, C) becomes (C, H, W)."""
    tensor = torch.from_numpy(array.copy())
    return tensor if tensor.ndim == 2 else tensor.permute(2, 0, 1)


def test_bfloat16_tensor_keeps_its_eight_bits_of_precision():
    loaded = load_image((to_tensor(np.asarray(IMAGE)) / 255).bfloat16())
    assert abs(pixels(loaded) - pixels(IMAGE)).max() <= 1


@pytest.mark.parametrize("kind", [str, Path])
def test_path_is_read(tmp_path, kind):
    path = tmp_path / "image.png"
    IMAGE.save(path)
    assert_same(load_image(kind(path)), IMAGE)


@pytest.mark.parametrize(
    "name", ["Grüße aus Köln.png", "写真.png", "снимок один.png", "a'b\"c.png"]
)
def test_file_name_may_hold_any_letters(tmp_path, name):
    IMAGE.save(tmp_path / name)
    assert_same(load_image(tmp_path / name), IMAGE)


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP", "PPM"])
def test_lossless_format_comes_back_exactly(image_format):
    assert_same(load_image(encoded(IMAGE, image_format)), IMAGE)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_number_of_channels_says_the_mode(channels):
    array = np.full((3, 4, channels), 7, dtype=np.uint8)
    assert load_image(array).mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    assert load_image(torch.from_numpy(array).permute(2, 0, 1)).size == (4, 3)


# The caller's image


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK"])
def test_callers_image_is_not_changed(mode):
    image = make_image(24, 17, mode)
    image.getexif()[274] = 6
    before = image.copy()
    load_image(image).paste(0, (0, 0, 24, 17))
    assert_same(image, before)
    assert image.size == (24, 17)
    assert image.getexif()[274] == 6


def test_callers_array_is_not_changed():
    array = np.array(IMAGE)
    load_image(array).paste(0, (0, 0, 24, 17))
    assert np.array_equal(array, np.asarray(IMAGE))


# Refusals


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "is empty"), (b"hello, world" * 20, "is not an image")]
)
def test_file_that_is_no_image_is_refused_by_name(tmp_path, content, reason):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    message = refusal(path)
    assert str(path) in message
    assert reason in message


@pytest.mark.parametrize(("content", "reason"), [(b"", "is empty"), (b"hello", "is not an image")])
def test_bytes_that_are_no_image_are_refused_by_their_number(content, reason):
    message = refusal(content)
    assert f"{len(content)} bytes" in message
    assert reason in message


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_file_is_refused_by_name(tmp_path, image_format, part):
    if image_format == "WEBP" and not features.check("webp"):
        pytest.skip("Pillow was built without WebP")
    content = encoded(make_image(99, 99), image_format)
    path = tmp_path / "cut"
    path.write_bytes(content[: int(len(content) * part)])
    assert str(path) in refusal(path)


def test_header_that_promises_too_many_pixels_is_refused():
    content = bytearray(encoded(IMAGE, "BMP"))
    struct.pack_into("<ii", content, 18, 100_000, 100_000)
    assert f"{len(content)} bytes" in refusal(bytes(content))


def test_damaged_header_is_refused():
    content = encoded(IMAGE, "PPM").replace(b"24 17", b"2x 17")
    assert f"{len(content)} bytes" in refusal(content)


def test_missing_file_is_refused_by_name(tmp_path):
    path = tmp_path / "nothing.png"
    assert refusal(path) == f"{path}: no such file or directory"


def test_folder_is_refused_by_name(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path}: is a directory"


def test_path_below_a_file_is_refused_by_name(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "image.png"
    assert str(path) in refusal(path)


def test_path_too_long_for_the_system_is_refused_by_name(tmp_path):
    path = tmp_path / ("n" * 300 + ".png")
    assert str(path) in refusal(path)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (5, 0, 3), (0, 0, 4)])
def test_array_without_pixels_is_refused(shape):
    assert "the array" in refusal(np.zeros(shape, dtype=np.uint8))


@pytest.mark.parametrize("shape", [(5,), (5, 5, 5), (1, 5, 5, 3)])
def test_array_of_a_wrong_shape_is_refused_with_its_shape(shape):
    assert str(shape) in refusal(np.zeros(shape, dtype=np.uint8))


@pytest.mark.parametrize("shape", [(5,), (6, 7, 8), (1, 3, 5, 5)])
def test_tensor_of_a_wrong_shape_is_refused_with_its_shape(shape):
    assert str(shape) in refusal(torch.zeros(shape))


def test_pil_image_without_pixels_is_refused():
    assert "PIL image" in refusal(Image.new("RGB", (0, 5)))


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint32, bool, np.complex64])
def test_array_of_an_unknown_type_is_refused_with_its_type(dtype):
    assert np.dtype(dtype).name in refusal(np.zeros((4, 4), dtype=dtype))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5, 1.5, 255.0])
@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_floats_outside_zero_to_one_are_refused(kind, value):
    assert "[0, 1]" in refusal(kind([[0.5, value], [0.5, 0.5]]))


@pytest.mark.parametrize("source", [None, 3, 1.5, {"image": 1}, object()])
def test_what_is_no_image_at_all_is_a_type_error(source):
    with pytest.raises(TypeError, match=f"not {type(source).__name__}"):
        load_image(source)


def test_images_of_a_folder_are_found_in_depth_and_in_order(tmp_path):
    (tmp_path / "deep" / "folder.png").mkdir(parents=True)
    for name in ("b.JPG", "a.png", "notes.txt", "deep/c.webp", ".scsnet-left-behind.png"):
        (tmp_path / name).write_bytes(b"")
    found = [file.relative_to(tmp_path).as_posix() for file in images_in(tmp_path)]
    assert found == ["a.png", "b.JPG", "deep/c.webp"]


# HEIC


def test_heic_is_read_without_further_ado(tmp_path, monkeypatch):
    forget_heif(monkeypatch)
    path = tmp_path / "photo.heic"
    path.write_bytes(heic_bytes(IMAGE.convert("L"), quality=-1))
    assert_same(load_image(path), IMAGE.convert("L"))


def test_heic_without_its_package_is_refused_with_what_to_install(monkeypatch):
    forget_heif(monkeypatch)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert "pip install 'scsnet_hf[heif]'" in refusal(heic_bytes(IMAGE))


def forget_heif(monkeypatch) -> None:
    """Let Pillow be as before the first HEIC."""
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    monkeypatch.setattr(Image, "OPEN", {k: v for k, v in Image.OPEN.items() if k != "HEIF"})


# Files


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("name", ["Grüße aus Köln.png", "写真 一.png", "снимок.png"])
def test_refusal_names_files_of_every_script(tmp_path, kind, name):
    (tmp_path / name).write_bytes(b"no image")
    assert name in refusal(kind(tmp_path / name))


@pytest.mark.parametrize("good", [True, False])
def test_file_is_closed_afterwards(tmp_path, good):
    path = tmp_path / "image.gif"
    path.write_bytes(encoded(IMAGE, "GIF") if good else b"GIF89a")
    before = len(psutil.Process().open_files())
    try:
        load_image(path)
    except ImageError:
        assert not good
    assert len(psutil.Process().open_files()) == before


def test_what_starts_other_programs_is_refused():
    postscript = encoded(IMAGE, "EPS")
    assert "is not an image" in refusal(postscript)


@pytest.mark.parametrize("image_format", ["JPEG2000", "TGA", "ICO"])
def test_rarer_formats_are_read(image_format):
    assert load_image(encoded(make_image(32, 32), image_format)).size == (32, 32)


def test_rows_file_objects_base64_and_data_uris_are_read(tmp_path):
    image = make_image(6, 5)
    content = encoded(image)
    path = tmp_path / "a.png"
    path.write_bytes(content)
    text = base64.b64encode(content).decode()
    uri = "data:image/png;base64," + text
    rows = [{"bytes": content, "path": None}, {"bytes": None, "path": str(path)}]
    with path.open("rb") as file:
        for source in (io.BytesIO(content), file, text, uri, *rows):
            assert_same(load_image(source), image)


def test_file_object_is_read_from_its_begin():
    image, file = make_image(24, 17), io.BytesIO()
    image.save(file, "PNG")
    assert_same(load_image(file), image)


def test_row_without_an_image_is_refused():
    assert "neither" in refusal({"bytes": None, "path": None})


def test_refusal_of_a_damaged_data_uri_is_short():
    assert len(refusal("data:image/png;base64," + "a" * 10**6 + "=a")) < 300
