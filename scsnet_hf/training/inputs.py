"""A batch of uint8 samples as arguments of the network: Lab, distorted references, other colors."""

import torch

from ..color import normalize_lab, srgb_to_lab
from ..data import elastic_distortion, recolor
from .hints import add_hints

_MAX_AMPLITUDE = 0.04  # of the elastic distortion, a share of the side; the paper gives none
_CHROMA_RANGE = (0.6, 1.4)  # factors of recolored images


def build_model_inputs(
    batch: dict[str, torch.Tensor],
    referential: bool,
    vertical_flips: bool = False,
    recolor_probability: float = 0.0,
    hints: int = 0,
) -> dict[str, torch.Tensor]:
    """Convert a batch of uint8 samples to arguments of the model's forward.

    All randomness follows from the seeds of the samples, so that a sample does not depend on how
    samples are distributed over batches and processes.

    Args:
        batch: samples of `data.training_stream`, collated, on the model's device.
        referential: whether to make references: flipped and elastically distorted.
        vertical_flips: flip half of the samples vertically, if `referential`.
        recolor_probability: probability that the labels and the reference of a sample get other
            colors, if `referential`.
        hints: number of hints of each sample, instead of a reference.

    Returns:
        The arguments, and `source_colors`, the normalized a and b of the source (B, 2, H, W).
    """
    generators = [torch.Generator().manual_seed(seed) for seed in batch["seed"].tolist()]
    if referential:
        draws = torch.stack([torch.rand(5, generator=one) for one in generators])
        draws = draws.to(batch["labels"].device)
        if vertical_flips:
            # Upside down there is no sky above; but where colors come from the reference,
            # the rest learns to treat all directions alike.
            batch = flip_vertically(batch, draws[:, 0] < 0.5)
    images = {name: srgb_to_normalized_lab(batch[name]) for name in ("source", "labels")}
    if referential:
        images["reference"] = elastic_distortion(
            srgb_to_normalized_lab(batch["reference"]),
            _MAX_AMPLITUDE * draws[:, 1],
            generator=generators,
        )
        chosen = (draws[:, 2] < recolor_probability) & batch["own_reference"]
        images = _recolor_chosen(images, chosen, draws[:, 3], draws[:, 4])
    if hints:
        images, positions, hinted = add_hints(images, hints, generators)
    lightness, colors = images["source"].split((1, 2), dim=1)
    inputs = {
        "pixel_values": lightness,
        "source_colors": colors,
        "labels": images["labels"],
        "output_size": batch["output_size"],
        "output_start": batch["output_start"],
    }
    if referential:
        inputs["reference_pixel_values"] = images["reference"]
    if hints:
        inputs |= {"hint_positions": positions, "hint_colors": hinted}
    return inputs


def srgb_to_normalized_lab(rgb: torch.Tensor) -> torch.Tensor:
    """Convert uint8 sRGB (B, 3, H, W) to normalized Lab, float32."""
    return normalize_lab(srgb_to_lab(rgb.float() / 255))


def flip_vertically(batch: dict[str, torch.Tensor], which: torch.Tensor) -> dict[str, torch.Tensor]:
    """Flip some samples of a batch vertically, with the positions of their labels.

    Args:
        batch: samples of `data.training_stream`, collated.
        which: the samples to flip, bool (B,).

    Returns:
        A new batch.
    """
    height = batch["labels"].shape[-2]
    start = batch["output_start"].clone()
    mirrored = batch["output_size"][:, 0] - height - start[:, 0]
    start[:, 0] = torch.where(which, mirrored, start[:, 0])
    which = which.view(-1, 1, 1, 1)
    flipped = {
        name: torch.where(which, batch[name].flip(-2), batch[name])
        for name in ("source", "labels", "reference")
    }
    return {**batch, **flipped, "output_start": start}


def _recolor_chosen(
    images: dict[str, torch.Tensor], chosen: torch.Tensor, hue: torch.Tensor, chroma: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Recolor the `chosen` samples (B,) of all images alike; hue and chroma (B,) in [0, 1)."""
    low, high = _CHROMA_RANGE
    angles = torch.where(chosen, 2 * torch.pi * hue, 0.0)
    factors = torch.where(chosen, low + (high - low) * chroma, 1.0)
    return {name: recolor(values, angles, factors) for name, values in images.items()}
