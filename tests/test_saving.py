"""Writing pictures: every format, whole or not at all."""

from pathlib import Path

import pytest
from conftest import make_picture
from picture_checks import assert_same, pixels
from PIL import Image

from scsnet_hf.image_io import load_picture
from scsnet_hf.saving import check_writable_suffix, save_picture

PICTURE = make_picture(24, 17)


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
