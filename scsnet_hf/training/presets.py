"""Presets of training runs: the stages of our checkpoints, the paper, and a smoke test."""

from dataclasses import dataclass, replace

from ..data import Degradation, PairMaker
from ..registration import DEFAULT_CHECKPOINT
from .losses import LossWeights

# Added to the paper's weights: a color readout, higher weights for a and b, whose errors are
# smaller than those of L, and colors that are not the brown of the median.
_CONTINUOUS_WEIGHTS = LossWeights(color_readout=10.0, channels=(1.0, 2.0, 1.5), vivid=True)

_LIGHT_DAMAGE = Degradation(
    blur_probability=0.15,
    noise_probability=0.25,
    defects_probability=0.1,
    jpeg_probability=0.2,
)
_FAINT_DAMAGE = Degradation(
    noise=(1.0, 8.0),
    blur_probability=0.0,
    noise_probability=0.1,
    defects_probability=0.05,
    jpeg_probability=0.15,
)


@dataclass(frozen=True)
class TrainingPreset:
    """The settings of a training run, without its data.

    Args:
        network: preset of `SCSNetConfig`; None for the network of `init_from`.
        pairs: makes one sample from one photograph.
        loss_weights: weights of Eq. 4.
        samples: number of samples of the run; None for `epochs`.
        batch_size: samples per process and step.
        learning_rate: learning rate of the network.
        discriminator_learning_rate: None (the paper) for that of the network.
        max_grad_norm: norm that gradients are clipped to, 0 (the paper) for no clipping.
        vertical_flips: see `SCSNetTrainer`; not in the paper.
        recolor_probability: see `SCSNetTrainer`; not in the paper.
        hints: see `SCSNetTrainer`; not in the paper.
        trunk_learning_rate_factor: see `SCSNetTrainer`.
        frozen_stages: see `load_initial_model`.
        branch: the branch to train, one of `initialization.BRANCHES`; None for all parts.
        schedule: learning rate schedule, a name of `transformers.SchedulerType`.
        init_from: model to start from; None for random weights.
        epochs: length of the run in passes over the training images, instead of `samples`.
        ema_decay: decay of the moving average of the weights, 0 (the paper) for none.

    Example:
        >>> PRESETS["smoke"].steps(batch_size=8)
        200
    """

    network: str | None
    pairs: PairMaker
    loss_weights: LossWeights
    samples: int | None
    batch_size: int
    learning_rate: float
    discriminator_learning_rate: float | None = None
    max_grad_norm: float = 1.0
    vertical_flips: bool = True
    recolor_probability: float = 0.0
    hints: bool = False
    trunk_learning_rate_factor: float = 1.0
    frozen_stages: int | None = None
    branch: str | None = None
    schedule: str = "cosine"
    init_from: str | None = None
    epochs: int | None = None
    ema_decay: float = 0.999

    def steps(self, batch_size: int, images: int | None = None) -> int:
        """Return the number of steps of the run.

        Args:
            batch_size: samples of a step, of all processes.
            images: number of training images, of which `epochs` are made.
        """
        samples = self.samples or self.epochs * images
        return -(-samples // batch_size)


# The color branch alone, on whole small images: what objects there are, and their colors.
_COLOR = TrainingPreset(
    network="medium",
    pairs=PairMaker(
        128,
        16,
        128,
        (1.0, 1.0),
        view_range=(0.75, 1.0),
        degradation=_LIGHT_DAMAGE,
        other_view_probability=0.25,
        other_reference_probability=0.35,
    ),
    loss_weights=replace(_CONTINUOUS_WEIGHTS, content=0.0, perceptual=0.0, adversarial=0.0),
    samples=100_000,
    batch_size=24,
    learning_rate=5e-4,
    recolor_probability=0.3,
    trunk_learning_rate_factor=0.2,
)

# The texture branch after "color": the pixel mapping learns to read the colors of that branch.
_JOINT = TrainingPreset(
    network="medium",
    pairs=PairMaker(
        128,
        72,
        128,
        (1.5, 4.0),
        degradation=_FAINT_DAMAGE,
        other_view_probability=0.25,
        other_reference_probability=0.35,
    ),
    loss_weights=replace(_CONTINUOUS_WEIGHTS, perceptual=0.0, adversarial=0.0, color_readout=0.0),
    samples=20_000,
    batch_size=16,
    learning_rate=4e-4,
    recolor_probability=0.3,
    branch="texture",
)

PRESETS = {
    # Sec. 4.1 to the letter: magnification 4 only, and none of our additions.
    "paper": TrainingPreset(
        network="paper",
        pairs=PairMaker(
            128, 512, 128, (4.0, 4.0), view_range=(1.0, 1.0), mirror=False, enlarge=True
        ),
        loss_weights=LossWeights(),
        samples=None,
        epochs=50,
        batch_size=4,
        learning_rate=1e-4,
        max_grad_norm=0.0,
        vertical_flips=False,
        schedule="constant",
        ema_decay=0.0,
    ),
    "color": _COLOR,
    # The reference branch alone, which is fast. Nothing else is trained, so automatic results do
    # not change.
    "reference": replace(
        _COLOR,
        pairs=replace(_COLOR.pairs, label_size=48, scale_range=(1.0, 1.5)),
        # The pixel mapping does not change, so its own reading of the colors has to be right.
        loss_weights=replace(_COLOR.loss_weights, content=10.0),
        branch="reference",
    ),
    # The texture branch alone, on small windows, which show too little to learn colors from.
    "texture": TrainingPreset(
        network="small",
        pairs=PairMaker(48, 72, 48, (1.5, 4.0), degradation=_FAINT_DAMAGE),
        loss_weights=LossWeights(perceptual=0.0, adversarial=0.0, channels=(1.0, 0.2, 0.2)),
        samples=100_000,
        batch_size=24,
        learning_rate=5e-4,
        branch="texture",
    ),
    "joint": _JOINT,
    # After "joint": textures and edges that look sharp, and colors that look real.
    "adversarial": replace(
        _JOINT,
        loss_weights=replace(_CONTINUOUS_WEIGHTS, color_readout=0.0, perceptual=15.0),
        samples=12_000,
        batch_size=12,
        learning_rate=2e-4,
        discriminator_learning_rate=5e-4,
    ),
    "continuous": TrainingPreset(
        network="small",
        pairs=PairMaker(64, 64, 64, (1.0, 4.0)),
        loss_weights=_CONTINUOUS_WEIGHTS,
        samples=500_000,
        batch_size=24,
        learning_rate=2e-4,
        discriminator_learning_rate=5e-4,
    ),
    "finetune": TrainingPreset(
        network=None,
        pairs=PairMaker(64, 48, 64, (1.0, 4.0)),
        loss_weights=_CONTINUOUS_WEIGHTS,
        samples=9_120,
        batch_size=12,
        learning_rate=2e-4,
        discriminator_learning_rate=5e-4,
        init_from=DEFAULT_CHECKPOINT,
    ),
    # No perceptual term, so that nothing has to be downloaded. The discriminator is much larger
    # than this network and would dominate it at full weight.
    "smoke": TrainingPreset(
        network="tiny",
        pairs=PairMaker(32, 32, 32, (1.0, 2.0)),
        loss_weights=LossWeights(perceptual=0.0, adversarial=0.1, color_readout=10.0),
        samples=1_600,
        batch_size=8,
        learning_rate=2e-3,
        discriminator_learning_rate=2e-4,
    ),
}
