"""How many images a second training takes in, if it never has to wait for them."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback, TrainingArguments

from scsnet_hf.configuration_scsnet import SCSNetConfig
from scsnet_hf.modeling_scsnet import SCSNetForImageToImage
from scsnet_hf.training import PRESETS, LossWeights, SCSNetTrainer
from scsnet_hf.training.vgg import VGG16Features

from .rounds import Measure

PRESET = PRESETS["continuous"]
WARM_UP_STEPS = 2  # one of each mode


@dataclass(frozen=True)
class StepSetting:
    """How training is done, beside the preset.

    Args:
        network: preset of `SCSNetConfig`.
        batch_size: images of a step.
        vgg: safetensors file for the perceptual loss; None for random weights, as slow.
        bf16: bfloat16 where autocast allows.
        cpu: use no accelerator.
    """

    network: str
    batch_size: int
    vgg: str | None
    bf16: bool
    cpu: bool


class StepClock(TrainerCallback):
    """Notes when each step ends."""

    def __init__(self):
        self.ends: list[float] = []

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
        self.ends.append(time.perf_counter())


class TrainerOfBatches(SCSNetTrainer):
    """Trains on a list of batches, which are there without waiting."""

    def get_train_dataloader(self) -> DataLoader:
        return DataLoader(self.train_dataset, batch_size=None)


def step_measures(
    setting: StepSetting, batches: Sequence[dict[str, torch.Tensor]]
) -> list[Measure]:
    """A measure for each set of loss terms, of all batches but the first `WARM_UP_STEPS`."""
    everything = PRESET.loss_weights
    content = LossWeights(everything.content, 0.0, 0.0, channels=everything.channels)
    vgg = VGG16Features.from_pretrained(setting.vgg) if setting.vgg else VGG16Features()
    return [
        partial(step_speed, name, weights, vgg if weights.perceptual else None, batches, setting)
        for name, weights in (("content", content), ("all", everything))
    ]


def step_speed(
    name: str,
    weights: LossWeights,
    vgg: VGG16Features | None,
    batches: Sequence[dict[str, torch.Tensor]],
    setting: StepSetting,
) -> dict[str, float]:
    """Images/s of training: discriminator, network, optimizers, moving average."""
    clock = StepClock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = TrainerOfBatches(
            model=SCSNetForImageToImage(SCSNetConfig.from_preset(setting.network)),
            args=TrainingArguments(
                output_dir=folder,
                max_steps=len(batches),
                per_device_train_batch_size=setting.batch_size,
                learning_rate=PRESET.learning_rate,
                bf16=setting.bf16,
                use_cpu=setting.cpu,
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
    return {name: (len(batches) - WARM_UP_STEPS) * setting.batch_size / seconds}
