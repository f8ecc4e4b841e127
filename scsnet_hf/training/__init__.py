"""Training of SCSNet.

trainer.py         `SCSNetTrainer`: the two modes in turn, all loss terms, resumed to the bit
initialization.py  what a network starts from: other models, ImageNet weights
inputs.py          what it gets of a batch of samples
adversary.py       the discriminator and its side of a step
checkpoints.py     which checkpoint is complete
monitoring.py      averages of the logged terms, sample images
presets.py         the settings of scripts/train.py
"""

from importlib import import_module

_HOMES = {
    "PRESETS": "presets",
    "LossWeights": "losses",
    "SCSNetTrainer": "trainer",
    "TrainingPreset": "presets",
    "last_complete_checkpoint": "checkpoints",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    # Lazily: losses and VGG features are used without the packages that training needs.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
