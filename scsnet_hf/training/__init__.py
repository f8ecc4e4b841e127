"""Training of SCSNet.

trainer.py         `SCSNetTrainer`: both modes, all loss terms, exact resumption
adversary.py       training of the discriminator, and the adversarial loss
color_readout.py   a linear layer that reads colors from F_color
weight_average.py  the exponential moving average of the weights
inputs.py          a batch of samples as arguments of the network
losses.py          content, perceptual and adversarial loss, and their weights
vgg.py             the VGG16 of the perceptual loss
discriminator.py   the discriminator of the adversarial loss
optimizers.py      Adam and its schedule
checkpoints.py     which checkpoint is complete and can be resumed
monitoring.py      averages of the loss terms, sample images
initialization.py  initial weights: of other models, of ImageNet
presets.py         presets of scripts/train.py
arguments.py       its arguments
run.py             its run, from arguments to a saved model
"""

from importlib import import_module

from ..io.extras import needs_extra

_MODULES = {
    "PRESETS": "presets",
    "LossWeights": "losses",
    "SCSNetTrainer": "trainer",
    "TrainingPreset": "presets",
    "last_complete_checkpoint": "checkpoints",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str):
    # Lazily, because losses and VGG features are used without the packages that training needs.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needs_extra("train", "training runs"):
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
