"""Train SCSNet on colour photographs.

    python scripts/train.py --data photos/ --output run --preset small --steps 5000
    python scripts/train.py --data 'shards/train-*.parquet' --init-from run --output run2 ...

Gray, low-resolution and reference pictures are made on the fly. A run that was stopped goes on from
its last checkpoint when the same command is given again. OUTPUT itself ends up a loadable model.
"""

import argparse
from pathlib import Path

from transformers import TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from scsnet_hf import SCSNetConfig, SCSNetForImageToImage, SCSNetImageProcessor
from scsnet_hf.data import PairMaker, stream_photographs, training_stream
from scsnet_hf.training import SCSNetTrainer


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", required=True, help="folder, parquet files or Hub id")
    parser.add_argument("--output", required=True, help="folder of the run")
    parser.add_argument("--preset", default="small", help="network size: base, small or tiny")
    parser.add_argument("--init-from", help="start from this model (folder or Hub id)")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch-size", type=int, default=16, help="samples per device")
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--source-size", type=int, default=128, help="side of the source, pixels")
    parser.add_argument("--label-size", type=int, default=128, help="side of the loss's window")
    parser.add_argument("--scale-range", type=float, nargs=2, default=(1.0, 4.0))
    parser.add_argument("--view-range", type=float, nargs=2, default=(0.5, 1.0))
    parser.add_argument("--bf16", action="store_true", help="bfloat16 where autocast allows")
    parser.add_argument("--workers", type=int, default=1, help="loader processes")
    parser.add_argument("--save-steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu", action="store_true", help="use no accelerator")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    if args.init_from:
        model = SCSNetForImageToImage.from_pretrained(args.init_from, dtype="float32")
    else:
        model = SCSNetForImageToImage(SCSNetConfig.from_preset(args.preset))
    pairs = PairMaker(
        source_size=args.source_size,
        label_size=args.label_size,
        reference_size=args.source_size,
        scale_range=tuple(args.scale_range),
        view_range=tuple(args.view_range),
    )
    photographs = stream_photographs(args.data if len(args.data) > 1 else args.data[0])
    trainer = SCSNetTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=args.output,
            max_steps=args.steps,
            per_device_train_batch_size=args.batch_size,
            learning_rate=args.learning_rate,
            weight_decay=1e-4,
            lr_scheduler_type="cosine",
            warmup_steps=min(200, args.steps // 10),
            bf16=args.bf16,
            use_cpu=args.cpu,
            dataloader_num_workers=args.workers,
            remove_unused_columns=False,
            logging_steps=25,
            save_steps=args.save_steps,
            save_total_limit=2,
            seed=args.seed,
            report_to="none",
        ),
        train_dataset=training_stream(photographs, pairs, seed=args.seed),
        processing_class=SCSNetImageProcessor(),
    )
    checkpoint = get_last_checkpoint(args.output) if Path(args.output).is_dir() else None
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_average(args.output)


if __name__ == "__main__":
    main()
