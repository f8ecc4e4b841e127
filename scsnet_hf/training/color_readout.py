"""A linear layer that reads colors from F_color while training; not in the paper."""

from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn
from transformers import TrainerCallback

from .losses import LossWeights, content_loss

_STATE_FILE = "color_readout.pt"
_RIDGE = 1e-4  # of the mean square of a feature


class ColorReadout(TrainerCallback):
    """Reads a and b of the source linearly from F_color, and is discarded after training.

    Its l1 error gives the color branch a short path to the colors. Without it this branch knows for
    long only one direction of color, the tint of the average photograph.

    Args:
        channels: number of channels of F_color.
        weights: weights of the loss terms, of which channel weights and `vivid` are used.
        accelerator: that of the Trainer.
    """

    def __init__(self, channels: int, weights: LossWeights, accelerator: Accelerator):
        self.weights, self.accelerator = weights, accelerator
        self.layer = nn.Conv2d(channels, 2, 1)
        nn.init.zeros_(self.layer.weight)  # fitted to the first batch
        self.layer.to(accelerator.device)
        self._wrapped = self.layer

    def prepare(self) -> list[nn.Parameter]:
        """Distribute the layer over the processes; return its parameters for the optimizer."""
        self._wrapped = self.accelerator.prepare(self.layer)
        return list(self.layer.parameters())

    def loss(self, features: torch.Tensor, colors: torch.Tensor) -> torch.Tensor:
        """Compute the content loss between colors read from features and the source's own.

        Args:
            features: F_color (B, C, h, w).
            colors: normalized a and b of the source (B, 2, H, W).

        Returns:
            Scalar, float32.
        """
        features = features.float()
        if colors.shape[-2:] != features.shape[-2:]:
            # Beyond the model's color_size the color branch works on a reduced image.
            colors = nn.functional.interpolate(
                colors, features.shape[-2:], mode="bilinear", antialias=True
            )
        if not self.layer.weight.any():
            self._fit(features.detach(), colors)
        return content_loss(
            self._wrapped(features), colors, self.weights.channels[1:], self.weights.vivid
        )

    @torch.no_grad()
    def _fit(self, features: torch.Tensor, colors: torch.Tensor) -> None:
        """Set the layer to the least squares solution over the first batch of all processes.

        So a network that has learned colors keeps them where its pixel mapping looks for them, and
        one that has not starts near zero. From large random weights it takes long to find a second
        direction of color.
        """
        inputs, targets = (one.double().transpose(0, 1).flatten(1) for one in (features, colors))
        inputs = torch.cat((inputs, torch.ones_like(inputs[:1])))  # (C + 1, N), the last for a bias
        moments = torch.cat((inputs, targets)) @ inputs.T / inputs.shape[1]
        moments = self.accelerator.reduce(moments, reduction="mean")
        square, mixed = moments.split((len(inputs), len(targets)))
        ridge = _RIDGE * square.diagonal().mean() * torch.eye(len(square)).to(square)
        solution = torch.linalg.solve(square + ridge, mixed.T).T  # (2, C + 1)
        self.layer.weight.copy_(solution[:, :-1, None, None])
        self.layer.bias.copy_(solution[:, -1])

    def on_step_end(self, args, state, control, **kwargs) -> None:
        """Clear the gradients after an optimizer step; the Trainer clears those of the model."""
        self.layer.zero_grad()

    def save(self, folder: str | Path) -> None:
        """Write the layer into a checkpoint."""
        torch.save(self.layer.state_dict(), Path(folder) / _STATE_FILE)

    def load(self, folder: str | Path) -> None:
        """Read what `save` wrote."""
        self.layer.load_state_dict(torch.load(Path(folder) / _STATE_FILE, weights_only=True))

    @staticmethod
    def is_saved(folder: Path) -> bool:
        """Return whether a checkpoint was written with a color readout."""
        return (folder / _STATE_FILE).exists()
