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
_READOUT_FILE = "color_readout.pt"
_MAX_AMPLITUDE = 0.04  # of the elastic distortion, a share of the side; the paper gives none


@dataclass(frozen=True)
class LossWeights:
    """Weights of Eq. 4."""

    content: float = 10.0
    # Of the colours read linearly from F_color, see SCSNetTrainer; not in the paper.
    color: float = 10.0
    # Of L, a and b within the content loss; the paper weighs them alike. Errors of a are the
    # smallest, and without help it is learned last.
    channels: tuple[float, float, float] = (1.0, 2.0, 1.5)


def weighted_l1(result: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of (B, C, H, W), channel by channel weighted with (C,)."""
    error = (result.float() - target).abs().mean(dim=(0, 2, 3))
    return (error * weights).mean()


class _AfterStep(TrainerCallback):
    """What follows an optimizer step beside the Trainer's own work, which knows the model only."""

    def __init__(self, average: EMAModel, color_readout: nn.Module):
        self.average, self.color_readout = average, color_readout

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.average.step(model.parameters())
        self.color_readout.zero_grad()


class SCSNetTrainer(Trainer):
    """Trains an `SCSNetForImageToImage` on batches of `data.collate`.

    Beside the content loss, a linear layer reads a and b of the whole source from F_color, and its
    l1 error is added. The layer is thrown away afterwards. Without this short way the colour branch
    long knows one direction of colour only, the tint of the average photograph.

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
        self.color_readout = nn.Conv2d(self.model.config.hidden_sizes[0], 2, 1)
        self.color_readout.to(self.args.device)
        self.add_callback(_AfterStep(self.average, self.color_readout))
        self.model.color_decoder.register_forward_hook(self._keep_color_features)

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
        colors = inputs.pop("source_colors")
        outputs = model(**inputs)
        weights = torch.tensor(self.loss_weights.channels, device=self.args.device)
        content = weighted_l1(outputs.reconstruction, inputs["labels"], weights)
        color = weighted_l1(self.color_readout(self._color_features.float()), colors, weights[1:])
        loss = self.loss_weights.content * content + self.loss_weights.color * color
        return (loss, outputs) if return_outputs else loss

    def network_inputs(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """uint8 samples to the arguments of the model's forward; the mode follows the step.

        Also `source_colors`, a and b of the source (B, 2, H, W).
        """
        referential = self.state.global_step % 2 and self.model.config.cross_attention != "none"
        if referential and torch.rand(()) < 0.5:
            # Upside down there is no sky above; but where colours come from the reference, the
            # rest learns to treat all directions alike.
            batch = flip_vertically(batch)
        lightness, colors = normalized_lab_of(batch["source"]).split((1, 2), dim=1)
        inputs = {
            "pixel_values": lightness,
            "source_colors": colors,
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

    def create_optimizer(self, *args, **kwargs) -> torch.optim.Optimizer:
        """As the parent class, for the colour readout too."""
        optimizer = super().create_optimizer(*args, **kwargs)
        optimizer.add_param_group({"params": list(self.color_readout.parameters())})
        return optimizer

    def _keep_color_features(self, module, inputs, features):
        self._color_features = features

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
        torch.save(self.color_readout.state_dict(), Path(output_dir) / _READOUT_FILE)

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self._load_average(checkpoint)
            state = torch.load(Path(checkpoint) / _READOUT_FILE, weights_only=True)
            self.color_readout.load_state_dict(state)

    def _load_average(self, checkpoint):
        self.average.load_state_dict(torch.load(Path(checkpoint) / _EMA_FILE, weights_only=True))
