"""The whole evaluation of one model, as scripts/evaluate_model.py runs it."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageOps
from tqdm import tqdm

from scsnet_hf.data import (
    EVALUATION_SPLITS,
    DataSource,
    choose_photographs,
    iterate_photographs,
    open_photograph,
    resolve_source,
)
from scsnet_hf.io.run_settings import write_json
from scsnet_hf.metrics import FeatureNetwork
from scsnet_hf.registration import DTYPES, load_pipeline
from scsnet_hf.training.vgg import HUB_REPOSITORY, VGG16Features

from ..options import option
from .consistency import HueTransfer, Stability
from .distributions import DistributionDistance
from .external_models import load_external_model
from .external_results import external_results, paired_images, write_inputs
from .hashes import weights_sha256
from .methods import BOUNDS, REFERENTIAL, Method, cascade, network_methods, pipeline_methods
from .metrics import ColorStatistics, Fidelity, Metric, PerceptualDistance
from .protocol import PAPER_IMAGES, PAPER_SIDE, PROTOCOLS
from .report import evaluation_tables, make_record, paper_tables, table_rows
from .run import compare, evaluate
from .run_folder import RunFolder
from .samples import Sample, make_samples

if TYPE_CHECKING:
    from scsnet_hf.pipeline_scsnet import ScsColorizeSrPipeline

_RECORD, _TABLES, _SECONDS = "results.json", "tables.md", "seconds.json"


@dataclass(frozen=True)
class EvaluationSettings:
    """Everything that the numbers depend on, beside the data and methods of other projects.

    The help texts of the fields, which are also those of the command, describe them.
    """

    model: str = option("medium", "medium, small, a folder or a Hub id")
    dtype: str | None = option(
        None, "number format of the network (default: the model's)", choices=list(DTYPES)
    )
    split: str | None = option(
        None, "of the data (default: the one that the paper's tables are measured on)"
    )
    limit: int | None = option(None, "maximal number of images")
    shuffle: bool = option(False, "choose them at random, by --seed")
    square: int | None = option(
        None, "crop the middle square of each image and resize it to so many pixels"
    )
    scale: float = option(4.0, "magnification")
    seed: int = option(0, "of the order, distortions and rotated hues")
    protocol: str = option(
        "every-mode", "which image is reconstructed in which mode", choices=list(PROTOCOLS)
    )
    vgg: str | None = option(
        None, f"also VGG16 distances, by a safetensors file or {HUB_REPOSITORY}"
    )
    fid: str | None = option(
        None, "also FID and KID, by inception or vgg16", metavar="NETWORK[=FILE]"
    )
    network_alone: bool = option(
        False, "also the network's output without back-projection and fitting to the gamut"
    )
    stability: bool = option(False, "also how colors change with sizes")

    def with_protocol_defaults(self) -> "EvaluationSettings":
        """Fill in what the paper's protocol asks for where nothing else is set."""
        if self.protocol != "paper":
            return self
        return dataclasses.replace(
            self,
            limit=self.limit or PAPER_IMAGES,
            square=self.square or PAPER_SIDE,
            fid=self.fid or "inception",
            shuffle=True,
            network_alone=True,
        )


def evaluate_model(
    data: str,
    settings: EvaluationSettings,
    cascades: Sequence[Sequence[str]] = (),
    external: Sequence[Sequence[str]] = (),
    device: str | None = None,
    output: Path | None = None,
    keep_images: bool = False,
) -> str:
    """Evaluate a model on photographs, and return the tables.

    Args:
        data: photographs, see `scsnet_hf.data.resolve_source`.
        settings: of the evaluation.
        cascades: (name, colorizer, upscaler), see `external_models`.
        external: (name, mode, folder), see `external_results`.
        device: of torch.
        output: folder of the run, in which an interrupted one is resumed.
        keep_images: also keep all images there.

    Raises:
        ValueError: if something cannot be loaded, or the folder belongs to another run.
    """
    pipe = load_pipeline(settings.model, device, settings.dtype)
    record_settings = {"data": data, **dataclasses.asdict(settings)}
    record_settings |= {"cascade": cascades, "images": external}
    record_settings["model_sha256"] = weights_sha256(pipe.model)
    methods = _methods(pipe, settings, cascades, external)
    metrics = [*_image_metrics(settings, str(pipe.device)), *_pipeline_metrics(settings, pipe)]
    run_folder = RunFolder(output, record_settings, keep_images) if output else None
    samples = photograph_samples(data, settings)
    evaluation = evaluate(samples, methods, metrics, PROTOCOLS[settings.protocol], run_folder)
    tables = evaluation_tables(table_rows(evaluation, methods))
    if output:
        _write(output, tables, make_record(evaluation, methods, metrics, record_settings))
        write_json(output / _SECONDS, evaluation.seconds)
    return tables


def compare_folders(
    results: Path,
    truths: Path,
    settings: EvaluationSettings,
    device: str | None = None,
    output: Path | None = None,
) -> str:
    """Compare the images of two folders of equal names, and return the tables."""
    metrics, name = _image_metrics(settings, device or "cpu"), str(results)
    evaluation = compare(tqdm(paired_images(results, truths), unit="image"), metrics, name)
    tables = evaluation_tables(evaluation.rows)
    if output:
        compared = {"data": str(truths), "results": name, "vgg": settings.vgg, "fid": settings.fid}
        _write(output, tables, make_record(evaluation, {}, metrics, compared))
    return tables


def combine_runs(runs: Iterable[Path]) -> str:
    """Return Tables 1 and 2 of the paper for the output folders of earlier evaluations."""
    runs = list(runs)
    records = [json.loads((run / _RECORD).read_text()) for run in runs]
    return paper_tables(records, [json.loads((run / _SECONDS).read_text()) for run in runs])


def write_external_inputs(data: str, settings: EvaluationSettings, output: Path) -> None:
    """Write the inputs of other programs for an evaluation with the same settings."""
    write_inputs(photograph_samples(data, settings), output, PROTOCOLS[settings.protocol])


def photograph_samples(data: str, settings: EvaluationSettings) -> Iterator[Sample]:
    """Return the samples of photographs, see `make_samples`."""
    return make_samples(_photographs(data, settings), settings.scale, settings.seed)


def _photographs(data: str, settings: EvaluationSettings) -> Iterator[Image.Image]:
    source = evaluation_source(data, settings.split)
    images = iterate_photographs(source, limit=settings.limit)
    if settings.shuffle:
        images = map(open_photograph, _choose(source, settings))
    for image in tqdm(images, total=settings.limit, unit="image"):
        if settings.square:
            image = ImageOps.fit(image, 2 * (settings.square,), Image.Resampling.BICUBIC)
        yield image


def evaluation_source(data: str, split: str | None = None) -> DataSource:
    """Return a source with the split that the paper's tables are measured on, or another."""
    source = resolve_source(data)
    split = split or EVALUATION_SPLITS.get(data)
    return dataclasses.replace(source, split=split) if split else source


def _choose(source: DataSource, settings: EvaluationSettings) -> list[dict | None]:
    """Choose images at random; ValueError if there are fewer than the paper's protocol asks for."""
    chosen = choose_photographs(source, settings.seed, settings.limit)
    if settings.protocol == "paper" and len(chosen) < settings.limit == PAPER_IMAGES:
        raise ValueError(
            f"the paper's protocol takes {PAPER_IMAGES} images, {source.path} has {len(chosen)}: "
            "give --limit for fewer, whose FID is larger"
        )
    return chosen


def _methods(
    pipe: "ScsColorizeSrPipeline",
    settings: EvaluationSettings,
    cascades: Sequence[Sequence[str]],
    external: Sequence[Sequence[str]],
) -> dict[str, Method]:
    if settings.protocol != "paper" and any(mode == REFERENTIAL for _, mode, _ in external):
        raise ValueError(f"--images of the mode {REFERENTIAL} need --protocol paper")
    return {
        **BOUNDS,
        **pipeline_methods(pipe),
        **(network_methods(pipe) if settings.network_alone else {}),
        **{
            name: cascade(*(load_external_model(model, pipe.device) for model in models))
            for name, *models in cascades
        },
        **{name: external_results(Path(folder), mode) for name, mode, folder in external},
    }


def _image_metrics(settings: EvaluationSettings, device: str) -> list[Metric]:
    metrics = [ColorStatistics(), Fidelity()]
    if settings.vgg:
        vgg = VGG16Features.from_pretrained(settings.vgg).to(device)
        metrics.append(PerceptualDistance(vgg))
    if settings.fid:
        network = FeatureNetwork.from_option(settings.fid, device=device)
        metrics.append(DistributionDistance(network))
    return metrics


def _pipeline_metrics(settings: EvaluationSettings, pipe: "ScsColorizeSrPipeline") -> list[Metric]:
    """Metrics that call the pipeline beyond its methods."""
    if settings.protocol != "every-mode":
        return []
    metrics: list[Metric] = []
    if pipe.model.config.cross_attention != "none":
        metrics.append(HueTransfer(pipe))
    if settings.stability:
        metrics.append(Stability(pipe))
    return metrics


def _write(output: Path, tables: str, record: dict[str, object]) -> None:
    write_json(output / _RECORD, record)
    (output / _TABLES).write_text(tables + "\n")
