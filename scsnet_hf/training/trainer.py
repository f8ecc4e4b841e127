"""`SCSNetTrainer`: transformers' Trainer for the two modes and all losses of Sec. 3.3."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import TrainOutput
from transformers.utils import SAFE_WEIGHTS_NAME

from ..color import denormalize_lab, lab_to_srgb
from ..data import (
    collate,
    load_position,
    normalized_lab_of,
    save_position,
    training_loader,
)
from ..data.colorfulness import colorfulness
from ..modeling_scsnet import SCSNetOutput
from .adversary import Adversary
from .checkpoints import (
    checkpoint_folder,
    differing_fields,
    last_complete_checkpoint,
    mark_complete,
    removed_on_failure,
)
from .discriminator import PatchDiscriminator
from .initialization import learns_from_references_alone
from .inputs import network_inputs
from .losses import LossWeights, PerceptualLoss, content_loss
from .monitoring import RunningMeans
from .vgg import VGG16Features

_AVERAGE_FOLDER = "average"
_TRUNK = "source_encoder.trunk."  # in the names of its parameters
_READOUT_FILE = "color_readout.pt"
_READOUT_RIDGE = 1e-4  # of the mean square of a feature


class _AfterStep(TrainerCallback):
    """What follows an optimizer step beside the Trainer's own work, which knows the model only."""

    def __init__(self, trainer: "SCSNetTrainer"):
        self.trainer = trainer

    def on_step_end(self, args, state, control, **kwargs):
        self.trainer.average.step(self.trainer.model.parameters())
        if self.trainer.color_readout is not None:
            self.trainer.color_readout.zero_grad()


class SCSNetTrainer(Trainer):
    """Trains an `SCSNetForImageToImage` on a `data.training_stream` (Sec. 3.3 and 4.1).

    Even steps are automatic, odd steps have a flipped and elastically distorted copy of the truth
    as reference; where only the reference branch learns, all have one. Every step trains the
    discriminator first, then the network, on the same results.

    A checkpoint is a loadable SCSNet with its image processor; `average/` in it is another, with
    the exponential moving average of the weights, which is the one to use. A run that was killed
    and is resumed goes on to the same bits, with any number of loader workers and processes, which
    have to stay the same.

    With `loss_weights.color_readout` (not in the paper) a linear layer reads a and b of the whole
    source from F_color, and its l1 error is added. The layer is thrown away afterwards. Without
    this short way the color branch long knows one direction of color only, the tint of the
    average photograph. Where content, perceptual and adversarial loss all have weight 0, only the
    color branch runs and learns.

    Args:
        model: the network.
        args: `transformers.TrainingArguments`; `max_steps` is needed.
        train_dataset: from `data.training_stream`.
        processing_class: image processor, saved with every checkpoint.
        loss_weights: weights of the loss terms (Eq. 4); a term of weight 0 is not computed.
        vgg: features for the perceptual loss, needed if that has a weight.
        discriminator: for the adversarial loss; a PatchDiscriminator if None.
        discriminator_learning_rate: that of the network if None.
        vertical_flips: turn half of the samples of referential steps upside down; not in the
            paper.
        recolored: share of the samples of referential steps whose truth and reference get other
            colors, the same for both, so that nothing but the reference tells them; not in the
            paper.
        trunk_learning_rate_factor: learning rate of the source encoder's pretrained trunk, as a
            share of that of the rest. It is left without weight decay.
        ema_decay: decay of the moving average, warmed up.
        channels_last: memory format of network and discriminator.
        **kwargs: as for `transformers.Trainer`.

    Raises:
        ValueError: for arguments that do not go together.
        FloatingPointError: while training, if a loss term is not finite; the term is named.
    """

    def __init__(
        self,
        *,
        loss_weights: LossWeights | None = None,
        vgg: VGG16Features | None = None,
        discriminator: nn.Module | None = None,
        discriminator_learning_rate: float | None = None,
        vertical_flips: bool = False,
        recolored: float = 0.0,
        trunk_learning_rate_factor: float = 1.0,
        ema_decay: float = 0.999,
        channels_last: bool = False,
        **kwargs,
    ):
        kwargs.setdefault("data_collator", collate)
        super().__init__(**kwargs)
        self._check_arguments()
        self.loss_weights = loss_weights or LossWeights()
        if self.loss_weights.perceptual and vgg is None:
            raise ValueError("the perceptual loss needs vgg=VGG16Features.from_pretrained(...)")
        self.perceptual_loss = PerceptualLoss(vgg).to(self.args.device) if vgg else None
        self.discriminator = None
        if self.loss_weights.adversarial:
            self.discriminator = (discriminator or PatchDiscriminator()).to(self.args.device)
        self.vertical_flips = vertical_flips
        self.recolored = recolored
        self.trunk_learning_rate_factor = trunk_learning_rate_factor
        self.discriminator_learning_rate = discriminator_learning_rate
        self.adversary: Adversary | None = None  # made with the optimizers
        self.color_readout = None
        if self.loss_weights.color_readout:
            self.color_readout = nn.Conv2d(self.model.config.hidden_sizes[0], 2, 1)
            nn.init.zeros_(self.color_readout.weight)  # fitted to the first batch
            self.color_readout.to(self.args.device)
        if channels_last:
            for network in filter(None, (self.model, self.discriminator)):
                network.to(memory_format=torch.channels_last)
        self.average = EMAModel(
            self.model.parameters(), decay=ema_decay, use_ema_warmup=True, power=3 / 4
        )
        self.means = RunningMeans()
        self._resumed_from: Path | None = None
        self.add_callback(_AfterStep(self))

    def _check_arguments(self) -> None:
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

    # A step

    def training_step(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Discriminator, then network; returns the weighted sum of Eq. 4, detached."""
        model.train()
        inputs = self.network_inputs(self._prepare_inputs(inputs))
        colors = inputs.pop("source_colors")
        with self.compute_loss_context_manager():
            outputs = model(**inputs, color_only=not self.loss_weights.sees_result)
        result, truth = outputs.reconstruction, inputs["labels"]
        log = {}
        if self.discriminator is not None:
            log = self.adversary.step(truth, result, self.current_gradient_accumulation_steps)
        terms = self.loss_terms(outputs, truth, colors)
        self._check_finite({**terms, **log})
        loss = sum(weight * terms[name] for name, weight in self._term_weights(terms).items())
        self.accelerator.backward(loss / self.current_gradient_accumulation_steps)
        log |= {name: term.detach() for name, term in terms.items()}
        if result is not None:
            log |= {
                "colorfulness": _colorfulness(result),
                "colorfulness_truth": _colorfulness(truth),
            }
        self.means.add(log, samples=len(truth))
        return loss.detach() / self.current_gradient_accumulation_steps

    def loss_terms(
        self, outputs: SCSNetOutput, truth: torch.Tensor, colors: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The terms of Eq. 4 that have a weight, before weighting.

        Args:
            outputs: of the network.
            truth: (B, 3, Ho, Wo) normalized Lab.
            colors: (B, 2, H, W), a and b of the source.
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
            terms["color_readout"] = self._color_readout_loss(outputs.color_features, colors)
        return terms

    def _term_weights(self, terms: dict[str, torch.Tensor]) -> dict[str, float]:
        return {name: getattr(self.loss_weights, name) for name in terms}

    def _color_readout_loss(self, features: torch.Tensor, colors: torch.Tensor) -> torch.Tensor:
        features = features.float()
        if colors.shape[-2:] != features.shape[-2:]:
            # Beyond the model's color_size the color branch works on a reduced image.
            colors = nn.functional.interpolate(
                colors, features.shape[-2:], mode="bilinear", antialias=True
            )
        if not self.color_readout.weight.any():
            self._fit_readout(features.detach(), colors)
        weights = self.loss_weights
        return content_loss(
            self._wrapped_readout(features), colors, weights.channels[1:], weights.vivid
        )

    @torch.no_grad()
    def _fit_readout(self, features: torch.Tensor, colors: torch.Tensor) -> None:
        """Least squares over the first batch of all processes.

        So a network that knows colors keeps them where its pixel mapping looks for them. One that
        knows none starts near zero; from large random weights, it long finds no second direction
        of color.
        """
        inputs, targets = (one.double().transpose(0, 1).flatten(1) for one in (features, colors))
        inputs = torch.cat((inputs, torch.ones_like(inputs[:1])))  # (C + 1, N), the last for a bias
        moments = torch.cat((inputs, targets)) @ inputs.T / inputs.shape[1]
        moments = self.accelerator.reduce(moments, reduction="mean")
        square, mixed = moments.split((len(inputs), len(targets)))
        ridge = _READOUT_RIDGE * square.diagonal().mean() * torch.eye(len(square)).to(square)
        solution = torch.linalg.solve(square + ridge, mixed.T).T  # (2, C + 1)
        self.color_readout.weight.copy_(solution[:, :-1, None, None])
        self.color_readout.bias.copy_(solution[:, -1])

    def _check_finite(self, terms: dict[str, torch.Tensor]) -> None:
        values = torch.stack([term.detach().float() for term in terms.values()])
        finite = values.isfinite().tolist()
        if all(finite):
            return
        broken = [name for name, good in zip(terms, finite, strict=True) if not good]
        last = last_complete_checkpoint(self.args.output_dir)
        raise FloatingPointError(
            f"step {self.state.global_step + 1}: {', '.join(broken)} not finite. The last good "
            f"checkpoint is {last}; go on from there with a smaller learning rate, or without fp16"
        )

    def compute_loss(
        self, model: nn.Module, inputs: dict, return_outputs: bool = False, **kwargs
    ) -> torch.Tensor | tuple[torch.Tensor, SCSNetOutput]:
        """Content loss (Eq. 5) of a batch, for evaluation."""
        inputs = self.network_inputs(inputs)
        inputs.pop("source_colors")
        outputs = model(**inputs)
        loss = content_loss(outputs.reconstruction, inputs["labels"])
        return (loss, outputs) if return_outputs else loss

    def network_inputs(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """uint8 samples to the arguments of the model's forward; the mode follows the step."""
        referential = learns_from_references_alone(self.model) or (
            self.state.global_step % 2 == 1 and self.model.config.cross_attention != "none"
        )
        return network_inputs(batch, referential, self.vertical_flips, self.recolored)

    @torch.no_grad()
    def restore(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What the averaged network makes of samples, column by column, normalized Lab."""
        batch = self._prepare_inputs(batch)
        source = normalized_lab_of(batch["source"])
        reference = normalized_lab_of(batch["reference"])
        inputs = {
            "pixel_values": source[:, :1],
            "output_size": batch["output_size"],
            "output_start": batch["output_start"],
            "labels": normalized_lab_of(batch["labels"]),
        }
        was_training = self.model.training
        with self.averaged():
            self.model.eval()
            automatic = self.model(**inputs).reconstruction
            columns = {"input": torch.cat((source[:, :1], 0 * source[:, 1:]), dim=1)}
            columns["automatic"] = automatic
            if self.model.config.cross_attention != "none":
                columns["reference"] = reference
                columns["referential"] = self.model(
                    **inputs, reference_pixel_values=reference
                ).reconstruction
        self.model.train(was_training)
        return {**columns, "truth": inputs["labels"]}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As the parent class, with the means of all terms where it logs a loss."""
        if "loss" in logs:
            logs = {**logs, **self.means.take(self.accelerator)}
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: dict) -> int:
        """Not counted."""
        return 0

    # Optimizers, data

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Adam with the paper's settings, for network and color readout."""
        if self.optimizer is None:
            named = {
                name: value
                for name, value in (self.model if model is None else model).named_parameters()
                if value.requires_grad
            }
            trunk = [value for name, value in named.items() if _TRUNK in name]
            rest = [value for name, value in named.items() if _TRUNK not in name]
            if self.color_readout is not None:
                rest += self.color_readout.parameters()
                self._wrapped_readout = self.accelerator.prepare(self.color_readout)
            rate = self.args.learning_rate
            self.optimizer = self._adam(rest, rate)
            if trunk:
                factor = self.trunk_learning_rate_factor
                self.optimizer.add_param_group(
                    {"params": trunk, "lr": factor * rate, "weight_decay": 0.0}
                )
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Of network and discriminator alike; also makes the discriminator's optimizer."""
        if self.lr_scheduler is None:

            def make_scheduler(optimizer):
                return get_scheduler(
                    self.args.lr_scheduler_type.value,
                    optimizer,
                    num_warmup_steps=self.args.get_warmup_steps(num_training_steps),
                    num_training_steps=num_training_steps,
                )

            self.lr_scheduler = make_scheduler(optimizer or self.optimizer)
            self._created_lr_scheduler = True
            if self.discriminator is not None:
                rate = self.discriminator_learning_rate or self.args.learning_rate
                self.adversary = Adversary(
                    self.discriminator,
                    self.accelerator,
                    lambda parameters: self._adam(parameters, rate),
                    make_scheduler,
                    self.args.max_grad_norm,
                )
        return self.lr_scheduler

    def _adam(self, parameters: list[nn.Parameter], learning_rate: float) -> torch.optim.Adam:
        return torch.optim.Adam(
            parameters,
            lr=learning_rate,
            betas=(self.args.adam_beta1, self.args.adam_beta2),
            weight_decay=self.args.weight_decay,
        )

    def get_train_dataloader(self) -> torch.utils.data.DataLoader:
        """Loader of this process's part of the stream, at the position of the checkpoint."""
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

    # Checkpoints

    def train(
        self, resume_from_checkpoint: str | Path | bool | None = None, **kwargs
    ) -> TrainOutput:
        """Train to `max_steps`.

        Args:
            resume_from_checkpoint: a checkpoint; True for the last complete one of `output_dir`,
                or the beginning where there is none. A finished run is loaded and left as it is.
            **kwargs: as for the parent class.

        Raises:
            ValueError: if the checkpoint is of another network, other losses or another number of
                processes or loader workers, or if there are no samples.
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
            self._load_average(folder, state.global_step)
            return TrainOutput(state.global_step, 0.0, {})
        return self._train_to_the_end(str(folder), **kwargs)

    def _train_to_the_end(self, checkpoint: str | None, **kwargs) -> TrainOutput:
        output = super().train(resume_from_checkpoint=checkpoint, **kwargs)
        if self.state.global_step == 0:
            raise ValueError("the stream has no samples: its selection leaves no photograph")
        return output

    def _check_resumable(self, folder: Path) -> None:
        other = differing_fields(folder, self.model.config)
        if other:
            raise ValueError(
                f"{folder} is of another network, it differs in {', '.join(other)}: give the same "
                "preset again, or another output folder"
            )
        processes = len(list(folder.glob("loader-*.pt")))
        if processes != self.args.world_size:
            raise ValueError(
                f"{folder} was written by {processes} processes, this run has "
                f"{self.args.world_size}: resume with {processes}"
            )
        if (self.color_readout is not None) != (folder / _READOUT_FILE).exists() or (
            self.discriminator is not None
        ) != Adversary.is_saved(folder):
            raise ValueError(f"{folder} was trained with other loss terms: give the same again")

    def _save_checkpoint(self, model: nn.Module, trial: object) -> None:
        folder = checkpoint_folder(self._get_output_dir(trial=trial), self.state.global_step)
        if not all(parameter.isfinite().all() for parameter in self.model.parameters()):
            raise FloatingPointError(
                f"step {self.state.global_step}: the weights are not finite and are not saved; "
                f"the last good checkpoint is {last_complete_checkpoint(folder.parent)}"
            )
        with removed_on_failure(folder, is_main=self.args.should_save):
            if self.args.should_save:
                shutil.rmtree(folder, ignore_errors=True)  # remains of a save that was cut off
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
        self.save_average(Path(output_dir) / _AVERAGE_FOLDER)
        if self.adversary is not None:
            self.adversary.save(output_dir)
        if self.color_readout is not None:
            torch.save(self.color_readout.state_dict(), Path(output_dir) / _READOUT_FILE)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        self._load_average(checkpoint, self.state.global_step)
        if self.adversary is not None:
            self.adversary.load(checkpoint)
        if self.color_readout is not None:
            state = torch.load(Path(checkpoint) / _READOUT_FILE, weights_only=True)
            self.color_readout.load_state_dict(state)

    def _load_average(self, checkpoint: str | Path, step: int) -> None:
        weights = load_file(Path(checkpoint) / _AVERAGE_FOLDER / SAFE_WEIGHTS_NAME)
        names = [name for name, _ in self.model.named_parameters()]
        self.average.shadow_params = [weights[name].to(self.args.device) for name in names]
        self.average.optimization_step = step

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within, the model holds the moving average of its weights."""
        parameters = list(self.model.parameters())
        self.average.store(parameters)
        self.average.copy_to(parameters)
        try:
            yield
        finally:
            self.average.restore(parameters)

    def save_average(self, folder: str | Path) -> None:
        """Save the moving average as a loadable model, with the image processor if there is one."""
        with self.averaged():
            self.model.save_pretrained(folder)
        if self.processing_class is not None:
            self.processing_class.save_pretrained(folder)


def _colorfulness(normalized: torch.Tensor) -> torch.Tensor:
    """Mean over normalized Lab images (B, 3, H, W)."""
    return colorfulness(255 * lab_to_srgb(denormalize_lab(normalized.detach()))).mean()
