"""Reading whatever a user may hold, and writing pictures."""

import io
import struct
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_picture
from PIL import Image, ImageCms, features

from scsnet_hf.image_io import (
    PictureError,
    check_writable_suffix,
    load_picture,
    pictures_in,
    save_picture,
    split_alpha,
)

PICTURE = make_picture(24, 17)


def encoded(picture: Image.Image, picture_format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, picture_format, **options)
    return buffer.getvalue()


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


def assert_same(actual: Image.Image, expected: Image.Image) -> None:
    assert actual.mode == expected.mode
    assert np.array_equal(pixels(actual), pixels(expected))


def refusal(source) -> str:
    """The message with which `source` is refused: one line."""
    with pytest.raises(PictureError) as caught:
        load_picture(source)
    message = str(caught.value)
    assert "\n" not in message
    return message


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
def test_every_kind_of_input_gives_the_same_picture(mode, convert):
    picture = make_picture(24, 17, mode)
    assert_same(load_picture(convert(np.asarray(picture))), picture)


def to_tensor(array: np.ndarray) -> torch.Tensor:
    """(H, W) stays, (H, W, C) becomes (C, H, W)."""
    tensor = torch.from_numpy(array.copy())
    return tensor if tensor.ndim == 2 else tensor.permute(2, 0, 1)


def test_bfloat16_tensor_keeps_its_eight_bits_of_precision():
    loaded = load_picture((to_tensor(np.asarray(PICTURE)) / 255).bfloat16())
    assert abs(pixels(loaded) - pixels(PICTURE)).max() <= 1


@pytest.mark.parametrize("kind", [str, Path])
def test_path_is_read(tmp_path, kind):
    path = tmp_path / "picture.png"
    PICTURE.save(path)
    assert_same(load_picture(kind(path)), PICTURE)


@pytest.mark.parametrize(
    "name", ["Grüße aus Köln.png", "写真.png", "снимок один.png", "a'b\"c.png"]
)
def test_file_name_may_hold_any_letters(tmp_path, name):
    save_picture(PICTURE, tmp_path / name)
    assert_same(load_picture(tmp_path / name), PICTURE)


@pytest.mark.parametrize("picture_format", ["PNG", "TIFF", "BMP", "PPM"])
def test_lossless_format_comes_back_exactly(picture_format):
    assert_same(load_picture(encoded(PICTURE, picture_format)), PICTURE)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_number_of_channels_says_the_mode(channels):
    array = np.full((3, 4, channels), 7, dtype=np.uint8)
    assert load_picture(array).mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    assert load_picture(torch.from_numpy(array).permute(2, 0, 1)).size == (4, 3)


# Modes


@pytest.mark.parametrize(
    ("mode", "loaded"),
    [
        ("1", "L"),
        ("L", "L"),
        ("LA", "LA"),
        ("La", "LA"),
        ("P", "RGB"),
        ("PA", "RGBA"),
        ("RGB", "RGB"),
        ("RGBX", "RGB"),
        ("RGBA", "RGBA"),
        ("RGBa", "RGBA"),
        ("CMYK", "RGB"),
        ("YCbCr", "RGB"),
        ("HSV", "RGB"),
        ("LAB", "RGB"),
        ("I;16", "L"),
        ("I;16B", "L"),
        ("I", "L"),
        ("F", "L"),
    ],
)
def test_every_mode_becomes_one_of_four(mode, loaded):
    picture = load_picture(Image.new(mode, (5, 4)))
    assert picture.mode == loaded
    assert picture.size == (5, 4)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_colours_survive_a_change_of_mode(mode):
    assert abs(pixels(load_picture(PICTURE.convert(mode))) - pixels(PICTURE)).max() <= 4


def test_palette_is_looked_up():
    picture = PICTURE.quantize(16)
    assert_same(load_picture(picture), picture.convert("RGB"))


def test_transparent_palette_entry_becomes_alpha():
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    loaded = load_picture(encoded(picture, transparency=1))
    assert loaded.mode == "RGBA"
    assert loaded.getpixel((0, 0)) == (255, 0, 0, 255)
    assert loaded.getpixel((1, 0))[3] == 0


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
@pytest.mark.parametrize(("deep", "level"), [(0, 0), (32896, 128), (65535, 255)])
def test_deep_gray_is_reduced_by_its_depth(mode, deep, level):
    assert load_picture(Image.new(mode, (2, 2), deep)).getpixel((0, 0)) == level


def test_dim_deep_gray_is_not_stretched():
    deep = np.linspace(0, 2570, 50, dtype=np.uint16).reshape(5, 10)
    assert pixels(load_picture(encoded(Image.fromarray(deep)))).max() == 10


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_split_alpha_separates_colours_and_alpha(mode):
    picture = make_picture(8, 8, mode)
    picture.putalpha(77)
    colors, alpha = split_alpha(picture)
    assert colors.mode == mode[:-1]
    assert alpha.getextrema() == (77, 77)


def test_opaque_picture_has_no_alpha_to_split():
    assert split_alpha(PICTURE) == (PICTURE, None)


# Orientation, profiles


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("picture_format", ["PNG", "TIFF"])
def test_exif_orientation_is_applied(orientation, picture_format):
    # How a camera stores the upright picture under each orientation (EXIF 2.3, tag 274).
    stored = {
        1: lambda upright: upright,
        2: lambda upright: upright[:, ::-1],
        3: lambda upright: upright[::-1, ::-1],
        4: lambda upright: upright[::-1],
        5: lambda upright: upright.transpose(1, 0, 2),
        6: lambda upright: np.rot90(upright, 1),
        7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
        8: lambda upright: np.rot90(upright, -1),
    }[orientation](np.asarray(PICTURE))
    exif = Image.Exif()
    exif[274] = orientation
    source = encoded(Image.fromarray(stored.copy()), picture_format, exif=exif)
    assert_same(load_picture(source), PICTURE)


def swapped_profile() -> bytes:
    """An sRGB profile in which red and blue have changed places."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    entries = {}
    for position in range(132, 132 + 12 * struct.unpack(">I", profile[128:132])[0], 12):
        entries[bytes(profile[position : position + 4])] = position
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_embedded_profile_is_converted(mode):
    red = Image.new("RGB", (2, 2), (255, 0, 0)).convert(mode)
    loaded = load_picture(encoded(red, icc_profile=swapped_profile()))
    np.testing.assert_allclose(loaded.convert("RGB").getpixel((0, 0)), (0, 0, 255), atol=3)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_unusable_profile_is_left_out(mode):
    picture = make_picture(8, 8, mode)
    assert_same(load_picture(encoded(picture, icc_profile=b"no profile")), picture)


# The caller's picture


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK"])
def test_callers_picture_is_not_changed(mode):
    picture = make_picture(24, 17, mode)
    picture.getexif()[274] = 6
    before = picture.copy()
    load_picture(picture).paste(0, (0, 0, 24, 17))
    assert_same(picture, before)
    assert picture.size == (24, 17)
    assert picture.getexif()[274] == 6


def test_callers_array_is_not_changed():
    array = np.array(PICTURE)
    load_picture(array).paste(0, (0, 0, 24, 17))
    assert np.array_equal(array, np.asarray(PICTURE))


# Refusals


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "is empty"), (b"hello, world" * 20, "is not a picture")]
)
def test_file_that_is_no_picture_is_refused_by_name(tmp_path, content, reason):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    message = refusal(path)
    assert str(path) in message
    assert reason in message


@pytest.mark.parametrize(("content", "reason"), [(b"", "is empty"), (b"hello", "is not a picture")])
def test_bytes_that_are_no_picture_are_refused_by_their_number(content, reason):
    message = refusal(content)
    assert f"{len(content)} bytes" in message
    assert reason in message


@pytest.mark.parametrize("picture_format", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_file_is_refused_by_name(tmp_path, picture_format, part):
    if picture_format == "WEBP" and not features.check("webp"):
        pytest.skip("Pillow was built without WebP")
    content = encoded(make_picture(99, 99), picture_format)
    path = tmp_path / "cut"
    path.write_bytes(content[: int(len(content) * part)])
    assert str(path) in refusal(path)


def test_header_that_promises_too_many_pixels_is_refused():
    content = bytearray(encoded(PICTURE, "BMP"))
    struct.pack_into("<ii", content, 18, 100_000, 100_000)
    assert f"{len(content)} bytes" in refusal(bytes(content))


def test_damaged_header_is_refused():
    content = encoded(PICTURE, "PPM").replace(b"24 17", b"2x 17")
    assert f"{len(content)} bytes" in refusal(content)


def test_missing_file_is_refused_by_name(tmp_path):
    path = tmp_path / "nothing.png"
    assert refusal(path) == f"{path}: no such file or directory"


def test_folder_is_refused_by_name(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path}: is a directory"


def test_path_below_a_file_is_refused_by_name(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "picture.png"
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


def test_pil_picture_without_pixels_is_refused():
    assert "PIL picture" in refusal(Image.new("RGB", (0, 5)))


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint32, bool, np.complex64])
def test_array_of_an_unknown_type_is_refused_with_its_type(dtype):
    assert np.dtype(dtype).name in refusal(np.zeros((4, 4), dtype=dtype))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5, 1.5, 255.0])
@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_floats_outside_zero_to_one_are_refused(kind, value):
    assert "[0, 1]" in refusal(kind([[0.5, value], [0.5, 0.5]]))


@pytest.mark.parametrize("source", [None, 3, 1.5, {"image": 1}, object()])
def test_what_is_no_picture_at_all_is_a_type_error(source):
    with pytest.raises(TypeError, match=f"not {type(source).__name__}"):
        load_picture(source)


# URLs


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        content = {"/picture.png": encoded(PICTURE), "/page.html": b"<html>"}.get(self.path)
        self.send_response(404 if content is None else 200)
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    with HTTPServer(("127.0.0.1", 0), _Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_url_is_read(server):
    assert_same(load_picture(f"{server}/picture.png"), PICTURE)


def test_url_that_is_not_there_is_refused_by_name(server):
    message = refusal(f"{server}/nothing.png")
    assert f"{server}/nothing.png" in message
    assert "404" in message


def test_url_of_a_page_is_refused_by_name(server):
    assert f"{server}/page.html: is not a picture" in refusal(f"{server}/page.html")


def test_url_with_a_space_is_refused_by_name(server):
    assert f"{server}/a b.png" in refusal(f"{server}/a b.png")


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:port/a.png", "http://127.0.0.1:1/a"])
def test_url_without_a_server_is_refused_by_name(url):
    assert refusal(url).startswith(url)


# Writing


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".bmp", ".ppm"])
def test_written_picture_comes_back_exactly(tmp_path, suffix):
    path = tmp_path / f"picture{suffix}"
    save_picture(PICTURE, path)
    assert_same(load_picture(path), PICTURE)


def test_jpeg_is_written_close_to_the_picture(tmp_path):
    save_picture(PICTURE, tmp_path / "picture.jpg")
    with Image.open(tmp_path / "picture.jpg") as written:
        assert written.format == "JPEG"
        assert abs(pixels(written) - pixels(PICTURE)).mean() < 8


def test_missing_folders_are_made(tmp_path):
    path = tmp_path / "new" / "folder" / "picture.png"
    save_picture(PICTURE, path)
    assert path.is_file()


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".bmp", ".ppm"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_format_without_transparency_gets_the_picture_on_white(tmp_path, suffix, mode):
    picture = Image.new("L", (16, 8), 0).convert(mode)
    picture.paste(Image.new(mode, (8, 8)), (8, 0))  # the right half is transparent black
    path = tmp_path / f"picture{suffix}"
    save_picture(picture, path)
    written = load_picture(path).convert("L")
    assert written.getpixel((1, 4)) < 10
    assert written.getpixel((14, 4)) > 245


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_format_with_transparency_keeps_it(tmp_path, suffix):
    picture = PICTURE.copy()
    picture.putalpha(77)
    save_picture(picture, tmp_path / f"picture{suffix}")
    assert_same(load_picture(tmp_path / f"picture{suffix}"), picture)


@pytest.mark.parametrize("name", ["picture.txt", "picture.pdf", "picture", "png"])
def test_unknown_suffix_is_refused_by_name(tmp_path, name):
    with pytest.raises(ValueError, match=name):
        save_picture(PICTURE, tmp_path / name)
    with pytest.raises(ValueError, match=name):
        check_writable_suffix(Path(name))
    assert list(tmp_path.iterdir()) == []


def test_failing_save_leaves_nothing_behind(tmp_path):
    with pytest.raises(OSError, match="cannot write mode F"):
        save_picture(Image.new("F", (4, 4)), tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []


def test_failing_save_keeps_the_old_file(tmp_path):
    path = tmp_path / "picture.png"
    save_picture(PICTURE, path)
    with pytest.raises(OSError, match="cannot write mode F"):
        save_picture(Image.new("F", (4, 4)), path)
    assert_same(load_picture(path), PICTURE)
    assert list(tmp_path.iterdir()) == [path]


def test_save_replaces_the_old_file(tmp_path):
    path = tmp_path / "picture.png"
    save_picture(Image.new("L", (3, 3)), path)
    save_picture(PICTURE, path)
    assert_same(load_picture(path), PICTURE)
    assert list(tmp_path.iterdir()) == [path]


def test_pictures_of_a_folder_are_found_in_depth_and_in_order(tmp_path):
    (tmp_path / "deep" / "folder.png").mkdir(parents=True)
    for name in ("b.JPG", "a.png", "notes.txt", "deep/c.webp"):
        (tmp_path / name).write_bytes(b"")
    found = [file.relative_to(tmp_path).as_posix() for file in pictures_in(tmp_path)]
    assert found == ["a.png", "b.JPG", "deep/c.webp"]
