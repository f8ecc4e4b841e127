"""Measures a model on colour photographs: shrink, take the colour away, bring both back, compare.

Definitions: every number is computed per picture and averaged over pictures. PSNR is on 8-bit
pictures, in dB: of R, G and B together (peak 255), or of CIE L (peak 100). Chroma is
sqrt(a^2 + b^2) in CIE Lab, colorfulness that of colorfulness.py. Low-resolution pictures are made
by Pillow's antialiased bicubic kernel.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from .color import lab_to_srgb, srgb_to_lab
from .colorfulness import colorfulness
from .data import elastic_distortion


@dataclass(frozen=True)
class Sample:
    """One picture to restore."""

    truth: Image.Image  # RGB
    gray: Image.Image  # L, low resolution
    reference: Image.Image  # RGB, flipped and elastically distorted copy of the truth


Method = Callable[[Sample], Image.Image]


def make_samples(pictures: Iterable[Image.Image], scale: float, seed: int = 0) -> Iterator[Sample]:
    """Sources and references of pictures; both are 128 px for 512 px at scale 4 (Sec. 4.1)."""
    generator = torch.Generator().manual_seed(seed)
    for truth in pictures:
        size = tuple(max(1, round(side / scale)) for side in truth.size)
        low = truth.resize(size, Image.Resampling.BICUBIC)
        rgb = _as_tensor(low)
        gray_lab = srgb_to_lab(rgb)
        gray_lab[1:] = 0
        yield Sample(
            truth,
            _as_picture(lab_to_srgb(gray_lab)).getchannel(0),
            _as_picture(elastic_distortion(rgb[None], generator=generator)[0]),
        )


def gray_bicubic(sample: Sample) -> Image.Image:
    """The floor: the gray source, enlarged."""
    return sample.gray.resize(sample.truth.size, Image.Resampling.BICUBIC).convert("RGB")


def methods_of(pipe: Callable) -> dict[str, Method]:
    """What is compared: the floor and both modes of a `scs-colorize-sr` pipeline."""
    return {
        "gray bicubic": gray_bicubic,
        "automatic": lambda s: pipe(s.gray, size=s.truth.size),
        "self-reference": lambda s: pipe(s.gray, reference=s.reference, size=s.truth.size),
    }


def measure(result: Image.Image, truth: Image.Image) -> dict[str, float]:
    """All numbers of one result of the truth's size."""
    result_lab, truth_lab = (srgb_to_lab(_as_tensor(p)) for p in (result, truth))
    return {
        "psnr_rgb": psnr(np.asarray(result), np.asarray(truth), peak=255),
        "psnr_l": psnr(result_lab[0].numpy(), truth_lab[0].numpy(), peak=100),
        "chroma": result_lab[1:].norm(dim=0).mean().item(),
        "colorfulness": colorfulness(255 * _as_tensor(result)).item(),
    }


def psnr(result: np.ndarray, truth: np.ndarray, peak: float) -> float:
    """10 log10(peak^2 / mean squared error) in dB; infinite for equal arrays."""
    error = np.square(result.astype(np.float64) - truth.astype(np.float64)).mean()
    return float(10 * np.log10(peak**2 / error)) if error else float("inf")


def evaluate(samples: Iterable[Sample], methods: dict[str, Method]) -> dict[str, dict[str, float]]:
    """Average numbers of every method, and of the truth itself (chroma and colorfulness)."""
    rows: dict[str, list[dict[str, float]]] = {"truth": [], **{name: [] for name in methods}}
    for sample in samples:
        rows["truth"].append(measure(sample.truth, sample.truth))
        for name, method in methods.items():
            rows[name].append(measure(method(sample), sample.truth))
    if not rows["truth"]:
        raise ValueError("no pictures to evaluate on")
    return {
        name: {key: float(np.mean([row[key] for row in measured])) for key in measured[0]}
        for name, measured in rows.items()
    }


def markdown_table(results: dict[str, dict[str, float]]) -> str:
    """The results as the table of README."""
    lines = [
        "| | RGB PSNR (dB) | L PSNR (dB) | mean chroma | colorfulness |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in results.items():
        quality = [f"{row[key]:.2f}" for key in ("psnr_rgb", "psnr_l")]
        color = [f"{row[key]:.1f}" for key in ("chroma", "colorfulness")]
        lines.append(f"| {' | '.join([name, *quality, *color])} |")
    return "\n".join(lines).replace("inf", "-")


def _as_tensor(picture: Image.Image) -> torch.Tensor:
    """RGB picture to (3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255


def _as_picture(rgb: torch.Tensor) -> Image.Image:
    pixels = (rgb * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return Image.fromarray(np.ascontiguousarray(pixels))
