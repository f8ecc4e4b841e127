"""Tiles: they cover the output once, and make the same image as the whole."""

import pytest
import torch

from helpers.tiny_models import build_tiny_model
from scsnet_hf import SCSNetConfig, SCSNetForImageToImage, tiling
from scsnet_hf.configuration_scsnet import UPSAMPLERS
from scsnet_hf.tiling import (
    AUTO_TILE_SIZES,
    automatic_tile_size,
    decode_in_tiles,
    plan_tiles,
)
from test_memory import OUT_OF_MEMORY


def reconstruct(model, pixels: torch.Tensor, output: tuple[int, int], tile_size) -> torch.Tensor:
    with torch.no_grad():
        features = model.encode_color(pixels).features
        return torch.cat(list(decode_in_tiles(model, pixels, features, output, tile_size)), dim=2)


def gray(height: int, width: int, batch: int = 1) -> torch.Tensor:
    return 2 * torch.rand(batch, 1, height, width, generator=torch.Generator().manual_seed(1)) - 1


@pytest.mark.parametrize("tile_size", [1, 7, 16, 50, 1000, None])
@pytest.mark.parametrize(
    ("source", "output"),
    [((37, 41), (148, 164)), ((37, 41), (18, 20)), ((1, 50), (3, 135)), ((50, 13), (50, 13))],
)
def test_tiles_cover_every_output_pixel_exactly_once(source, output, tile_size):
    covered = torch.zeros(output)
    for grid in plan_tiles(source, output, tile_size):
        (top, left), (height, width) = grid.start, grid.length
        assert height > 0
        assert width > 0
        covered[top : top + height, left : left + width] += 1
    assert covered.eq(1).all()


def test_tile_has_about_the_asked_size_in_the_source():
    grid = next(iter(plan_tiles((100, 200), (400, 800), 25)))
    assert grid.length == (100, 100)


@pytest.mark.parametrize("upsampler", UPSAMPLERS)
@pytest.mark.parametrize("align_corners", [False, True])
def test_tiled_equals_untiled_for_every_head(upsampler, align_corners):
    model = build_tiny_model(upsampler=upsampler, align_corners=align_corners, color_size=16)
    pixels, output = gray(37, 41), (100, 111)
    tiled = reconstruct(model, pixels, output, 13)
    untiled = reconstruct(model, pixels, output, None)
    torch.testing.assert_close(tiled, untiled, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tile_size", [5, 16, 40])
@pytest.mark.parametrize(
    ("source", "output"),
    [((37, 41), (148, 164)), ((37, 41), (50, 50)), ((1, 50), (3, 135)), ((33, 29), (16, 14))],
)
def test_tiled_equals_untiled_for_every_size(source, output, tile_size):
    model = build_tiny_model(luminance_skip=True, color_size=16)
    pixels = gray(*source, batch=2)
    tiled = reconstruct(model, pixels, output, tile_size)
    untiled = reconstruct(model, pixels, output, None)
    torch.testing.assert_close(tiled, untiled, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("upsampler", UPSAMPLERS)
def test_halo_grows_with_the_texture_encoder(upsampler):
    model = build_tiny_model(upsampler=upsampler, texture_depth=6, color_size=16)
    pixels, output = gray(37, 61), (50, 80)
    tiled = reconstruct(model, pixels, output, 9)
    untiled = reconstruct(model, pixels, output, None)
    torch.testing.assert_close(tiled, untiled, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("color_size", [16, 256])
def test_tiled_equals_the_model(color_size):
    model = build_tiny_model(color_size=color_size)
    pixels = gray(30, 44)
    with torch.no_grad():
        expected = model(pixels, output_size=(60, 71)).reconstruction
    tiled = reconstruct(model, pixels, (60, 71), 11)
    torch.testing.assert_close(tiled, expected, atol=1e-5, rtol=1e-5)


def test_without_its_halo_a_tile_shows(monkeypatch):
    model = build_tiny_model(color_size=16)
    pixels, output = gray(37, 41), (74, 82)
    untiled = reconstruct(model, pixels, output, None)
    monkeypatch.setattr(SCSNetForImageToImage, "halo", 0)
    assert (reconstruct(model, pixels, output, 13) - untiled).abs().max() > 1e-3


def test_auto_cuts_only_images_larger_than_a_tile():
    model = build_tiny_model(color_size=16)
    areas = []
    model.texture_encoder.register_forward_hook(
        lambda module, inputs, output: areas.append(output.shape[-1])
    )
    reconstruct(model, gray(2, AUTO_TILE_SIZES[0]), (2, AUTO_TILE_SIZES[0]), "auto")
    assert areas == [AUTO_TILE_SIZES[0]]
    areas.clear()
    reconstruct(model, gray(2, 3 * AUTO_TILE_SIZES[0]), (2, 3 * AUTO_TILE_SIZES[0]), "auto")
    assert len(areas) == 3
    assert max(areas) <= AUTO_TILE_SIZES[0] + 2 * model.halo


def test_large_image_never_passes_in_one_piece():
    model = build_tiny_model(color_size=16)
    shapes = []
    model.texture_encoder.register_forward_hook(
        lambda module, inputs, output: shapes.append(output.shape[-2:])
    )
    reconstruct(model, gray(90, 100), (180, 200), 20)
    assert len(shapes) == 25
    assert max(max(shape) for shape in shapes) <= 20 + 2 * model.halo


def with_memory_for(pixels: int, error: Exception, monkeypatch) -> list[int]:
    """Let windows of more output pixels fail; returns a list that fills with those computed."""
    decode_window, computed = tiling.decode_window, []

    def decode(model, pixel_values, color_features, grid):
        area = grid.length[0] * grid.length[1]
        if area > pixels:
            raise error
        computed.append(area)
        return decode_window(model, pixel_values, color_features, grid)

    monkeypatch.setattr(tiling, "decode_window", decode)
    return computed


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["python", "accelerator", "cpu"])
@pytest.mark.parametrize("tile_size", [None, 40])
def test_tiles_are_halved_until_memory_suffices(monkeypatch, error, tile_size):
    model = build_tiny_model(color_size=16)
    pixels, output = gray(70, 60), (280, 240)
    expected = reconstruct(model, pixels, output, None)
    computed = with_memory_for(10_000, error, monkeypatch)
    result = reconstruct(model, pixels, output, tile_size)
    assert sum(computed) == 280 * 240
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def test_too_little_memory_for_the_smallest_tile_is_an_error(monkeypatch):
    with_memory_for(100, MemoryError(), monkeypatch)
    with pytest.raises(MemoryError, match=r"not enough memory .* smaller result"):
        reconstruct(build_tiny_model(), gray(70, 60), (280, 240), None)


def test_other_errors_are_not_taken_for_lack_of_memory(monkeypatch):
    with_memory_for(100, RuntimeError("shapes differ"), monkeypatch)
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
def test_automatic_tiles_are_bounded_in_the_result_too(monkeypatch, magnification, expected):
    monkeypatch.setattr(tiling, "free_memory", lambda device: 2**40)
    side = 2000 * magnification
    assert automatic_tile_size(build_tiny_model(), (2000, 2000), (side, side)) == expected


def test_automatic_tiles_of_a_wider_network_are_smaller(monkeypatch):
    monkeypatch.setattr(tiling, "free_memory", lambda device: 2**28)
    sides = [
        automatic_tile_size(
            SCSNetForImageToImage(SCSNetConfig.from_preset(name)), (2000, 2000), (8000, 8000)
        )
        for name in ("tiny", "medium", "base")
    ]
    assert sides == sorted(sides, reverse=True)
    assert sides[0] > sides[-1]


def test_strips_come_from_the_top_and_cover_the_output():
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
