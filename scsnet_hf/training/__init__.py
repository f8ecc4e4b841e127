"""Training of SCSNet.

trainer.py         `SCSNetTrainer`: the two modes in turn, all loss terms, resumed to the bit
initialization.py  what a network starts from: other models, ImageNet weights
inputs.py          what it gets of a batch of samples
adversary.py       the discriminator and its side of a step
checkpoints.py     which checkpoint is complete
monitoring.py      averages of the logged terms, sample pictures
presets.py         the settings of scripts/train.py
"""

from ..losses import LossWeights
from .checkpoints import last_complete_checkpoint
from .presets import PRESETS, TrainingPreset
from .trainer import SCSNetTrainer

__all__ = [
    "PRESETS",
    "LossWeights",
    "SCSNetTrainer",
    "TrainingPreset",
    "last_complete_checkpoint",
]
