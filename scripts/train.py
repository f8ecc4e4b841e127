"""Train SCSNet on color photographs.

    python scripts/train.py --data photos/ --output run
    python scripts/train.py --preset finetune --data album/ --output mine
    torchrun --nproc_per_node 8 scripts/train.py --preset paper --data imagenet-c --output run

Gray, low-resolution and reference images are made on the fly. A killed run resumes from its
last complete checkpoint when the same command is given again, and ends with the same bits. OUTPUT
itself becomes a loadable model, as is OUTPUT/checkpoint-N/average meanwhile; OUTPUT/samples shows
images, and `tensorboard --logdir OUTPUT` all loss terms. All options of transformers'
TrainingArguments can be given; learning rate, batch size, gradient clipping and schedule are
otherwise those of the preset.
"""

import sys

from scsnet_hf.io.extras import needs_extra

with needs_extra("train", "train.py: training runs", SystemExit):
    from scsnet_hf.data import damaged_shards
    from scsnet_hf.training.arguments import parse_arguments
    from scsnet_hf.training.checkpoints import CheckpointError
    from scsnet_hf.training.run import train


def main() -> None:
    run, args = parse_arguments(description=__doc__)
    try:
        skipped = train(run, args)
    except (ValueError, OSError, FloatingPointError) as error:
        damaged = damaged_shards(run.resolve_data()) if is_reading_error(error) else []
        names = "".join(f"; {path} is damaged: fetch or write it again" for path in damaged)
        sys.exit(f"train.py: {error}{names}")
    if skipped:
        print(f"{len(skipped)} images could not be used:")
        print(*(f"  {image}: {reason}" for image, reason in skipped.items()), sep="\n")
    if args.process_index == 0:
        print(f"{args.output_dir} holds the model: scsnet colorize PHOTO --model {args.output_dir}")


def is_reading_error(error: Exception) -> bool:
    """Return whether reading a parquet file failed: Arrow's errors name no file."""
    return (
        isinstance(error, OSError)
        and not isinstance(error, CheckpointError)
        and error.filename is None
    )


if __name__ == "__main__":
    with needs_extra("train", "train.py: training runs", SystemExit):
        main()
