"""Files of 16 bits a channel, as other programs read them."""

import io

import av
import numpy as np
import pytest
import tifffile
from PIL import Image

from scsnet_hf.image_io import load_image
from scsnet_hf.io import saving, tiff
from scsnet_hf.io.lossless import write_strips
from scsnet_hf.io.saving import save_image
from scsnet_hf.tiling import Strips

SIZES = [(1, 1), (1, 7), (7, 1), (22, 29), (64, 3), (65, 3), (200, 5)]  # 64 rows are one block


def deep_image(height: int, width: int, channels: int = 3) -> np.ndarray:
    """(H, W, C) uint16 of random levels."""
    return np.random.default_rng(0).integers(0, 2**16, (height, width, channels), dtype=np.uint16)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("size", SIZES)
def test_png_is_read_by_ffmpeg_to_the_last_bit(tmp_path, size, channels):
    image = deep_image(*size, channels)
    save_image(image, tmp_path / "deep.png")
    with av.open(tmp_path / "deep.png") as file:
        (frame,) = file.decode(video=0)
    assert frame.format.name == {3: "rgb48be", 4: "rgba64be"}[channels]
    line = np.frombuffer(frame.planes[0], dtype=">u2").reshape(size[0], -1)
    assert np.array_equal(line[:, : size[1] * channels].reshape(image.shape), image)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint8])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("size", SIZES)
def test_tiff_is_read_by_tifffile_to_the_last_bit(tmp_path, size, channels, dtype):
    image = deep_image(*size, channels).astype(dtype)
    with (tmp_path / "deep.tif").open("wb+") as file:
        write_strips(Strips.from_image(image), file, "TIFF", {})
    read = tifffile.imread(tmp_path / "deep.tif")
    assert read.dtype == dtype
    assert np.array_equal(read, image)


def test_alpha_of_tiff_is_not_multiplied_in(tmp_path):
    save_image(deep_image(5, 5, 4), tmp_path / "deep.tif")
    with tifffile.TiffFile(tmp_path / "deep.tif") as file:
        assert file.pages[0].extrasamples == (tifffile.EXTRASAMPLE.UNASSALPHA,)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
@pytest.mark.parametrize("channels", [3, 4])
def test_pillow_reads_the_same_in_8_bits(tmp_path, suffix, channels):
    image = deep_image(22, 29, channels)
    save_image(image, tmp_path / f"deep{suffix}")
    read = np.asarray(load_image(tmp_path / f"deep{suffix}"))
    assert np.array_equal(read, image >> 8)


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_smooth_images_become_smaller(image_format):
    levels = np.linspace(0, 65535, 300).astype(np.uint16)
    image = np.stack([np.tile(levels, (300, 1))] * 3, axis=-1)
    file = io.BytesIO()
    write_strips(Strips.from_image(image), file, image_format, {})
    assert len(file.getvalue()) < image.nbytes / 4


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp", ".gif", ".ppm", ".avif"])
def test_other_formats_refuse_16_bits_and_write_nothing(tmp_path, suffix):
    with pytest.raises(ValueError, match="does not hold 16 bits"):
        save_image(deep_image(5, 5), tmp_path / f"deep{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_gray_of_16_bits_comes_back_through_the_pipeline(tmp_path, tiny_pipe, suffix):
    source = np.random.default_rng(0).integers(0, 2**16, (22, 29), dtype=np.uint16)
    path = tmp_path / f"deep{suffix}"
    save_image(tiny_pipe(source, scale=1, luminance="source", saturation=0, depth=16), path)
    read = tifffile.imread(path) if suffix == ".tif" else _by_ffmpeg(path)
    assert np.abs(read.astype(int) - source[..., None]).max() <= 16


def _by_ffmpeg(path) -> np.ndarray:
    with av.open(path) as file:
        return next(file.decode(video=0)).to_ndarray(format="rgb48le")


def test_pillow_finds_no_fault_in_the_checksums(tmp_path):
    save_image(deep_image(200, 31, 4), tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as file:
        file.verify()


def made_while_taken(array: np.ndarray, rows: int) -> Strips:
    """An image in strips of some rows, without any of them being there before it is taken."""
    parts = (array[top : top + rows] for top in range(0, len(array), rows))
    height, width, channels = array.shape
    return Strips((width, height), channels, array.dtype, parts)


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("rows", [1, 50, 64, 201])
def test_strips_become_one_file(monkeypatch, image_format, channels, rows):
    monkeypatch.setattr(tiff, "_STRIP", 2000)
    image = (deep_image(201, 31, channels) >> 8).astype(np.uint8)
    file = io.BytesIO()
    write_strips(made_while_taken(image, rows), file, image_format, {})
    with Image.open(file) as read:
        assert np.array_equal(np.asarray(read), image)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint8])
def test_large_tiff_is_a_big_one(monkeypatch, tmp_path, dtype):
    monkeypatch.setattr(tiff, "_STRIP", 2000)
    monkeypatch.setattr(tiff, "_LARGEST_CLASSIC", 10_000)
    image = deep_image(201, 31).astype(dtype)
    with (tmp_path / "big.tif").open("wb+") as file:
        write_strips(made_while_taken(image, 50), file, "TIFF", {"dpi": (300, 300)})
    with tifffile.TiffFile(tmp_path / "big.tif") as file:
        assert file.is_bigtiff
        assert len(file.pages[0].dataoffsets) > 1
        assert file.pages[0].tags["XResolution"].value == (300, 1)
        assert np.array_equal(file.asarray(), image)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_large_results_are_written_as_others_are(monkeypatch, tmp_path, suffix):
    monkeypatch.setattr(saving, "_STREAMED_PIXELS", 1000)
    image = np.full((100, 20, 3), 90, np.uint8)
    path = tmp_path / f"large{suffix}"
    with path.open("wb+") as file:
        saving.write_result(made_while_taken(image, 10), file, saving.format_of(path))
    assert np.array_equal(np.asarray(load_image(path)), image)
