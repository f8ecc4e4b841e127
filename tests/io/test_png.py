"""PNG files: the same pixels, in as few bytes as Pillow needs."""

import io

import numpy as np
import pytest
from PIL import Image

from scsnet_hf.io import png
from scsnet_hf.io.png import write_png
from scsnet_hf.tiling import Strips


def written(levels: np.ndarray) -> io.BytesIO:
    """The file of an image (H, W, 3 or 4)."""
    template, file = io.BytesIO(), io.BytesIO()
    Image.new({3: "RGB", 4: "RGBA"}[levels.shape[2]], (1, 1)).save(template, "PNG", dpi=(300, 300))
    write_png(Strips.from_image(levels), template.getvalue(), file)
    return file


def random_levels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("block", [1, 500, 2**17])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (33, 21)])
def test_pillow_reads_every_pixel(monkeypatch, block, channels, size):
    monkeypatch.setattr(png, "_BLOCK", block)
    levels = random_levels(*size, channels)
    assert np.array_equal(np.asarray(Image.open(written(levels))), levels)


@pytest.mark.parametrize("few", [2, 3, 5])
def test_neighbors_that_tie_are_read_too(few):
    levels = random_levels(64, 64, 3) % few * 100
    assert np.array_equal(np.asarray(Image.open(written(levels))), levels)


def test_checksums_are_right():
    file = written(random_levels(200, 31, 4))
    Image.open(file).verify()


def test_other_chunks_of_the_template_are_copied():
    assert Image.open(written(random_levels(5, 5, 3))).info["dpi"] == pytest.approx(
        (300, 300), 1e-3
    )


def photograph() -> np.ndarray:
    """Smooth shapes with an edge and a little noise."""
    rng, (y, x) = np.random.default_rng(0), np.mgrid[0:200, 0:300]
    smooth = 120 + 60 * np.sin(x / 40) + 50 * np.cos(y / 30) + 40 * (x + y > 250)
    levels = smooth[..., None] + rng.normal(0, 2, (200, 300, 3))
    return levels.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("levels", [photograph(), np.full((300, 300, 3), 200, np.uint8)])
def test_file_is_hardly_larger_than_pillow_s(levels):
    by_pillow = io.BytesIO()
    Image.fromarray(levels).save(by_pillow, "PNG")
    assert len(written(levels).getvalue()) < 1.15 * len(by_pillow.getvalue()) + 1000
