"""Colors of large images: computed small, enlarged along the lightness."""

import numpy as np
import pytest
import torch
from PIL import Image

from scsnet_hf import source_lightness
from scsnet_hf.color import normalize_lab, srgb_to_lab
from scsnet_hf.pixel_mapping import PixelGrid
from scsnet_hf.source_lightness import enlarge_colors, joint_bilateral, small_size

SMALL, LARGE = (9, 13), (31, 40)


def random_lab(size: tuple[int, int], channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.rand(1, channels, *size, generator=generator) - 1


def enlarged(small: torch.Tensor, lightness: torch.Tensor) -> torch.Tensor:
    """The chroma of the whole image."""
    sizes = (tuple(one.shape[-2:]) for one in (small, lightness))
    return joint_bilateral(small, lightness, PixelGrid.whole(*sizes))


class TestSmallSize:
    @pytest.mark.parametrize("size", [(1, 1), (256, 256), (1, 2**16), (192, 341)])
    def test_of_a_small_image_is_its_own(self, size):
        assert small_size(size, 128) == size

    @pytest.mark.parametrize("size", [(257, 257), (3000, 4000), (10_000, 10_000)])
    def test_of_a_large_image_has_its_aspect_and_as_many_pixels(self, size):
        height, width = small_size(size, 128)
        assert height * width == pytest.approx(256**2, rel=0.01)
        assert width / height == pytest.approx(size[1] / size[0], rel=0.01)

    def test_of_a_line_is_a_line(self):
        assert small_size((1, 2**17), 128)[0] == 1


class TestJointBilateral:
    def test_one_color_stays_one_color(self):
        small = random_lab(SMALL)
        small[:, 1:] = torch.tensor([0.3, -0.2])[:, None, None]
        chroma = enlarged(small, random_lab(LARGE, 1))
        torch.testing.assert_close(chroma, small[:, 1:, :1, :1].expand_as(chroma))

    def test_gray_stays_exactly_gray(self):
        small = random_lab(SMALL)
        small[:, 1:] = 0
        assert not enlarged(small, random_lab(LARGE, 1)).any()

    def test_no_color_is_stronger_than_before(self):
        small = random_lab(SMALL)
        chroma = enlarged(small, random_lab(LARGE, 1))
        limits = small[:, 1:].amin((2, 3)), small[:, 1:].amax((2, 3))
        assert (chroma >= limits[0][..., None, None] - 1e-6).all()
        assert (chroma <= limits[1][..., None, None] + 1e-6).all()

    def test_windows_equal_the_whole(self):
        small, lightness = random_lab(SMALL), random_lab(LARGE, 1)
        grid = PixelGrid(SMALL, LARGE, (11, 5), (17, 30))
        window = joint_bilateral(small, lightness[..., 11:28, 5:35], grid)
        expected = enlarged(small, lightness)[..., 11:28, 5:35]
        torch.testing.assert_close(window, expected, atol=1e-6, rtol=0)

    def test_colors_end_where_the_lightness_does(self):
        # A dark red and a light blue half; the edge is not at a border of small pixels.
        lightness = torch.full((1, 1, 40, 40), -0.6)
        lightness[..., 21:] = 0.6
        truth = torch.where(lightness < 0, 0.5, -0.5)
        pair = torch.cat((lightness, truth, truth), dim=1)
        small = torch.nn.functional.interpolate(pair, (10, 10), mode="area")
        bilinear = torch.nn.functional.interpolate(small[:, 1:], (40, 40), mode="bilinear")
        errors = [
            (chroma - truth).abs().mean() for chroma in (enlarged(small, lightness), bilinear)
        ]
        assert errors[0] < 0.5 * errors[1]


def test_strips_equal_the_whole_and_have_the_lightness_of_the_source(monkeypatch):
    source, small = random_lab(LARGE, 1), random_lab(SMALL)

    def joined(rows: int) -> torch.Tensor:
        blocks = [(top, min(top + rows, LARGE[0])) for top in range(0, LARGE[0], rows)]
        monkeypatch.setattr(source_lightness, "conversion_blocks", lambda *size: blocks)
        return torch.cat(list(enlarge_colors(small.split(4, dim=2), source, LARGE)), dim=2)

    whole = joined(LARGE[0])
    torch.testing.assert_close(joined(7), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(whole[:, :1], source, atol=1e-6, rtol=0)


class TestInThePipeline:
    @pytest.fixture
    def image(self) -> Image.Image:
        levels = np.random.default_rng(0).integers(0, 256, (8, 12), dtype=np.uint8)
        return Image.fromarray(levels).resize((90, 60), Image.Resampling.BICUBIC)

    @pytest.fixture
    def limited(self, tiny_pipe, monkeypatch):
        """The pipeline, with colors of images of more than 24x24 pixels computed at that size."""
        monkeypatch.setattr(tiny_pipe.model.config, "color_size", 12)
        return tiny_pipe

    @pytest.fixture
    def seen(self, limited, monkeypatch) -> list[int]:
        """How many pixels each call of the texture branch gets."""
        numbers, encode = [], limited.model.encode_texture

        def count(pixels):
            numbers.append(pixels.shape[-2:].numel())
            return encode(pixels)

        monkeypatch.setattr(limited.model, "encode_texture", count)
        return numbers

    @pytest.mark.parametrize(
        "arguments", [{"scale": 1}, {"scale": 0.8}, {"scale": 2.3, "luminance": "source"}]
    )
    def test_the_result_does_not_depend_on_tiles(self, limited, image, arguments):
        whole, tiled = (
            np.asarray(limited(image, tile_size=tile, **arguments)).astype(int)
            for tile in (None, 8)
        )
        assert np.abs(whole - tiled).max() <= 1

    def test_the_lightness_is_that_of_the_source(self, limited, image):
        result = torch.from_numpy(np.array(limited(image, scale=1))).permute(2, 0, 1) / 255
        source = limited.image_processor.source_tensor(image)[0]
        lightness = normalize_lab(srgb_to_lab(result))[:1]
        assert (lightness - source).abs().max() < 0.02  # 8 bits a channel

    @pytest.mark.parametrize(
        ("size", "arguments", "pixels"),
        [
            ((90, 64), {"scale": 1}, 28 * 20),
            ((90, 64), {"scale": 1, "luminance": "source"}, 28 * 20),
            ((90, 64), {"scale": 2, "luminance": "source"}, 28 * 20),
            ((24, 24), {"scale": 2, "luminance": "source"}, 24 * 24),
            ((24, 24), {"scale": 1}, 24 * 24),
            ((90, 64), {"scale": 2}, 90 * 64),
        ],
    )
    def test_the_network_sees_no_more_pixels_than_colors_need(
        self, limited, seen, image, size, arguments, pixels
    ):
        limited(image.resize(size), tile_size=None, **arguments)
        assert seen == [pixels]
