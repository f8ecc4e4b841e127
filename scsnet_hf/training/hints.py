"""Training samples with color hints: the truth's colors at random positions (not in the paper)."""

import torch
from torch import nn

from ..data import recolor

MAX_HINTS = 64
_WINDOW = 4  # pixels; a hint shows their mean color
_JITTER = 0.02  # standard deviation added to a and b, normalized
_LIKENESS = 0.15  # distance in normalized Lab at which a color counts as another one
_RECOLORED = 0.5  # share of the samples in which one color is replaced


def number_of_hints(step: int) -> int:
    """Draw the number of hints of all samples of a step, 1 to `MAX_HINTS`, log-uniform."""
    generator = torch.Generator().manual_seed(step)
    return int((MAX_HINTS + 1) ** torch.rand((), generator=generator).item())


def add_hints(
    images: dict[str, torch.Tensor], count: int, generators: list[torch.Generator]
) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """Draw hints, and in some samples give everything of the first hint's color another hue.

    So a network learns that a hint decides the color of what it is on and of its likes, whatever
    color that would have by itself, and of nothing else.

    Args:
        images: `source` and `labels`, normalized Lab (B, 3, H, W).
        count: hints of each sample.
        generators: one for each sample.

    Returns:
        The images, the positions of the hints (B, count, 2), x and y in source pixels, and their
        normalized a and b (B, count, 2).
    """
    source = images["source"]
    side = source.new_tensor(source.shape[-2:][::-1])
    draws = torch.stack([torch.rand(count + 1, 2, generator=one) for one in generators]).to(source)
    noise = torch.stack([torch.randn(count, 2, generator=one) for one in generators]).to(source)
    positions = draws[:, :count] * side
    likes = _at(source, positions[:, :1]).transpose(1, 2).unsqueeze(-1)  # (B, 3, 1, 1)
    angles = torch.where(draws[:, -1, 0] < _RECOLORED, 2 * torch.pi * draws[:, -1, 1], 0.0)
    images = {name: _recolor_likes(values, likes, angles) for name, values in images.items()}
    colors = _at(images["source"], positions)[..., 1:]
    return images, positions, colors + _JITTER * noise


def _at(image: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Mean Lab (B, K, 3) of the windows in which positions (B, K, 2) are."""
    means = nn.functional.avg_pool2d(image, _WINDOW, ceil_mode=True, count_include_pad=False)
    column, row = (positions / _WINDOW).long().unbind(-1)
    index = (row * means.shape[-1] + column).unsqueeze(1).expand(-1, 3, -1)
    return means.flatten(2).gather(2, index).transpose(1, 2)


def _recolor_likes(image: torch.Tensor, likes: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Rotate the hues (angles (B,)) of pixels as far as they are like a color (B, 3, 1, 1)."""
    distance = (image - likes).square().sum(dim=1, keepdim=True)
    likeness = torch.exp(-distance / _LIKENESS**2)
    return torch.lerp(image, recolor(image, angles, torch.ones_like(angles)), likeness)
