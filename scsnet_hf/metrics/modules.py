"""What the `evaluate` modules have in common.

Images are stored as PNG in the cache file of `evaluate`, and read from there one by one: memory
does not grow with their number, and several processes may add.
"""

import inspect
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Features, Value
from PIL import Image

import evaluate

from ..image_io import ImageSource
from .images import channels_of, rgb_of_all

Stored = pa.ChunkedArray  # PNG files; null where the other set has more images

_Size = tuple[int, int]  # width and height


class ImageMetric(evaluate.Metric, ABC):
    """A metric of images: `add`, `add_batch` and `compute` take whatever `rgb_of` takes.

    Subclasses define `_compute`, whose named arguments are the options of `compute`, and
    `citation`; their docstrings are the description.
    """

    inputs: tuple[str, ...] = ("predictions", "references")
    citation = ""

    @abstractmethod
    def _compute(self, **columns_and_options) -> dict[str, Any]: ...

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=inspect.getdoc(type(self)),
            citation=self.citation,
            inputs_description=inspect.getdoc(type(self)._compute) or "",
            features=Features({name: Value("large_binary") for name in self.inputs}),
            format="arrow",  # columns come as they lie in the file, and not as lists
        )

    def add(
        self, *, prediction: ImageSource | None = None, reference: ImageSource | None = None
    ) -> None:
        """Add an image, and its reference."""
        images = {"predictions": prediction, "references": reference}
        self.add_batch(**{name: [one] for name, one in images.items() if one is not None})

    def add_batch(
        self,
        *,
        predictions: Iterable[ImageSource] | None = None,
        references: Iterable[ImageSource] | None = None,
    ) -> None:
        """Add images, and their references.

        Each of both is a list or another iterable of images, an array (N, H, W, 3) or a tensor
        (N, 3, H, W). Pixels are uint8; sizes may differ.

        Raises:
            ValueError: if images cannot be used; then none is added.
        """
        given = {"predictions": predictions, "references": references}
        sizes: dict[str, list[_Size]] = {name: [] for name in self.inputs}
        files: dict[str, list[bytes | None]] = {name: [] for name in self.inputs}
        for name in self.inputs:
            for rgb in rgb_of_all(() if given[name] is None else given[name], name):
                sizes[name].append(rgb.shape[1::-1])
                files[name].append(_to_png(rgb))
        self._check_sizes(**sizes)
        longest = max(map(len, files.values()))
        if longest:
            columns = {
                name: column + [None] * (longest - len(column)) for name, column in files.items()
            }
            super().add_batch(**columns)

    def _check_sizes(self, **sizes: list[_Size]) -> None:
        """Raise ValueError if the metric cannot use images of these sizes together."""


class PairMetric(ImageMetric):
    """A metric of pairs of images of one size."""

    def _check_sizes(self, predictions: list[_Size], references: list[_Size]) -> None:
        if len(predictions) != len(references):
            raise ValueError(
                f"{self.name} compares pairs; got {len(predictions)} predictions and "
                f"{len(references)} references"
            )
        for index, (first, second) in enumerate(zip(predictions, references, strict=True)):
            if first != second:
                raise ValueError(
                    f"predictions[{index}] has {'x'.join(map(str, first))} pixels and "
                    f"references[{index}] {'x'.join(map(str, second))}; accepted are pairs of one "
                    "size"
                )


class SetMetric(ImageMetric):
    """A metric of two sets of images, which may differ in number."""

    def _require(self, **columns: Stored) -> None:
        """Raise ValueError if one of these sets has fewer than two images."""
        for name, column in columns.items():
            if (count := count_of(column)) < 2:
                raise ValueError(f"{self.name} takes at least 2 {name}, got {count}")


def count_of(column: Stored) -> int:
    """How many images a column has."""
    return len(column) - column.null_count


def images_of(column: Stored) -> Iterator[np.ndarray]:
    """(H, W, 3), uint8, of each image of a column, in order."""
    for cell in column:
        if cell.is_valid:
            with Image.open(io.BytesIO(cell.as_py())) as image:
                yield np.asarray(image)


def pairs_of(
    predictions: Stored, references: Stored, color: str, border: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`channels_of` each prediction and its reference."""
    for pair in zip(images_of(predictions), images_of(references), strict=True):
        yield tuple(channels_of(image, color, border) for image in pair)


def mean_of(name: str, scores: Iterable[float], per_image: bool) -> dict[str, Any]:
    """The mean of scores under that name, and themselves under `scores` if they are wanted."""
    scores = list(scores)
    result: dict[str, Any] = {name: float(np.mean(scores))}
    return {**result, "scores": scores} if per_image else result


def _to_png(rgb: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
