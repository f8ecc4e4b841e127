"""`SCSNetTrainer`: transformers' Trainer with both modes and all losses of Sec. 3.3."""

import shutil
from functools import partial
from pathlib import Path

import torch
from torch import nn
from transformers import Trainer, TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import TrainOutput

from ..data import collate, load_position, save_position, training_loader
from ..modeling_scsnet import SCSNetOutput
from .adversary import Adversary
from .checkpoints import (
    check_finite,
    check_same_network,
    checkpoint_folder,
    last_complete_checkpoint,
    mark_complete,
    remove_on_failure,
)
from .color_readout import ColorReadout
from .discriminator import PatchDiscriminator
from .hints import number_of_hints
from .initialization import trains_only_reference_branch
from .inputs import build_model_inputs
from .losses import LossWeights, PerceptualLoss, content_loss
from .monitoring import RunningMeans, mean_colorfulness
from .optimizers import create_adam, create_schedule, parameter_groups
from .vgg import VGG16Features
from .weight_average import WeightAverage


class SCSNetTrainer(Trainer):
    """Trains an `SCSNetForImageToImage` on a `data.training_stream` (Sec. 3.3 and 4.1).

    Even steps are automatic; odd steps have a flipped and elastically distorted copy of the truth
    as reference. If only the reference branch is trained, all steps have one. With `hints`, half of
    these steps have color hints instead. Each step trains the
    discriminator first, then the network, on the same results.

    A checkpoint is a loadable SCSNet with its image processor; `average/` in it is another one,
    with the exponential moving average of the weights, and the better of the two. A run that is
    killed and resumed ends with the same bits as an uninterrupted one, with any number of loader
    workers and processes, which must not change.

    With `loss_weights.color_readout` (not in the paper) the loss of a `ColorReadout` is added. If
    content, perceptual and adversarial loss all have weight 0, only the color branch is computed
    and trained.

    Args:
        loss_weights: weights of the loss terms (Eq. 4); a term of weight 0 is not computed.
        vgg: features of the perceptual loss, required if that has a weight.
        discriminator: for the adversarial loss; None for a new `PatchDiscriminator`.
        discriminator_learning_rate: None for that of the network.
        vertical_flips: flip half of the samples of referential steps vertically; not in the paper.
        recolor_probability: probability that labels and reference of a sample of a referential
            step get other colors, the same for both, so that only the reference shows them; not in
            the paper.
        hints: train with color hints too; not in the paper.
        trunk_learning_rate_factor: learning rate of the source encoder's pretrained trunk, as a
            share of that of all other layers. The trunk has no weight decay.
        ema_decay: decay of the moving average, warmed up; 0 (the paper) for none.
        channels_last: memory format of network and discriminator.
        **kwargs: arguments of `transformers.Trainer`: `model`, `args` with `max_steps`,
            `train_dataset` from `data.training_stream`, and the image processor, which is saved
            with every checkpoint, as `processing_class`.

    Raises:
        ValueError: if arguments contradict each other or `max_steps` is missing.
        FloatingPointError: while training, if a loss term is not finite; the message names it.

    Example:
        >>> trainer = SCSNetTrainer(
        ...     model=SCSNetForImageToImage(SCSNetConfig.from_preset("small")),
        ...     args=TrainingArguments("run", max_steps=1000, learning_rate=2e-4),
        ...     train_dataset=training_stream(stream_photographs("album/"), PairMaker()),
        ...     processing_class=SCSNetImageProcessor(),
        ...     vgg=VGG16Features.from_pretrained(),
        ... )
        >>> trainer.train(resume_from_checkpoint=True)
        >>> trainer.weight_average.save_model("run")
    """

    def __init__(
        self,
        *,
        loss_weights: LossWeights | None = None,
        vgg: VGG16Features | None = None,
        discriminator: nn.Module | None = None,
        discriminator_learning_rate: float | None = None,
        vertical_flips: bool = False,
        recolor_probability: float = 0.0,
        hints: bool = False,
        trunk_learning_rate_factor: float = 1.0,
        ema_decay: float = 0.999,
        channels_last: bool = False,
        **kwargs,
    ):
        kwargs.setdefault("data_collator", collate)
        super().__init__(**kwargs)
        self._adapt_arguments()
        self.loss_weights = loss_weights or LossWeights()
        if self.loss_weights.perceptual and vgg is None:
            raise ValueError("the perceptual loss needs vgg=VGG16Features.from_pretrained(...)")
        self.perceptual_loss = PerceptualLoss(vgg).to(self.args.device) if vgg else None
        self.discriminator = None
        if self.loss_weights.adversarial:
            self.discriminator = (discriminator or PatchDiscriminator()).to(self.args.device)
        self.vertical_flips = vertical_flips
        self.recolor_probability = recolor_probability
        self.hints = hints
        self.trunk_learning_rate_factor = trunk_learning_rate_factor
        self.discriminator_learning_rate = discriminator_learning_rate
        self.adversary: Adversary | None = None  # created with the optimizers
        self.color_readout = None
        if self.loss_weights.color_readout:
            self.color_readout = ColorReadout(
                self.model.config.hidden_sizes[0], self.loss_weights, self.accelerator
            )
        if channels_last:
            for network in filter(None, (self.model, self.discriminator)):
                network.to(memory_format=torch.channels_last)
        self.weight_average = WeightAverage(self.model, ema_decay, self.processing_class)
        for callback in filter(None, (self.weight_average, self.color_readout)):
            self.add_callback(callback)
        self.means = RunningMeans()
        self._resumed_from: Path | None = None

    def _adapt_arguments(self) -> None:
        if self.args.max_steps <= 0:
            raise ValueError("max_steps must be given: the stream of samples never ends")
        if self.args.save_total_limit == 1:
            raise ValueError(
                "save_total_limit must be at least 2: a checkpoint has to stay until the next one "
                "is complete"
            )
        # One process trains on one device; several are for torchrun.
        self.args._n_gpu = min(1, self.args.n_gpu)
        self.args.remove_unused_columns = False
        self.args.ignore_data_skip = True  # the loader's position is part of the checkpoint
        self.args.logging_nan_inf_filter = False
        # Automatic steps leave the reference branch without gradients.
        self.args.ddp_find_unused_parameters = True
        if self.args.torch_compile:
            # Where the compiler changes memory layouts, it expects one of the gradient of border
            # padding that this does not have (PyTorch 2.13).
            import torch._inductor.config

            torch._inductor.config.layout_optimization = False

    def training_step(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Train the discriminator on a batch, and compute the gradients of the network.

        Returns the weighted sum of Eq. 4, detached, divided by the number of accumulated batches.
        """
        model.train()
        inputs = self.build_model_inputs(self._prepare_inputs(inputs))
        colors = inputs.pop("source_colors")
        with self.compute_loss_context_manager():
            outputs = model(**inputs, color_only=not self.loss_weights.sees_result)
        result, truth = outputs.reconstruction, inputs["labels"]
        log = {}
        if self.discriminator is not None:
            log = self.adversary.step(truth, result, self.current_gradient_accumulation_steps)
        terms = self.loss_terms(outputs, truth, colors)
        check_finite({**terms, **log}, self.state.global_step + 1, self.args.output_dir)
        loss = sum(getattr(self.loss_weights, name) * term for name, term in terms.items())
        self.accelerator.backward(loss / self.current_gradient_accumulation_steps)
        log |= {name: term.detach() for name, term in terms.items()}
        if result is not None:
            log |= {
                "colorfulness": mean_colorfulness(result),
                "colorfulness_truth": mean_colorfulness(truth),
            }
        self.means.add(log, samples=len(truth))
        return loss.detach() / self.current_gradient_accumulation_steps

    def loss_terms(
        self, outputs: SCSNetOutput, truth: torch.Tensor, colors: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Compute the unweighted terms of Eq. 4 that have a weight.

        Args:
            outputs: output of the network.
            truth: normalized Lab (B, 3, Ho, Wo).
            colors: normalized a and b of the source (B, 2, H, W).

        Returns:
            Name of the weight -> scalar, float32.
        """
        weights, result = self.loss_weights, outputs.reconstruction
        terms = {}
        if weights.content:
            terms["content"] = content_loss(result, truth, weights.channels, weights.vivid)
        if weights.perceptual:
            with self.compute_loss_context_manager():
                terms["perceptual"] = self.perceptual_loss(result, truth)
        if self.discriminator is not None:
            terms["adversarial"] = self.adversary.generator_loss(truth, result)
        if self.color_readout is not None:
            terms["color_readout"] = self.color_readout.loss(outputs.color_features, colors)
        return terms

    def build_model_inputs(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Convert a batch of uint8 samples for the model, in the mode of the current step."""
        step = self.state.global_step
        guided = trains_only_reference_branch(self.model) or (
            step % 2 == 1 and self.model.config.cross_attention != "none"
        )
        hinted = guided and self.hints and step // 2 % 2 == 1
        return build_model_inputs(
            batch,
            guided and not hinted,
            self.vertical_flips,
            self.recolor_probability,
            number_of_hints(step) if hinted else 0,
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log values; with a loss also the means of all terms since the last time."""
        if "loss" in logs:
            logs = {**logs, **self.means.take(self.accelerator)}
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: dict) -> int:
        """Return 0: operations are not counted."""
        return 0

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Create Adam for network and color readout."""
        if self.optimizer is None:
            rate = self.args.learning_rate
            readout = self.color_readout.prepare() if self.color_readout else []
            trunk_rate = self.trunk_learning_rate_factor * rate
            groups = parameter_groups(model or self.model, readout, trunk_rate)
            self.optimizer = create_adam(groups, self.args, rate)
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Create the schedules of network and discriminator, and the discriminator's optimizer."""
        if self.lr_scheduler is None:
            schedule = partial(create_schedule, args=self.args, steps=num_training_steps)
            self.lr_scheduler = schedule(optimizer or self.optimizer)
            self._created_lr_scheduler = True
            if self.discriminator is not None:
                rate = self.discriminator_learning_rate or self.args.learning_rate
                self.adversary = Adversary(
                    self.discriminator,
                    self.accelerator,
                    partial(create_adam, args=self.args, learning_rate=rate),
                    schedule,
                    self.args.max_grad_norm,
                )
        return self.lr_scheduler

    def get_train_dataloader(self) -> torch.utils.data.DataLoader:
        """Create the loader of this process, at the position of the checkpoint."""
        self._loader = training_loader(
            self.train_dataset,
            self.args.per_device_train_batch_size,
            workers=self.args.dataloader_num_workers,
            rank=self.args.process_index,
            world_size=self.args.world_size,
            pin_memory=self.args.dataloader_pin_memory and self.args.device.type == "cuda",
        )
        if self._resumed_from is not None:
            load_position(self._loader, self._resumed_from / self._loader_file)
        return self._loader

    @property
    def _loader_file(self) -> str:
        return f"loader-{self.args.process_index}.pt"

    def train(
        self, resume_from_checkpoint: str | Path | bool | None = None, **kwargs
    ) -> TrainOutput:
        """Train to `max_steps`.

        Args:
            resume_from_checkpoint: a checkpoint; True for the last complete one of `output_dir`,
                or to start a new run if there is none. A finished run is loaded and not changed.
            **kwargs: arguments of `transformers.Trainer.train`.

        Returns:
            The number of steps, mean loss and metrics.

        Raises:
            ValueError: if the checkpoint belongs to another network, other losses or another number
                of processes or loader workers, or if there are no samples.
        """
        if resume_from_checkpoint is True:
            resume_from_checkpoint = last_complete_checkpoint(self.args.output_dir)
        if not resume_from_checkpoint:
            return self._train_to_the_end(None, **kwargs)
        folder = self._resumed_from = Path(resume_from_checkpoint)
        self._check_resumable(folder)
        state = TrainerState.load_from_json(str(folder / TRAINER_STATE_NAME))
        if state.global_step >= self.args.max_steps:
            self.state = state
            self._load_from_checkpoint(str(folder))
            self.weight_average.load(folder, state.global_step)
            return TrainOutput(state.global_step, 0.0, {})
        return self._train_to_the_end(str(folder), **kwargs)

    def _train_to_the_end(self, checkpoint: str | None, **kwargs) -> TrainOutput:
        output = super().train(resume_from_checkpoint=checkpoint, **kwargs)
        if self.state.global_step == 0:
            raise ValueError("the stream has no samples: its selection leaves no photograph")
        return output

    def _check_resumable(self, folder: Path) -> None:
        check_same_network(folder, self.model.config)
        processes = len(list(folder.glob("loader-*.pt")))
        if processes != self.args.world_size:
            raise ValueError(
                f"{folder} was written by {processes} processes, this run has "
                f"{self.args.world_size}: resume with {processes}"
            )
        parts = ((self.color_readout, ColorReadout), (self.discriminator, Adversary))
        if any((part is not None) != kind.is_saved(folder) for part, kind in parts):
            raise ValueError(f"{folder} was trained with other loss terms: use the same ones")

    def _save_checkpoint(self, model: nn.Module, trial: object) -> None:
        folder = checkpoint_folder(self._get_output_dir(trial=trial), self.state.global_step)
        if not all(parameter.isfinite().all() for parameter in self.model.parameters()):
            raise FloatingPointError(
                f"step {self.state.global_step}: the weights are not finite and are not saved; "
                f"the last good checkpoint is {last_complete_checkpoint(folder.parent)}"
            )
        with remove_on_failure(folder, is_main=self.args.should_save):
            if self.args.should_save:
                shutil.rmtree(folder, ignore_errors=True)  # remains of an interrupted save
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(model, trial)
            save_position(self._loader, folder / self._loader_file)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                mark_complete(folder)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if not self.args.should_save:
            return
        for part in filter(None, (self.weight_average, self.adversary, self.color_readout)):
            part.save(output_dir)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.weight_average.load(checkpoint, self.state.global_step)
            for part in filter(None, (self.adversary, self.color_readout)):
                part.load(checkpoint)
