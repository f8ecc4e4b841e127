"""Optimizer and schedule of the paper (Sec. 4.1), for network and discriminator."""

from collections.abc import Iterable

import torch
from diffusers.optimization import get_scheduler
from torch import nn
from transformers import TrainingArguments

_TRUNK = "source_encoder.trunk."  # in the names of its parameters


def create_adam(
    parameters: Iterable[nn.Parameter] | list[dict], args: TrainingArguments, learning_rate: float
) -> torch.optim.Adam:
    """Create Adam with the betas and the weight decay of the training arguments."""
    return torch.optim.Adam(
        parameters,
        lr=learning_rate,
        betas=(args.adam_beta1, args.adam_beta2),
        weight_decay=args.weight_decay,
    )


def parameter_groups(
    model: nn.Module, others: list[nn.Parameter], trunk_learning_rate: float
) -> list[dict]:
    """Group the trainable parameters of a network, with the pretrained trunk apart.

    Args:
        model: the network.
        others: parameters that are trained with those of the network.
        trunk_learning_rate: learning rate of the source encoder's trunk, which has no weight decay.

    Returns:
        One parameter group, or two if the network has a trunk that is trained.
    """
    named = {name: one for name, one in model.named_parameters() if one.requires_grad}
    trunk = [one for name, one in named.items() if _TRUNK in name]
    groups = [{"params": [one for name, one in named.items() if _TRUNK not in name] + others}]
    if trunk:
        groups.append({"params": trunk, "lr": trunk_learning_rate, "weight_decay": 0.0})
    return groups


def create_schedule(
    optimizer: torch.optim.Optimizer, args: TrainingArguments, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Create the learning rate schedule of the training arguments, for a number of steps."""
    return get_scheduler(
        args.lr_scheduler_type.value,
        optimizer,
        num_warmup_steps=args.get_warmup_steps(steps),
        num_training_steps=steps,
    )
