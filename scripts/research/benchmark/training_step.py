"""How many images per second training consumes if it never waits for them."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback, TrainingArguments

from scsnet_hf.configuration_scsnet import SCSNetConfig
from scsnet_hf.modeling_scsnet import SCSNetForImageToImage
from scsnet_hf.training import PRESETS, LossWeights, SCSNetTrainer
from scsnet_hf.training.vgg import VGG16Features

WARM_UP_STEPS = 2  # one of each mode


@dataclass(frozen=True)
class StepSettings:
    """Settings of a training step.

    Args:
        preset: of `scsnet_hf.training`, which decides all others.
        network: preset of `SCSNetConfig`.
        batch_size: images of a step.
        vgg: safetensors file for the perceptual loss; None for random weights, as slow.
        bf16: bfloat16 where autocast allows.
        cpu: use no accelerator.
    """

    preset: str
    network: str
    batch_size: int
    vgg: str | None
    bf16: bool
    cpu: bool


class StepClock(TrainerCallback):
    """Records when each step ends."""

    def __init__(self):
        self.ends: list[float] = []

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
        self.ends.append(time.perf_counter())


class BatchTrainer(SCSNetTrainer):
    """Trains on a list of batches that are already in memory."""

    def get_train_dataloader(self) -> DataLoader:
        return DataLoader(self.train_dataset, batch_size=None)


def step_measurements(
    settings: StepSettings, batches: Sequence[dict[str, torch.Tensor]]
) -> list[Callable[[], dict[str, float]]]:
    """Return a function for each set of loss terms; all but `WARM_UP_STEPS` batches count."""
    full = PRESETS[settings.preset].loss_weights
    content = LossWeights(full.content, 0.0, 0.0, channels=full.channels)
    vgg = VGG16Features.from_pretrained(settings.vgg) if settings.vgg else VGG16Features()
    return [
        partial(_step_speed, name, weights, vgg if weights.perceptual else None, batches, settings)
        for name, weights in (("content", content), ("all", full))
    ]


def _step_speed(
    name: str,
    weights: LossWeights,
    vgg: VGG16Features | None,
    batches: Sequence[dict[str, torch.Tensor]],
    settings: StepSettings,
) -> dict[str, float]:
    """Images/s of training, with discriminator, optimizers and moving average."""
    clock = StepClock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = BatchTrainer(
            model=SCSNetForImageToImage(SCSNetConfig.from_preset(settings.network)),
            args=TrainingArguments(
                output_dir=folder,
                max_steps=len(batches),
                per_device_train_batch_size=settings.batch_size,
                learning_rate=PRESETS[settings.preset].learning_rate,
                bf16=settings.bf16,
                use_cpu=settings.cpu,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=batches,
            loss_weights=weights,
            vgg=vgg,
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    seconds = clock.ends[-1] - clock.ends[WARM_UP_STEPS - 1]
    return {name: (len(batches) - WARM_UP_STEPS) * settings.batch_size / seconds}
