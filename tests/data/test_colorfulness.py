"""Colorfulness after Hasler and Suesstrunk (2003)."""

import pytest
import torch

from scsnet_hf.data.colorfulness import colorfulness


def images(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (*shape, 3, 12, 10), generator=generator, dtype=torch.uint8)


def test_gray_has_none():
    gray = images()[:1].expand(3, -1, -1)
    assert colorfulness(gray) == 0


def test_one_color_has_a_third_of_its_chroma():
    """Without spread only 0.3 of the mean opponent colors is left: here (0, 100)."""
    olive = torch.tensor([100, 100, 0]).view(3, 1, 1).expand(3, 4, 4)
    assert colorfulness(olive) == pytest.approx(30)


def test_opposite_colors_count_by_their_spread():
    """Red - green is 100 and -100, the other opponent color is 0 throughout: spread 100."""
    opposite = torch.tensor([[100, 0, 50], [0, 100, 50]]).T.reshape(3, 1, 2)
    assert colorfulness(opposite) == pytest.approx(100)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_there_is_one_number_a_image(shape):
    assert colorfulness(images(*shape)).shape == shape


def test_images_do_not_mix():
    batch = images(3)
    assert torch.equal(colorfulness(batch)[1], colorfulness(batch[1]))


def test_it_grows_in_proportion_to_the_colors():
    image = images().float()
    assert colorfulness(image / 2) == pytest.approx(colorfulness(image).item() / 2)


def test_brightness_does_not_matter():
    image = images().float() / 2
    assert colorfulness(image + 100) == pytest.approx(colorfulness(image).item(), rel=1e-5)


def test_the_place_of_a_pixel_does_not_matter():
    image = images().double()
    assert colorfulness(image.flip(-1).transpose(-1, -2)) == pytest.approx(
        colorfulness(image).item()
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.uint8, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_it_is_computed_in_float32_unless_float64_is_given(given, expected):
    assert colorfulness(images().to(given)).dtype == expected


@pytest.mark.parametrize("shape", [(3, 4), (4, 3, 3, 0), (1, 8, 8), (8, 8, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="accepted is"):
        colorfulness(torch.zeros(shape))
