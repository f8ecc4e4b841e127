"""What the network gets of a batch of samples: its units, distorted references, other colors."""

import torch

from ..data import (
    elastic_distortion,
    flip_vertically,
    normalized_lab_of,
    recolor,
)

_MAX_AMPLITUDE = 0.04  # of the elastic distortion, a share of the side; the paper gives none
_RECOLORED_CHROMA = (0.6, 1.4)  # factors of recolored images


def network_inputs(
    batch: dict[str, torch.Tensor],
    referential: bool,
    vertical_flips: bool = False,
    recolored: float = 0.0,
) -> dict[str, torch.Tensor]:
    """uint8 samples to the arguments of the model's forward.

    What is random here hangs on the samples' own seeds only, so that it is the same however they
    are spread over batches and processes.

    Args:
        batch: samples of `data.training_stream`, collated, on the model's device.
        referential: whether there are references, flipped and elastically distorted.
        vertical_flips: turn half of the samples upside down, where there are references.
        recolored: share of the samples whose truth and reference get other colors.

    Returns:
        The arguments, and `source_colors`, a and b of the source (B, 2, H, W).
    """
    if referential:
        generators = [torch.Generator().manual_seed(seed) for seed in batch["seed"].tolist()]
        draws = torch.stack([torch.rand(5, generator=one) for one in generators])
        draws = draws.to(batch["labels"].device)
        if vertical_flips:
            # Upside down there is no sky above; but where colors come from the reference,
            # the rest learns to treat all directions alike.
            batch = flip_vertically(batch, draws[:, 0] < 0.5)
    images = {name: normalized_lab_of(batch[name]) for name in ("source", "labels")}
    if referential:
        images["reference"] = elastic_distortion(
            normalized_lab_of(batch["reference"]),
            _MAX_AMPLITUDE * draws[:, 1],
            generator=generators,
        )
        chosen = (draws[:, 2] < recolored) & batch["own_reference"]
        images = _recolor(images, chosen, draws[:, 3], draws[:, 4])
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
    return inputs


def _recolor(
    images: dict[str, torch.Tensor], chosen: torch.Tensor, hue: torch.Tensor, chroma: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Recolor the `chosen` samples (B,) of all images alike; draws (B,) in [0, 1)."""
    low, high = _RECOLORED_CHROMA
    angles = torch.where(chosen, 2 * torch.pi * hue, 0.0)
    factors = torch.where(chosen, low + (high - low) * chroma, 1.0)
    return {name: recolor(values, angles, factors) for name, values in images.items()}
