"""Batches of samples as arguments of the network. How the trainer uses them: test_trainer.py."""

import random

import pytest
import torch

from helpers.images import make_image
from scsnet_hf.data import PairMaker, collate
from scsnet_hf.training.inputs import flip_vertically, srgb_to_normalized_lab


def batch_of(count: int = 3) -> dict[str, torch.Tensor]:
    make_pair = PairMaker(16, 12, 20)
    return collate(
        [make_pair(make_image(80, 60, seed=seed), random.Random(seed)) for seed in range(count)]
    )


class TestNormalizedLab:
    @pytest.mark.parametrize(("brightness", "lightness"), [(0, -1), (255, 1)])
    def test_black_and_white_are_the_ends(self, brightness, lightness):
        gray = torch.full((2, 3, 4, 4), brightness, dtype=torch.uint8)
        expected = torch.tensor([lightness, 0.0, 0.0]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
        assert torch.allclose(srgb_to_normalized_lab(gray), expected, atol=1e-5)

    def test_it_is_float32(self):
        assert srgb_to_normalized_lab(batch_of()["labels"]).dtype == torch.float32


class TestFlippingVertically:
    @pytest.fixture
    def outputs(self):
        """Whole outputs, (3, 20 or more, 16) each, and the batch of their windows."""
        heights, starts = (20, 26, 31), ((0, 3), (14, 0), (10, 4))
        outputs = [torch.randint(256, (3, height, 16), dtype=torch.uint8) for height in heights]
        windows = [
            whole[:, row : row + 12, column : column + 12]
            for whole, (row, column) in zip(outputs, starts, strict=True)
        ]
        batch = {
            "source": torch.randint(256, (3, 3, 8, 8), dtype=torch.uint8),
            "labels": torch.stack(windows),
            "reference": torch.randint(256, (3, 3, 10, 10), dtype=torch.uint8),
            "output_size": torch.tensor([(height, 16) for height in heights]),
            "output_start": torch.tensor(starts),
            "seed": torch.arange(3),
        }
        return outputs, batch

    WHICH = [(True, True, True), (False, True, False), (True, False, True)]

    @pytest.mark.parametrize("which", WHICH)
    def test_the_windows_lie_in_the_turned_outputs(self, outputs, which):
        wholes, batch = outputs
        flipped = flip_vertically(batch, torch.tensor(which))
        for index, turned in enumerate(which):
            whole = wholes[index].flip(-2) if turned else wholes[index]
            row, column = flipped["output_start"][index].tolist()
            window = whole[:, row : row + 12, column : column + 12]
            assert torch.equal(flipped["labels"][index], window)

    @pytest.mark.parametrize("which", WHICH)
    @pytest.mark.parametrize("name", ["source", "reference"])
    def test_sources_and_references_are_turned_with_them(self, outputs, name, which):
        batch = outputs[1]
        flipped = flip_vertically(batch, torch.tensor(which))
        for before, after, turned in zip(batch[name], flipped[name], which, strict=True):
            assert torch.equal(after, before.flip(-2) if turned else before)

    @pytest.mark.parametrize("name", ["output_size", "seed"])
    def test_the_rest_stays(self, outputs, name):
        batch = outputs[1]
        flipped = flip_vertically(batch, torch.tensor([True, False, True]))
        assert flipped.keys() == batch.keys()
        assert torch.equal(flipped[name], batch[name])

    @pytest.mark.parametrize(("which", "times"), [((True, False, True), 2), ((False,) * 3, 1)])
    def test_twice_and_none_change_nothing(self, outputs, which, times):
        flipped = batch = outputs[1]
        for _ in range(times):
            flipped = flip_vertically(flipped, torch.tensor(which))
        assert all(torch.equal(flipped[name], batch[name]) for name in batch)

    def test_the_given_batch_is_left_as_it_was(self, outputs):
        batch = outputs[1]
        before = {name: tensor.clone() for name, tensor in batch.items()}
        flip_vertically(batch, torch.tensor([True, True, False]))
        assert all(torch.equal(batch[name], before[name]) for name in batch)
