"""Free memory, tiles that make the same image as the whole, and strips of an image."""

import math

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from helpers.tiny_models import build_tiny_model
from scsnet_hf import SCSNetConfig, SCSNetForImageToImage, tiling
from scsnet_hf.configuration_scsnet import UPSAMPLERS
from scsnet_hf.tiling import (
    AUTO_TILE_SIZES,
    Strips,
    automatic_tile_size,
    decode_in_tiles,
    explain_memory_errors,
    free_memory,
    is_out_of_memory,
    plan_tiles,
)

CPU = torch.device("cpu")
OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
]
KINDS = ["python", "accelerator", "cpu"]  # of these errors


class TestFreeMemory:
    MEMINFO = "MemTotal:       2000 kB\nMemFree:         100 kB\nMemAvailable:   1000 kB\n"

    @staticmethod
    def free(folder, meminfo: str | None = None, **cgroup: str) -> float:
        """Free memory of a machine whose files have these contents."""
        if meminfo is not None:
            (folder / "meminfo").write_text(meminfo)
        for name, text in cgroup.items():
            (folder / f"memory.{name}").write_text(text)
        return free_memory(CPU, folder / "meminfo", folder)

    @pytest.mark.skipif(not psutil.LINUX, reason="other systems do not report it")
    def test_is_at_most_what_this_machine_has(self):
        assert 0 < free_memory(CPU) <= psutil.virtual_memory().total

    def test_includes_what_is_only_cached(self, tmp_path):
        assert self.free(tmp_path, self.MEMINFO) == 1000 * 1024

    def test_respects_the_limit_of_a_container(self, tmp_path):
        stat = "anon 7\ninactive_file 100000\n"
        free = self.free(tmp_path, self.MEMINFO, max="900000\n", current="500000\n", stat=stat)
        assert free == 900_000 - 500_000 + 100_000

    def test_of_a_container_without_a_limit_is_the_machines(self, tmp_path):
        stat = "inactive_file 0\n"
        free = self.free(tmp_path, self.MEMINFO, max="max\n", current="500000\n", stat=stat)
        assert free == 1000 * 1024

    def test_is_unlimited_where_nothing_is_reported(self, tmp_path):
        assert self.free(tmp_path) == math.inf
        assert free_memory(torch.device("meta")) == math.inf


class TestMemoryErrors:
    @pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=KINDS)
    def test_say_what_to_do(self, error):
        assert is_out_of_memory(error)
        with (
            pytest.raises(MemoryError, match=r"^not enough memory for a cake: .*smaller result"),
            explain_memory_errors("for a cake"),
        ):
            raise error

    def test_name_the_innermost_purpose(self):
        with (
            pytest.raises(MemoryError, match="for its icing"),
            explain_memory_errors("for a cake"),
            explain_memory_errors("for its icing"),
        ):
            raise MemoryError

    def test_are_recognized_when_real(self):
        with (
            pytest.raises(MemoryError, match="a result"),
            explain_memory_errors("for a result"),
        ):
            torch.empty(2**50)

    @pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("memory")])
    def test_are_the_only_errors_that_change(self, error):
        with pytest.raises(type(error)) as raised, explain_memory_errors("for a cake"):
            raise error
        assert raised.value is error


# Tiles


def reconstruct(model, pixels: torch.Tensor, output: tuple[int, int], tile_size) -> torch.Tensor:
    with torch.no_grad():
        features = model.encode_color(pixels).features
        return torch.cat(list(decode_in_tiles(model, pixels, features, output, tile_size)), dim=2)


def gray(height: int, width: int, batch: int = 1) -> torch.Tensor:
    return 2 * torch.rand(batch, 1, height, width, generator=torch.Generator().manual_seed(1)) - 1


def assert_same_tiled(model, source, output, tile_size, batch: int = 1) -> None:
    pixels = gray(*source, batch=batch)
    tiled = reconstruct(model, pixels, output, tile_size)
    untiled = reconstruct(model, pixels, output, None)
    torch.testing.assert_close(tiled, untiled, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tile_size", [1, 7, 50, None])
@pytest.mark.parametrize(
    ("source", "output"),
    [((37, 41), (148, 164)), ((37, 41), (18, 20)), ((1, 50), (3, 135))],
)
def test_tiles_cover_every_output_pixel_exactly_once(source, output, tile_size):
    covered = torch.zeros(output)
    for grid in plan_tiles(source, output, tile_size):
        (top, left), (height, width) = grid.start, grid.length
        assert height > 0
        assert width > 0
        covered[top : top + height, left : left + width] += 1
    assert covered.eq(1).all()


def test_tile_has_about_the_requested_size_in_the_source():
    grid = next(iter(plan_tiles((100, 200), (400, 800), 25)))
    assert grid.length == (100, 100)


@pytest.mark.parametrize("upsampler", UPSAMPLERS)
@pytest.mark.parametrize("align_corners", [False, True])
def test_tiled_equals_untiled_for_every_head(upsampler, align_corners):
    model = build_tiny_model(
        upsampler=upsampler, align_corners=align_corners, luminance_skip=True, color_size=16
    )
    assert_same_tiled(model, (37, 41), (100, 111), 13)
    assert_same_tiled(model, (33, 29), (17, 14), 5)


@pytest.mark.parametrize(
    ("source", "output", "tile_size"),
    [
        ((37, 41), (148, 164), 16),
        ((37, 41), (50, 50), 5),
        ((1, 50), (3, 135), 16),
        ((33, 29), (16, 14), 5),
        ((33, 29), (16, 14), 40),
    ],
)
def test_tiled_equals_untiled_for_every_size(source, output, tile_size):
    model = build_tiny_model(luminance_skip=True, color_size=16)
    assert_same_tiled(model, source, output, tile_size, batch=2)


def test_halo_grows_with_the_texture_encoder():
    model = build_tiny_model(texture_depth=6, color_size=16)
    assert_same_tiled(model, (37, 61), (50, 80), 9)


@pytest.mark.parametrize("color_size", [16, 256])
def test_tiled_equals_the_model(color_size):
    model = build_tiny_model(color_size=color_size)
    pixels = gray(30, 44)
    with torch.no_grad():
        expected = model(pixels, output_size=(60, 71)).reconstruction
    tiled = reconstruct(model, pixels, (60, 71), 11)
    torch.testing.assert_close(tiled, expected, atol=1e-5, rtol=1e-5)


def test_tiles_are_visible_without_a_halo(monkeypatch):
    model = build_tiny_model(color_size=16)
    pixels, output = gray(37, 41), (74, 82)
    untiled = reconstruct(model, pixels, output, None)
    monkeypatch.setattr(SCSNetForImageToImage, "halo", 0)
    assert (reconstruct(model, pixels, output, 13) - untiled).abs().max() > 1e-3


def test_auto_tiles_only_images_larger_than_a_tile():
    model = build_tiny_model(color_size=16)
    widths = []
    model.texture_encoder.register_forward_hook(
        lambda module, inputs, output: widths.append(output.shape[-1])
    )
    reconstruct(model, gray(2, AUTO_TILE_SIZES[0]), (2, AUTO_TILE_SIZES[0]), "auto")
    assert widths == [AUTO_TILE_SIZES[0]]
    widths.clear()
    reconstruct(model, gray(2, 3 * AUTO_TILE_SIZES[0]), (2, 3 * AUTO_TILE_SIZES[0]), "auto")
    assert len(widths) == 3
    assert max(widths) <= AUTO_TILE_SIZES[0] + 2 * model.halo


def test_texture_branch_never_sees_more_than_a_tile_and_its_halo():
    model = build_tiny_model(color_size=16)
    shapes = []
    model.texture_encoder.register_forward_hook(
        lambda module, inputs, output: shapes.append(output.shape[-2:])
    )
    reconstruct(model, gray(90, 100), (180, 200), 20)
    assert len(shapes) == 25
    assert max(max(shape) for shape in shapes) <= 20 + 2 * model.halo


def test_rows_of_tiles_come_from_the_top_and_cover_the_output():
    model = build_tiny_model(color_size=16)
    pixels = gray(70, 60)
    with torch.no_grad():
        features = model.encode_color(pixels).features
        strips = list(decode_in_tiles(model, pixels, features, (280, 240), 30))
    assert [tuple(strip.shape) for strip in strips] == [
        (1, 3, 120, 240),
        (1, 3, 120, 240),
        (1, 3, 40, 240),
    ]


def fail_above(pixels: int, error: Exception, monkeypatch) -> list[int]:
    """Let windows of more output pixels fail; returns a list that fills with computed areas."""
    decode_window, computed = tiling.decode_window, []

    def decode(model, pixel_values, color_features, grid):
        area = grid.length[0] * grid.length[1]
        if area > pixels:
            raise error
        computed.append(area)
        return decode_window(model, pixel_values, color_features, grid)

    monkeypatch.setattr(tiling, "decode_window", decode)
    return computed


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=KINDS)
@pytest.mark.parametrize("tile_size", [None, 40])
def test_tiles_are_halved_until_memory_suffices(monkeypatch, error, tile_size):
    model = build_tiny_model(color_size=16)
    pixels, output = gray(70, 60), (280, 240)
    expected = reconstruct(model, pixels, output, None)
    computed = fail_above(10_000, error, monkeypatch)
    result = reconstruct(model, pixels, output, tile_size)
    assert sum(computed) == 280 * 240
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def test_too_little_memory_for_the_smallest_tile_is_an_error(monkeypatch):
    fail_above(100, MemoryError(), monkeypatch)
    with pytest.raises(MemoryError, match=r"not enough memory .* smaller result"):
        reconstruct(build_tiny_model(), gray(70, 60), (280, 240), None)


def test_other_errors_are_not_taken_for_lack_of_memory(monkeypatch):
    fail_above(100, RuntimeError("shapes differ"), monkeypatch)
    with pytest.raises(RuntimeError, match="shapes differ"):
        reconstruct(build_tiny_model(), gray(70, 60), (280, 240), None)


@pytest.mark.parametrize(("free", "expected"), [(2**40, 256), (2**28, 128), (2**20, 32), (0, 32)])
def test_automatic_tiles_fit_into_free_memory(monkeypatch, free, expected):
    monkeypatch.setattr(tiling, "free_memory", lambda device: free)
    model = SCSNetForImageToImage(SCSNetConfig.from_preset("medium"))
    assert automatic_tile_size(model, (2000, 2000), (8000, 8000)) == expected


@pytest.mark.parametrize(
    ("magnification", "expected"), [(1, 256), (4, 256), (8, 128), (16, 64), (100, 32)]
)
def test_automatic_tiles_are_limited_in_output_pixels_too(monkeypatch, magnification, expected):
    monkeypatch.setattr(tiling, "free_memory", lambda device: 2**40)
    side = 2000 * magnification
    assert automatic_tile_size(build_tiny_model(), (2000, 2000), (side, side)) == expected


def test_automatic_tiles_of_a_wider_network_are_smaller(monkeypatch):
    monkeypatch.setattr(tiling, "free_memory", lambda device: 2**28)
    with torch.device("meta"):
        models = [
            SCSNetForImageToImage(SCSNetConfig.from_preset(name))
            for name in ("tiny", "medium", "base")
        ]
    sides = [automatic_tile_size(model, (2000, 2000), (8000, 8000)) for model in models]
    assert sides == sorted(sides, reverse=True)
    assert sides[0] > sides[-1]


# Strips


def random_levels(height: int, width: int, channels: int = 3, dtype=np.uint8) -> np.ndarray:
    white = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, white, (height, width, channels), dtype=dtype)


def in_strips(image: np.ndarray, heights: list[int]) -> Strips:
    """An image cut into strips of these heights."""
    height, width, channels = image.shape
    cuts = np.cumsum(heights)[:-1]
    return Strips((width, height), channels, image.dtype, iter(np.split(image, cuts)))


@pytest.mark.parametrize("channels", [3, 4])
def test_strips_become_the_image(channels):
    image = random_levels(20, 7, channels)
    result = in_strips(image, [1, 12, 7]).to_image()
    assert isinstance(result, Image.Image)
    assert np.array_equal(np.asarray(result), image)


def test_strips_of_16_bits_become_an_array():
    image = random_levels(20, 7, dtype=np.uint16)
    result = in_strips(image, [15, 5]).to_image()
    assert result.dtype == np.uint16
    assert np.array_equal(result, image)


@pytest.mark.parametrize("heights", [[20], [1] * 20, [3, 9, 1, 7]])
@pytest.mark.parametrize("rows", [1, 4, 64])
def test_strips_of_a_height_have_it_except_the_last(heights, rows):
    image = random_levels(20, 7)
    parts = list(in_strips(image, heights).with_height(rows))
    assert np.array_equal(np.concatenate(parts), image)
    assert all(len(part) == rows for part in parts[:-1])
    assert 1 <= len(parts[-1]) <= rows


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_image_is_a_single_strip(mode):
    image = Image.fromarray(random_levels(9, 5, len(mode)))
    strips = Strips.from_image(image)
    assert (strips.size, strips.channels, strips.dtype) == ((5, 9), len(mode), np.uint8)
    assert strips.pixels == 45
    assert np.array_equal(np.asarray(strips.to_image()), np.asarray(image))
