"""The paper's ablations at any budget, Tables 4 and 5, and one of what we do differently."""

import dataclasses
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev

import torch
from PIL import Image, ImageOps
from tqdm import tqdm
from transformers import TrainingArguments

from scsnet_hf.configuration_scsnet import PRESETS as NETWORKS
from scsnet_hf.configuration_scsnet import SCSNetConfig
from scsnet_hf.data import (
    PairMaker,
    iterate_photographs,
    resolve_source,
    stream_photographs,
    training_stream,
)
from scsnet_hf.data.files import SourcePath
from scsnet_hf.image_processing_scsnet import SCSNetImageProcessor
from scsnet_hf.io.run_settings import write_json
from scsnet_hf.metrics import FeatureNetwork
from scsnet_hf.modeling_scsnet import SCSNetForImageToImage
from scsnet_hf.pipeline_scsnet import ScsColorizeSrPipeline
from scsnet_hf.training.losses import LOSS_PRESETS
from scsnet_hf.training.trainer import SCSNetTrainer
from scsnet_hf.training.vgg import VGG16Features

from .evaluation.distributions import DistributionDistance
from .evaluation.methods import (
    AUTOMATIC,
    SELF_REFERENCE,
    UNRELATED_REFERENCE,
    pipeline_methods,
)
from .evaluation.metrics import ColorStatistics, Fidelity
from .evaluation.model_evaluation import evaluation_source
from .evaluation.run import evaluate
from .evaluation.samples import Sample, make_samples
from .markdown_tables import markdown_table
from .options import option

SCALE = 4  # magnification
TITLES = {
    "losses": "Table 4: loss terms",
    "components": "Table 5: components",
    "deviations": "Deviations from the paper's network, one by one",
}
_LETTER = {
    "similarity": "dot",
    "cross_attention_skip": False,
    "valve_convolution": False,
    "align_corners": True,
    "luminance_skip": False,
}


@dataclass(frozen=True)
class Variant:
    """One row of a table.

    Args:
        losses: name of `LOSS_PRESETS`.
        cross_attention: of `SCSNetConfig`. Without one there is no referential mode: the paper does
            not say what its baseline does with the reference.
        upsampler: of `SCSNetConfig`.
        fields: other fields of `SCSNetConfig`, which replace those of the preset.
        equal_mapping: give all layers of the pixel mapping the width of F_cs, like the paper.
    """

    losses: str = "full"
    cross_attention: str = "pyramid_valve"
    upsampler: str = "cpm"
    fields: Mapping[str, object] = field(default_factory=dict)
    equal_mapping: bool = False

    @classmethod
    def of_the_paper(cls, equal_mapping: bool = True, **fields: object) -> "Variant":
        """The paper's network, of the widths of the preset, but for some fields."""
        return cls("content", fields={**_LETTER, **fields}, equal_mapping=equal_mapping)

    @property
    def key(self) -> str:
        """Name of its folder, the same for the same variant in all tables."""
        words = [self.losses, self.cross_attention, self.upsampler]
        words += [f"{name}={value}" for name, value in sorted(self.fields.items())]
        return "-".join([*words, *["equal-mapping"] * self.equal_mapping])

    def config(self, network: str) -> SCSNetConfig:
        """Return the configuration of this variant of a preset."""
        config = SCSNetConfig.from_preset(
            network,
            **{"cross_attention": self.cross_attention, "upsampler": self.upsampler, **self.fields},
        )
        if self.equal_mapping:
            config.mapping_hidden_sizes = 3 * [config.mapping_size]
        return config


TABLES: dict[str, dict[str, Variant]] = {
    "losses": {
        "L_C": Variant("content"),
        "L_C + L_P": Variant("content+perceptual"),
        "L_C + L_Adv": Variant("content+adversarial"),
        "L_C + L_P + L_Adv": Variant(),
    },
    "components": {
        "baseline": Variant(cross_attention="none", upsampler="pixelshuffle"),
        "BCAttn": Variant(cross_attention="basic", upsampler="pixelshuffle"),
        "PVCAttn": Variant(upsampler="pixelshuffle"),
        "CPM": Variant(cross_attention="none"),
        "PVCAttn + CPM": Variant(),
    },
    "deviations": {
        "the paper's network": Variant.of_the_paper(),
        "cosines": Variant.of_the_paper(similarity="cosine"),
        "cosines, times a learned factor": Variant.of_the_paper(similarity="learned_cosine"),
        "skip around PVCAttn": Variant.of_the_paper(cross_attention_skip=True),
        "1x1 convolution after the valves": Variant.of_the_paper(valve_convolution=True),
        "cell-centered pixels": Variant.of_the_paper(align_corners=False),
        "narrow late mapping layers": Variant.of_the_paper(equal_mapping=False),
        "lightness added (not `base`)": Variant.of_the_paper(luminance_skip=True),
        "`base`: all but the last": Variant(
            "content", fields={"similarity": "learned_cosine", "luminance_skip": False}
        ),
    },
}


@dataclass(frozen=True)
class Budget:
    """The budget of every variant.

    The help texts of the fields, which are also those of the command, describe them.
    """

    network: str = option("paper", "preset of the network", choices=list(NETWORKS))
    source_size: int = option(128, f"side of source and reference; the magnification is {SCALE}")
    label_size: int = option(512, "side of the window for the losses")
    steps: int = option(100_000, "of training")
    batch_size: int = option(4, "samples per step")
    learning_rate: float = option(1e-4, "of Adam, with a cosine schedule")
    color_readout: float = option(0.0, "weight of the colors read from F_color; not in the paper")
    recolored: float = option(0.0, "share of recolored references and truths; not in the paper")


def train_variant(
    variant: Variant,
    budget: Budget,
    data: SourcePath,
    folder: Path,
    vgg: VGG16Features,
    seed: int = 0,
    workers: int = 0,
) -> SCSNetForImageToImage:
    """Train one variant, or resume from its last checkpoint in `folder`.

    Args:
        variant: what to train.
        budget: of the training.
        data: photographs, see `data.stream_photographs`.
        folder: of the run.
        vgg: for the perceptual loss.
        seed: of weights, samples and distortions.
        workers: loader processes.

    Returns:
        The network with averaged weights, in eval mode.
    """
    torch.manual_seed(seed)
    weights = dataclasses.replace(LOSS_PRESETS[variant.losses], color_readout=budget.color_readout)
    trainer = SCSNetTrainer(
        model=SCSNetForImageToImage(variant.config(budget.network)),
        args=_training_arguments(budget, folder, seed, workers),
        train_dataset=_samples(budget, data, seed),
        processing_class=SCSNetImageProcessor(),
        loss_weights=weights,
        vgg=vgg if weights.perceptual else None,
        recolor_probability=budget.recolored,
        ema_decay=0.99,
    )
    trainer.train(resume_from_checkpoint=True)
    trainer.weight_average.save_model(folder)
    return SCSNetForImageToImage.from_pretrained(folder, dtype="float32").eval()


def _samples(budget: Budget, data: SourcePath, seed: int):
    side = budget.source_size
    pairs = PairMaker(
        side,
        budget.label_size,
        side,
        scale_range=(float(SCALE), float(SCALE)),
        view_range=(1.0, 1.0),
        enlarge=True,
    )
    source = resolve_source(data)
    stream = stream_photographs(source)
    return training_stream(stream, pairs, seed=seed, selection=source.selection)


def _training_arguments(budget: Budget, folder: Path, seed: int, workers: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=budget.steps,
        per_device_train_batch_size=budget.batch_size,
        learning_rate=budget.learning_rate,
        lr_scheduler_type="cosine",
        weight_decay=1e-4,
        max_grad_norm=1.0,
        dataloader_num_workers=workers,
        save_steps=max(1, budget.steps // 4),
        save_total_limit=2,
        logging_steps=25,
        seed=seed,
        report_to="none",
    )


def measure_variant(
    model: SCSNetForImageToImage, samples: Sequence[Sample], features: FeatureNetwork
) -> dict[str, float]:
    """Compute the columns of a row.

    PSNR and SSIM have the image itself as reference, FID, KID and colorfulness that and another;
    a model without cross attention has the numbers of its automatic mode.
    """
    pipe = ScsColorizeSrPipeline(model=model, image_processor=SCSNetImageProcessor())
    metrics = [Fidelity(), ColorStatistics(), DistributionDistance(features)]
    rows = evaluate(samples, pipeline_methods(pipe), metrics).rows
    own = rows.get(SELF_REFERENCE, rows[AUTOMATIC])
    other = rows.get(UNRELATED_REFERENCE, own)
    return {
        f"FID ({features.name})": (own["fid"] + other["fid"]) / 2,
        "KID x 1000": (own["kid"] + other["kid"]) / 2,
        "colorfulness": (own["colorfulness"] + other["colorfulness"]) / 2,
        "RGB PSNR (dB)": own["psnr_rgb"],
        "L PSNR (dB)": own["psnr_l"],
        "SSIM": own["ssim"],
        "automatic RGB PSNR (dB)": rows[AUTOMATIC]["psnr_rgb"],
    }


def run_ablation(
    tables: Sequence[str],
    budget: Budget,
    data: str,
    validation: str,
    output: Path,
    seeds: Sequence[int],
    images: int,
    vgg: str | None,
    fid: str,
    workers: int,
) -> str:
    """Train and measure all variants of tables, and return the tables.

    Args:
        tables: names of `TABLES`.
        budget: of every variant.
        data: photographs to train on.
        validation: photographs to measure on.
        output: folder of all runs. Finished ones are not repeated, an interrupted one is resumed.
        seeds: of the runs of each variant.
        images: number of validation images, at random.
        vgg: see `VGG16Features.from_pretrained`.
        fid: see `FeatureNetwork.from_option`.
        workers: loader processes.

    Raises:
        ValueError: for the deviations of the preset "paper", which has none.
    """
    if "deviations" in tables and budget.network == "paper":
        raise ValueError("the network 'paper' has no deviations: take --network base or small")
    rank, processes = _leave_process_group()
    loss_network, features = VGG16Features.from_pretrained(vgg), FeatureNetwork.from_option(fid)
    samples = _validation_samples(validation, images, SCALE * budget.source_size)
    variants = {variant.key: variant for name in tables for variant in TABLES[name].values()}
    runs = [(seed, variant) for seed in seeds for variant in variants.values()]
    for seed, variant in tqdm(runs[rank::processes], unit="run"):
        result = _row_file(output, variant.key, seed)
        if not result.exists():
            model = train_variant(variant, budget, data, result.parent, loss_network, seed, workers)
            write_json(result, measure_variant(model, samples, features))
    if rank:
        return ""
    rows = {key: [_read_row(_row_file(output, key, seed)) for seed in seeds] for key in variants}
    text = "\n\n".join(f"{TITLES[name]}\n\n{ablation_table(TABLES[name], rows)}" for name in tables)
    (output / "tables.md").write_text(text + "\n")
    return text


def _leave_process_group() -> tuple[int, int]:
    """Return rank and number of the processes of torchrun, (0, 1) without it.

    Each process trains runs of its own, on its own device, as if it were alone, so that the tables
    do not depend on the number of processes.
    """
    rank, processes, local = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
    )
    if processes > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        devices = visible.split(",") if visible else [str(one) for one in range(local + 1)]
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[local] if local < len(devices) else ""
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR"):
            os.environ.pop(name, None)
    return rank, processes


def _row_file(output: Path, key: str, seed: int) -> Path:
    return output / key / f"seed-{seed}" / "row.json"


def _read_row(path: Path) -> dict[str, float]:
    """Read a row; another process may still be at it, at whose failure torchrun ends this one."""
    while not path.exists():
        time.sleep(1)
    return json.loads(path.read_text())


def _validation_samples(data: str, count: int, side: int) -> list[Sample]:
    images = iterate_photographs(evaluation_source(data), shuffle_seed=0, limit=count)
    squares = (ImageOps.fit(one, (side, side), Image.Resampling.BICUBIC) for one in images)
    return list(make_samples(squares, SCALE))


def ablation_table(
    variants: dict[str, Variant], rows: dict[str, Sequence[dict[str, float]]]
) -> str:
    """Format the mean and, for several seeds, the standard deviation of every number.

    Args:
        variants: of a table, by the names of its rows.
        rows: by `Variant.key`, a row of numbers for each seed.
    """
    columns = list(rows[next(iter(variants.values())).key][0])
    lines = [
        [name, *(_mean_and_deviation([row[key] for row in rows[variant.key]]) for key in columns)]
        for name, variant in variants.items()
    ]
    return markdown_table(["", *columns], lines)


def _mean_and_deviation(values: list[float]) -> str:
    digits = 3 if abs(mean(values)) < 10 else 2
    deviation = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{deviation}"
