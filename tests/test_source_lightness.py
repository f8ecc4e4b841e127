"""Lightness that is consistent with the source's, strip by strip."""

from functools import partial

import pytest
import torch
from torch import nn

from scsnet_hf.source_lightness import back_project, keep_source_lightness

# Source and output sizes, and rows of a strip.
CASES = [
    ((37, 21), (148, 84), 40),
    ((100, 30), (271, 81), 33),
    ((50, 50), (50, 50), 7),
    ((8, 8), (21, 21), 5),
    ((90, 9), (91, 9), 91),
    ((60, 5), (30, 10), 4),
]


@pytest.fixture(params=CASES, ids=str)
def case(request) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Source (1, 1, H, W), result (1, 3, Ho, Wo) and rows of a strip."""
    source, output, rows = request.param
    generator = torch.Generator().manual_seed(0)
    return (
        2 * torch.rand(1, 1, *source, generator=generator) - 1,
        2 * torch.rand(1, 3, *output, generator=generator) - 1,
        rows,
    )


def joined(change, lab: torch.Tensor, source: torch.Tensor, rows: int) -> torch.Tensor:
    """The changed image, from strips of this many rows."""
    return torch.cat(list(change(lab.split(rows, dim=2), source, tuple(lab.shape[-2:]))), dim=2)


@pytest.mark.parametrize("change", [partial(back_project, piece=5), keep_source_lightness])
def test_strips_make_the_same_image_as_the_whole(case, change):
    source, lab, rows = case
    whole = joined(getattr(change, "func", change), lab, source, lab.shape[2])
    torch.testing.assert_close(joined(change, lab, source, rows), whole, atol=2e-5, rtol=0)


@pytest.mark.parametrize("change", [back_project, keep_source_lightness])
def test_colors_and_the_argument_are_unchanged(case, change):
    source, lab, rows = case
    before = lab.clone()
    assert torch.equal(joined(change, lab, source, rows)[:, 1:], lab[:, 1:])
    assert torch.equal(lab, before)


def reduced_lightness(lab: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The lightness as PyTorch reduces it, antialiased."""
    return nn.functional.interpolate(lab[:, :1], size, mode="bicubic", antialias=True)


@pytest.mark.parametrize("size", [(148, 84), (100, 57), (37, 21)])
def test_reduced_again_the_lightness_is_closer_to_the_source(size):
    coarse = torch.rand(1, 1, 8, 6, generator=torch.Generator().manual_seed(0))
    source = nn.functional.interpolate(coarse, (37, 21), mode="bicubic")
    lab = nn.functional.interpolate(source, size, mode="bilinear").expand(-1, 3, -1, -1) + 0.1
    corrected = joined(back_project, lab, source, 30)
    before, after = (
        (reduced_lightness(x, (37, 21)) - source).abs().mean() for x in (lab, corrected)
    )
    assert after < 0.2 * before


def test_consistent_lightness_is_unchanged():
    source = torch.full((1, 1, 9, 12), 0.3)
    lab = torch.full((1, 3, 31, 40), 0.3)
    torch.testing.assert_close(joined(back_project, lab, source, 8), lab)


def test_source_s_lightness_at_its_own_size_is_exact(case):
    source, _, rows = case
    lab = torch.zeros(1, 3, *source.shape[-2:])
    torch.testing.assert_close(
        joined(keep_source_lightness, lab, source, rows)[:, :1], source, atol=1e-6, rtol=0
    )


def test_no_more_than_a_few_strips_are_held():
    source, lab = torch.rand(1, 1, 200, 4), torch.rand(1, 3, 400, 8)
    taken = 0

    def strips():
        nonlocal taken
        for strip in lab.split(20, dim=2):
            taken += 20
            yield strip

    given = 0
    for strip in back_project(strips(), source, (400, 8), piece=10):
        assert taken - given <= 100
        given += strip.shape[2]
    assert given == 400
