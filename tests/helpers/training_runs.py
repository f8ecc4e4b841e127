"""Small training runs in processes of their own, which can be killed.

The processes are forked from a server that has imported everything already, so each starts in
a fraction of a second.
"""

import gc
import multiprocessing
import os
import signal
import socket
from pathlib import Path

import torch
from transformers import TrainerCallback, TrainingArguments

from helpers.forkserver import forkserver
from scsnet_hf import SCSNetConfig, SCSNetForImageToImage, SCSNetImageProcessor
from scsnet_hf.data import (
    PairMaker,
    SkippedImages,
    stream_photographs,
    training_stream,
)
from scsnet_hf.training import SCSNetTrainer
from scsnet_hf.training.discriminator import PatchDiscriminator
from scsnet_hf.training.losses import LossWeights
from scsnet_hf.training.vgg import VGG16Features

PAIRS = PairMaker(source_size=16, label_size=16, reference_size=16, scale_range=(1.0, 2.0))
ALL_TERMS = LossWeights(color_readout=10.0, channels=(1.0, 2.0, 1.5))


def make_trainer(
    folder: str | Path,
    data: str | Path,
    steps: int,
    *,
    workers: int = 0,
    vgg: str | Path | None = None,
    weights: LossWeights | None = None,
    config: dict | None = None,
    trainer: dict | None = None,
    **arguments,
) -> SCSNetTrainer:
    """A trainer of the tiny network that saves every third step; `vgg` turns on all terms."""
    torch.manual_seed(0)
    arguments = {
        "per_device_train_batch_size": 2,
        "learning_rate": 3e-3,
        "lr_scheduler_type": "cosine",
        "save_steps": 3,
        "save_total_limit": 3,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 1,
        **arguments,
    }
    if weights is None:
        weights = ALL_TERMS if vgg else LossWeights(perceptual=0.0, color_readout=10.0)
    skipped = SkippedImages(Path(folder) / "skipped.jsonl")
    return SCSNetTrainer(
        model=SCSNetForImageToImage(SCSNetConfig.from_preset("tiny", **(config or {}))),
        args=TrainingArguments(
            output_dir=str(folder),
            max_steps=steps,
            use_cpu=True,
            dataloader_num_workers=workers,
            **arguments,
        ),
        train_dataset=training_stream(
            stream_photographs(str(data)), PAIRS, skipped=skipped, block_size=8
        ),
        processing_class=SCSNetImageProcessor(),
        loss_weights=weights,
        vgg=VGG16Features.from_pretrained(vgg) if vgg else None,
        discriminator=PatchDiscriminator(width=8) if weights.adversarial else None,
        **(trainer or {}),
    )


def _die() -> None:
    """Kill this process and its loader workers, as in a power cut."""
    os.killpg(0, signal.SIGKILL)


class Killer(TrainerCallback):
    """Ends its own process at an event of a step."""

    def __init__(self, step: int, event: str):
        self.step = step
        setattr(self, event, self._kill)

    def _kill(self, args, state, control, **kwargs):
        # global_step counts finished steps.
        if state.global_step >= self.step:
            _die()


def _kill_while_writing(trainer: SCSNetTrainer, after_step: int) -> None:
    """Let the process die while it writes a checkpoint, with one file truncated."""
    save_optimizer = trainer._save_optimizer_and_scheduler

    def save_and_die(folder):
        save_optimizer(folder)
        if trainer.state.global_step >= after_step:
            if trainer.args.should_save:
                file = Path(folder) / "optimizer.pt"
                os.truncate(file, file.stat().st_size // 2)
            _die()

    trainer._save_optimizer_and_scheduler = save_and_die


def _run(environment: dict[str, str], folder, data, steps, kill=None, **options) -> None:
    os.setsid()  # a process group of its own
    multiprocessing.set_start_method("fork", force=True)  # of loader workers
    os.environ.update(environment)
    torch.set_num_threads(1)
    trainer = make_trainer(folder, data, steps, **options)
    if kill is not None:
        step, event = kill
        if event == "writing":
            _kill_while_writing(trainer, step)
        else:
            trainer.add_callback(Killer(step, event))
    trainer.train(resume_from_checkpoint=True)
    # Before the process group: afterwards DistributedDataParallel may wait for it forever.
    del trainer
    gc.collect()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def train(folder, data, steps: int, processes: int = 1, **options) -> list[int]:
    """Run or resume a training in `processes` processes; return their exit codes, -9 if killed.

    With `kill=(step, event)` all of them die there.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = []
    for rank in range(processes):
        environment = {}
        if processes > 1:
            environment = {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(processes),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }
        process = forkserver("helpers.training_runs").Process(
            target=_run, args=(environment, folder, data, steps), kwargs=options
        )
        process.start()
        started.append(process)
    for process in started:
        process.join(timeout=120)
    codes = [process.exitcode for process in started]
    for process in started:
        process.kill()
    return codes
