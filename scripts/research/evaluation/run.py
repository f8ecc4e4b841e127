"""All metrics of all methods over a stream of photographs."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from PIL import Image

from .hashes import combined_sha256, image_sha256
from .methods import Method
from .metrics import TRUTH, Metric, Row
from .pixels import Pixels
from .protocol import EVERY_MODE, REFERENCES, REFERENTIAL, Protocol
from .run_folder import RunFolder
from .samples import Sample


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation.

    Args:
        rows: numbers by method and by name, as the metrics define them.
        counts: number of images by method.
        seconds: median wall time per image by method.
        images: number of all images.
        sha256: of the truths in their order.
    """

    rows: dict[str, Row]
    counts: dict[str, int]
    seconds: dict[str, float]
    images: int
    sha256: str


def evaluate(
    samples: Iterable[Sample],
    methods: Mapping[str, Method],
    metrics: Sequence[Metric],
    protocol: Protocol = EVERY_MODE,
    run_folder: RunFolder | None = None,
) -> Evaluation:
    """Apply methods to the samples of their modes, and every metric to the results.

    Args:
        samples: what to reconstruct.
        methods: by name.
        metrics: to compute.
        protocol: which samples are reconstructed in which mode.
        run_folder: numbers in it are not computed again.

    Raises:
        ValueError: if there are no samples.
    """
    records = []
    for sample in samples:
        sha256 = image_sha256(sample.truth)
        record = run_folder.read(sample.index, sha256) if run_folder else None
        if record is None:
            images, seconds = _reconstruct(sample, protocol.methods_for(sample.index, methods))
            numbers = [metric.compute(sample, images) for metric in metrics]
            record = {"sha256": sha256, "seconds": seconds, "numbers": numbers}
            if run_folder:
                run_folder.write(sample.index, record, images)
        records.append(record)
    return _summarize(records, metrics, protocol)


def compare(
    pairs: Iterable[tuple[Image.Image, Image.Image]], metrics: Sequence[Metric], name: str
) -> Evaluation:
    """Apply metrics to images and their truths, all RGB.

    Args:
        pairs: result and truth, of one size.
        metrics: those that need no sample.
        name: of the results' row.

    Raises:
        ValueError: if there are no pairs.
    """
    records = []
    for result, truth in pairs:
        images = {TRUTH: Pixels(truth), name: Pixels(result)}
        numbers = [metric.compute(None, images) for metric in metrics]
        records.append({"sha256": image_sha256(truth), "seconds": {name: 0.0}, "numbers": numbers})
    return _summarize(records, metrics, EVERY_MODE)


def _reconstruct(
    sample: Sample, methods: Mapping[str, Method]
) -> tuple[dict[str, Pixels], dict[str, float]]:
    """The truth and the result of every method, and the seconds that each took."""
    images, seconds = {TRUTH: Pixels(sample.truth)}, {}
    for name, method in methods.items():
        start = time.perf_counter()
        images[name] = Pixels(method(sample))
        elapsed = time.perf_counter() - start
        seconds[name] = elapsed if method.seconds is None else method.seconds
    return images, seconds


def _summarize(
    records: list[dict[str, Any]], metrics: Sequence[Metric], protocol: Protocol
) -> Evaluation:
    if not records:
        raise ValueError("no images to evaluate on")
    rows: dict[str, Row] = {}
    for index, metric in enumerate(metrics):
        numbers = protocol.add_referential([record["numbers"][index] for record in records])
        for name, row in metric.summarize(numbers).items():
            rows.setdefault(name, {}).update(row)
    seconds = defaultdict(list)
    for record in records:
        for name, value in record["seconds"].items():
            seconds[name].append(value)
    counts = {name: len(values) for name, values in seconds.items()}
    if REFERENTIAL in rows:
        counts[REFERENTIAL] = sum(counts[mode] for mode in REFERENCES if mode in counts)
    return Evaluation(
        rows=rows,
        counts=counts,
        seconds={name: median(values) for name, values in seconds.items()},
        images=len(records),
        sha256=combined_sha256(record["sha256"] for record in records),
    )
