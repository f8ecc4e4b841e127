"""The paper's ablations at a budget of choice: Table 4 (loss terms) and Table 5 (components)."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import torch
from transformers import TrainingArguments

from scsnet_hf.configuration_scsnet import SCSNetConfig
from scsnet_hf.data import (
    PairMaker,
    resolve_source,
    stream_photographs,
    training_stream,
)
from scsnet_hf.data.files import SourcePath
from scsnet_hf.image_processing_scsnet import SCSNetImageProcessor
from scsnet_hf.modeling_scsnet import SCSNetForImageToImage
from scsnet_hf.training.losses import LOSS_PRESETS
from scsnet_hf.training.trainer import SCSNetTrainer
from scsnet_hf.training.vgg import VGG16Features


@dataclass(frozen=True)
class Variant:
    """One row of a table.

    Args:
        losses: name of `LOSS_PRESETS`.
        cross_attention: of `SCSNetConfig`. Without one there is no referential mode: what the
            paper's baseline does with the reference is not told.
        upsampler: of `SCSNetConfig`.
    """

    losses: str = "full"
    cross_attention: str = "pyramid_valve"
    upsampler: str = "cpm"

    @property
    def key(self) -> str:
        """A name that is a folder's too, the same for the same variant in both tables."""
        return f"{self.losses}-{self.cross_attention}-{self.upsampler}"


TABLES: dict[str, dict[str, Variant]] = {
    "losses": {
        "L_C": Variant("content"),
        "L_C + L_P": Variant("content+perceptual"),
        "L_C + L_Adv": Variant("content+adversarial"),
        "L_C + L_P + L_Adv": Variant(),
    },
    "components": {
        "baseline": Variant(cross_attention="none", upsampler="pixelshuffle"),
        "BCAttn": Variant(cross_attention="basic", upsampler="pixelshuffle"),
        "PVCAttn": Variant(upsampler="pixelshuffle"),
        "CPM": Variant(cross_attention="none"),
        "PVCAttn + CPM": Variant(),
    },
}


@dataclass(frozen=True)
class Budget:
    """What every variant gets alike.

    Args:
        network: preset of `SCSNetConfig`.
        source_size: side of source and reference in pixels; the magnification is 4.
        label_size: side of the window that the losses see.
        steps: of training.
        batch_size: samples of a step.
        learning_rate: of Adam, with a cosine schedule.
        color_readout: weight of the colors read from F_color, see `SCSNetTrainer`; not in the
            paper, 0 without.
        recolored: share of references with other colors, truth alike; not in the paper.
    """

    network: str = "base"
    source_size: int = 128
    label_size: int = 512
    steps: int = 100_000
    batch_size: int = 4
    learning_rate: float = 1e-4
    color_readout: float = 0.0
    recolored: float = 0.0


def train_variant(
    variant: Variant,
    budget: Budget,
    data: SourcePath,
    folder: Path,
    vgg: VGG16Features,
    seed: int = 0,
    workers: int = 0,
) -> SCSNetForImageToImage:
    """Train one variant, or go on from its last checkpoint in `folder`.

    Args:
        variant: what to train.
        budget: with what.
        data: photographs, see `data.stream_photographs`.
        folder: of the run.
        vgg: for the perceptual loss.
        seed: of weights, samples and distortions.
        workers: loader processes.

    Returns:
        The network with averaged weights, in eval mode.
    """
    torch.manual_seed(seed)
    config = SCSNetConfig.from_preset(
        budget.network, cross_attention=variant.cross_attention, upsampler=variant.upsampler
    )
    weights = dataclasses.replace(LOSS_PRESETS[variant.losses], color_readout=budget.color_readout)
    trainer = SCSNetTrainer(
        model=SCSNetForImageToImage(config),
        args=_training_arguments(budget, folder, seed, workers),
        train_dataset=_samples(budget, data, seed),
        processing_class=SCSNetImageProcessor(),
        loss_weights=weights,
        vgg=vgg if weights.perceptual else None,
        recolor_probability=budget.recolored,
        ema_decay=0.99,
    )
    trainer.train(resume_from_checkpoint=True)
    trainer.weight_average.save_model(folder)
    return SCSNetForImageToImage.from_pretrained(folder, dtype="float32").eval()


def _samples(budget: Budget, data: SourcePath, seed: int):
    side = budget.source_size
    pairs = PairMaker(
        side, budget.label_size, side, scale_range=(4.0, 4.0), view_range=(1.0, 1.0), enlarge=True
    )
    source = resolve_source(data)
    stream = stream_photographs(source)
    return training_stream(stream, pairs, seed=seed, selection=source.selection)


def _training_arguments(budget: Budget, folder: Path, seed: int, workers: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=budget.steps,
        per_device_train_batch_size=budget.batch_size,
        learning_rate=budget.learning_rate,
        lr_scheduler_type="cosine",
        weight_decay=1e-4,
        max_grad_norm=1.0,
        dataloader_num_workers=workers,
        save_steps=max(1, budget.steps // 4),
        save_total_limit=2,
        logging_steps=25,
        seed=seed,
        report_to="none",
    )


def ablation_table(
    variants: dict[str, Variant], rows: dict[str, Sequence[dict[str, float]]]
) -> str:
    """A Markdown table: mean and, of several seeds, standard deviation of every number.

    Args:
        variants: of a table, by the names of its rows.
        rows: by `Variant.key`, a row of numbers for each seed.
    """
    columns = list(rows[next(iter(variants.values())).key][0])
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for name, variant in variants.items():
        cells = (_mean_and_deviation([row[key] for row in rows[variant.key]]) for key in columns)
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines)


def _mean_and_deviation(values: list[float]) -> str:
    digits = 3 if abs(mean(values)) < 10 else 2
    deviation = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{deviation}"
