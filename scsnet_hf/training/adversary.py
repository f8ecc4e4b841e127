"""The discriminator's side of adversarial training (Sec. 3.3, Eq. 7)."""

from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from .losses import relativistic_discriminator_loss, relativistic_generator_loss

_STATE_FILE = "discriminator.pt"


class Adversary:
    """Trains a discriminator, with an optimizer and a schedule of its own.

    Args:
        discriminator: maps normalized Lab (B, 3, H, W) to scores.
        accelerator: that of the Trainer.
        make_optimizer: creates the optimizer of a list of parameters.
        make_scheduler: creates the learning rate schedule of an optimizer.
        max_grad_norm: norm that gradients are clipped to, 0 for no clipping.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        accelerator: Accelerator,
        make_optimizer: Callable,
        make_scheduler: Callable,
        max_grad_norm: float,
    ):
        self.discriminator = discriminator
        self.accelerator = accelerator
        self.max_grad_norm = max_grad_norm or float("inf")
        optimizer = make_optimizer(list(discriminator.parameters()))
        self._wrapped, self.optimizer = accelerator.prepare(discriminator, optimizer)
        self.scheduler = make_scheduler(self.optimizer)

    def step(
        self, real: torch.Tensor, fake: torch.Tensor, accumulation_steps: int = 1
    ) -> dict[str, torch.Tensor]:
        """Train the discriminator on a batch.

        Args:
            real: ground truth, normalized Lab (B, 3, H, W).
            fake: results of the network, of the same shape.
            accumulation_steps: number of batches per optimizer step.

        Returns:
            Values to log: loss, mean scores and, after an optimizer step, the gradient norm.
        """
        self.discriminator.requires_grad_(True)
        with self.accelerator.autocast():
            # One pass for both: DistributedDataParallel expects one forward per backward.
            scores = self._wrapped(torch.cat((real, fake.detach())))
        real_scores, fake_scores = scores.float().chunk(2)
        loss = relativistic_discriminator_loss(real_scores, fake_scores)
        log = {
            "discriminator_loss": loss.detach(),
            "d_real": real_scores.detach().mean(),
            "d_fake": fake_scores.detach().mean(),
        }
        if self.accelerator.sync_gradients:
            self.accelerator.backward(loss / accumulation_steps)
            log["discriminator_grad_norm"] = self._optimizer_step()
        else:
            with self.accelerator.no_sync(self._wrapped):
                self.accelerator.backward(loss / accumulation_steps)
        return log

    def _optimizer_step(self) -> torch.Tensor:
        self.accelerator.unscale_gradients(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.discriminator.parameters(), self.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.scheduler.step()
        return norm.detach()

    def generator_loss(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """Compute L_Adv^G, whose gradients go to `fake` only; arguments as for `step`."""
        # Frozen, and not through DistributedDataParallel, which would wait for its gradients.
        self.discriminator.requires_grad_(False)
        with self.accelerator.autocast():
            scores = self.discriminator(torch.cat((real, fake)))
        real_scores, fake_scores = scores.float().chunk(2)
        return relativistic_generator_loss(real_scores, fake_scores)

    def save(self, folder: str | Path) -> None:
        """Write weights, optimizer and schedule into a checkpoint."""
        parts = (self.discriminator, self.optimizer, self.scheduler)
        torch.save([part.state_dict() for part in parts], Path(folder) / _STATE_FILE)

    def load(self, folder: str | Path) -> None:
        """Read what `save` wrote."""
        states = torch.load(Path(folder) / _STATE_FILE, weights_only=True, map_location="cpu")
        for part, state in zip(
            (self.discriminator, self.optimizer, self.scheduler), states, strict=True
        ):
            part.load_state_dict(state)

    @staticmethod
    def is_saved(folder: Path) -> bool:
        """Return whether a checkpoint was written with an adversary."""
        return (folder / _STATE_FILE).exists()
