"""Hashes of images and weights."""

import torch
from PIL import Image
from torch import nn

from research.evaluation.hashes import image_sha256, weights_sha256


def test_a_image_is_its_pixels_and_not_its_file(tmp_path):
    image = Image.linear_gradient("L").convert("RGB")
    for name in ("a.png", "a.bmp"):
        image.save(tmp_path / name)
    hashes = {image_sha256(Image.open(tmp_path / name)) for name in ("a.png", "a.bmp")}
    assert hashes == {image_sha256(image)}


def test_size_and_mode_belong_to_a_image():
    gray = Image.new("L", (4, 6))
    others = (gray, Image.new("L", (6, 4)), gray.convert("P"))
    assert len({image_sha256(one) for one in others}) == 3


def test_weights_are_told_apart_by_every_value():
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    before = weights_sha256(network)
    assert weights_sha256(network) == before
    with torch.no_grad():
        network[1].bias += 1e-3
    assert weights_sha256(network) != before


def test_weights_are_the_same_in_any_float_type_that_holds_them():
    network = nn.Linear(3, 2).half()
    assert weights_sha256(network) == weights_sha256(network.float())
