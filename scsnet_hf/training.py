"""`SCSNetTrainer`: transformers' Trainer, alternating the two modes as in Sec. 4.1."""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import TrainOutput

from .data import collate, elastic_distortion, flip_vertically, normalized_lab_of
from .modeling_scsnet import SCSNetOutput

_EMA_FILE = "ema.pt"
_MAX_AMPLITUDE = 0.04  # of the elastic distortion, a share of the side; the paper gives none


@dataclass(frozen=True)
class LossWeights:
    """Weights of Eq. 4."""

    content: float = 10.0
    # Of L, a and b within the content loss; the paper weighs them alike. Errors of a are the
    # smallest, and without help it is learned last.
    channels: tuple[float, float, float] = (1.0, 2.0, 1.5)


class _AverageWeights(TrainerCallback):
    """Moves the moving average along after every optimizer step."""

    def __init__(self, average: EMAModel):
        self.average = average

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.average.step(model.parameters())


class SCSNetTrainer(Trainer):
    """Trains an `SCSNetForImageToImage` on batches of `data.collate`.

    Even steps are automatic, odd steps have a flipped and elastically distorted copy of the truth
    as reference. `save_average` writes the exponential moving average of the weights, which is
    what to use afterwards; the checkpoints hold the weights being trained, and the average beside.

    Args:
        loss_weights: weights of the loss terms.
        ema_decay: decay of the moving average, warmed up.
        **kwargs: as for `transformers.Trainer`.
    """

    def __init__(
        self, *, loss_weights: LossWeights | None = None, ema_decay: float = 0.999, **kwargs
    ):
        kwargs.setdefault("data_collator", collate)
        super().__init__(**kwargs)
        self.loss_weights = loss_weights or LossWeights()
        self.average = EMAModel(
            self.model.parameters(), decay=ema_decay, use_ema_warmup=True, power=3 / 4
        )
        self.add_callback(_AverageWeights(self.average))

    def train(self, resume_from_checkpoint: str | None = None, **kwargs) -> TrainOutput:
        """As the parent class; a checkpoint of a finished run is loaded and left as it is."""
        if resume_from_checkpoint:
            state = TrainerState.load_from_json(Path(resume_from_checkpoint) / TRAINER_STATE_NAME)
            if state.global_step >= self.args.max_steps > 0:
                self.state = state
                self._load_from_checkpoint(resume_from_checkpoint)
                self._load_average(resume_from_checkpoint)
                return TrainOutput(state.global_step, 0.0, {})
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def compute_loss(
        self, model: nn.Module, inputs: dict, return_outputs: bool = False, **kwargs
    ) -> torch.Tensor | tuple[torch.Tensor, SCSNetOutput]:
        """Content loss (Eq. 5) of a batch, weighted."""
        inputs = self.network_inputs(inputs)
        outputs = model(**inputs)
        error = (outputs.reconstruction - inputs["labels"]).abs().mean(dim=(0, 2, 3))
        loss = (
            self.loss_weights.content
            * (error * error.new_tensor(self.loss_weights.channels)).mean()
        )
        return (loss, outputs) if return_outputs else loss

    def network_inputs(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """uint8 samples to the arguments of the model's forward; the mode follows the step."""
        referential = self.state.global_step % 2 and self.model.config.cross_attention != "none"
        if referential and torch.rand(()) < 0.5:
            # Upside down there is no sky above; but where colours come from the reference, the
            # rest learns to treat all directions alike.
            batch = flip_vertically(batch)
        inputs = {
            "pixel_values": normalized_lab_of(batch["source"])[:, :1],
            "labels": normalized_lab_of(batch["labels"]),
            "output_size": batch["output_size"],
            "output_start": batch["output_start"],
        }
        if referential:
            amplitude = _MAX_AMPLITUDE * torch.rand(()).item()
            inputs["reference_pixel_values"] = elastic_distortion(
                normalized_lab_of(batch["reference"]), amplitude
            )
        return inputs

    def save_average(self, folder: str | Path) -> None:
        """Save the moving average as a loadable model, with the image processor if there is one."""
        parameters = list(self.model.parameters())
        self.average.store(parameters)
        self.average.copy_to(parameters)
        self.model.save_pretrained(folder)
        self.average.restore(parameters)
        if self.processing_class is not None:
            self.processing_class.save_pretrained(folder)

    def _save_optimizer_and_scheduler(self, output_dir):
        super()._save_optimizer_and_scheduler(output_dir)
        torch.save(self.average.state_dict(), Path(output_dir) / _EMA_FILE)

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self._load_average(checkpoint)

    def _load_average(self, checkpoint):
        self.average.load_state_dict(torch.load(Path(checkpoint) / _EMA_FILE, weights_only=True))
