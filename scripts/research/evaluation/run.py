"""All measures of all methods over a stream of photographs."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from PIL import Image

from .hashes import image_sha256, together_sha256
from .journal import Journal
from .measures import TRUTH, Measure, Row
from .methods import Method
from .pixels import Pixels
from .protocol import (
    EVERY_MODE,
    REFERENCES,
    REFERENTIAL,
    Protocol,
)
from .samples import Sample


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Args:
        rows: numbers by method and by name, as the measures define them.
        counts: how many images each method restored.
        seconds: median wall time that each method took for an image, from image to image.
        images: how many there were.
        sha256: of the truths, in their order.
    """

    rows: dict[str, Row]
    counts: dict[str, int]
    seconds: dict[str, float]
    images: int
    sha256: str


def evaluate(
    samples: Iterable[Sample],
    methods: Mapping[str, Method],
    measures: Sequence[Measure],
    protocol: Protocol = EVERY_MODE,
    journal: Journal | None = None,
) -> Evaluation:
    """Apply methods to the samples of their modes, each once, and every measure to the results.

    Raises:
        ValueError: if there are no samples.
    """
    records = []
    for sample in samples:
        image = image_sha256(sample.truth)
        record = journal.read(sample.index, image) if journal else None
        if record is None:
            outcomes, seconds = _restored(sample, protocol.due(sample.index, methods))
            told = [measure.of(sample, outcomes) for measure in measures]
            record = {"image": image, "seconds": seconds, "told": told}
            if journal:
                journal.write(sample.index, record, outcomes)
        records.append(record)
    return _summary(records, measures, protocol)


def compare(
    pairs: Iterable[tuple[Image.Image, Image.Image]], measures: Sequence[Measure], name: str
) -> Evaluation:
    """Measure images against their truths, all RGB.

    Args:
        pairs: result and truth, of one size.
        measures: such as need no sample.
        name: of the results' row.

    Raises:
        ValueError: if there are no pairs.
    """
    records = []
    for result, truth in pairs:
        outcomes = {TRUTH: Pixels(truth), name: Pixels(result)}
        told = [measure.of(None, outcomes) for measure in measures]
        records.append({"image": image_sha256(truth), "seconds": {name: 0.0}, "told": told})
    return _summary(records, measures, EVERY_MODE)


def _restored(
    sample: Sample, methods: Mapping[str, Method]
) -> tuple[dict[str, Pixels], dict[str, float]]:
    """The truth and what every method made, and the seconds that each took."""
    outcomes, seconds = {TRUTH: Pixels(sample.truth)}, {}
    for name, method in methods.items():
        start = time.perf_counter()
        outcomes[name] = Pixels(method(sample))
        seconds[name] = time.perf_counter() - start
    return outcomes, seconds


def _summary(
    records: list[dict[str, Any]], measures: Sequence[Measure], protocol: Protocol
) -> Evaluation:
    if not records:
        raise ValueError("no images to evaluate on")
    rows: dict[str, Row] = {}
    for index, measure in enumerate(measures):
        told = protocol.with_referential([record["told"][index] for record in records])
        for name, row in measure.rows(told).items():
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
        sha256=together_sha256(record["image"] for record in records),
    )
