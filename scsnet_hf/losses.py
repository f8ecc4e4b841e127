"""The losses of Sec. 3.3 under their stable name; `training.losses` defines them."""

from .training.losses import (
    LOSS_PRESETS,
    LossWeights,
    PerceptualLoss,
    content_loss,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
)

__all__ = [
    "LOSS_PRESETS",
    "LossWeights",
    "PerceptualLoss",
    "content_loss",
    "relativistic_discriminator_loss",
    "relativistic_generator_loss",
]
