"""A training run from arguments to a saved model, which scripts/train.py starts."""

import dataclasses
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import TrainingArguments

from ..data import PairMaker, SkippedImages, collate, stream_photographs, training_stream
from ..image_processing_scsnet import SCSNetImageProcessor
from .arguments import RunArguments
from .initialization import load_initial_model
from .monitoring import SampleGrids
from .trainer import SCSNetTrainer
from .vgg import VGG16Features

if TYPE_CHECKING:
    import datasets

_SHOWN = 6  # sample images


def train(run: RunArguments, args: TrainingArguments) -> dict[str, str]:
    """Train a network, or resume a run, and save its moving average to the output folder.

    Args:
        run: network, data and losses.
        args: arguments of the Trainer; the last complete checkpoint in `output_dir` is resumed.

    Returns:
        Image -> reason, for the images that could not be used.

    Raises:
        ValueError, OSError: if data, weights or the output folder cannot be used.
        FloatingPointError: if a loss term is not finite.
    """
    torch.manual_seed(args.seed)
    skipped = SkippedImages(Path(args.output_dir) / "skipped.jsonl")
    trainer = build_trainer(run, args, skipped)
    trainer.train(resume_from_checkpoint=True)
    if not trainer.is_world_process_zero():
        return {}
    trainer.weight_average.save_model(args.output_dir)
    return skipped.read()


def build_trainer(
    run: RunArguments, args: TrainingArguments, skipped: SkippedImages | None = None
) -> SCSNetTrainer:
    """Create the trainer of a run, with the grids of its sample images.

    Args:
        run: network, data and losses.
        args: arguments of the Trainer.
        skipped: log of the images that cannot be used.

    Raises:
        ValueError, OSError: if data or weights cannot be used.
    """
    preset = run.resolve_preset()
    weights = preset.loss_weights
    fields = run.config_fields()
    if preset.hints:
        fields["color_hints"] = True
    trainer = SCSNetTrainer(
        model=load_initial_model(
            preset.network,
            preset.init_from,
            run.texture_from,
            run.imagenet_weights,
            preset.branch,
            fields,
            preset.frozen_stages,
        ),
        args=args,
        train_dataset=_stream_samples(run, run.data, preset.pairs, args.seed, skipped),
        processing_class=SCSNetImageProcessor(),
        loss_weights=weights,
        vgg=VGG16Features.from_pretrained(run.vgg) if weights.perceptual else None,
        discriminator_learning_rate=preset.discriminator_learning_rate,
        vertical_flips=preset.vertical_flips,
        recolor_probability=preset.recolor_probability,
        hints=preset.hints,
        trunk_learning_rate_factor=preset.trunk_learning_rate_factor,
        ema_decay=preset.ema_decay,
        channels_last=run.channels_last,
    )
    samples = _take_shown_samples(run, preset.pairs, args.seed)
    trainer.add_callback(SampleGrids(trainer, samples, args.save_steps))
    return trainer


def _take_shown_samples(run: RunArguments, pairs: PairMaker, seed: int) -> dict[str, torch.Tensor]:
    """Take the samples of the grids: whole images at the largest magnification."""
    scale = pairs.scale_range[1]
    pairs = dataclasses.replace(
        pairs,
        label_size=round(pairs.source_size * scale),
        scale_range=(scale, scale),
        view_range=(1.0, 1.0),
        enlarge=True,
    )
    data = run.samples_from or run.data
    samples = list(islice(_stream_samples(run, data, pairs, seed), _SHOWN))
    if not samples:
        raise ValueError(f"{' '.join(data)}: the selection leaves no photograph")
    return collate(samples)


def _stream_samples(
    run: RunArguments,
    data: list[str],
    pairs: PairMaker,
    seed: int,
    skipped: SkippedImages | None = None,
) -> "datasets.IterableDataset":
    source = run.resolve_data(data)
    return training_stream(
        stream_photographs(source), pairs, seed, selection=source.selection, skipped=skipped
    )
