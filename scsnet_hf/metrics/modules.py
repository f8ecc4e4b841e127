"""Base classes of the `evaluate` modules.

Images are stored as PNG in the cache file of `evaluate` and decoded one by one, so that memory does
not grow with their number and several processes can add images.
"""

import inspect
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import evaluate
import numpy as np
import pyarrow as pa
from datasets import Features, Value
from PIL import Image

from ..image_io import ImageSource
from .images import iterate_rgb, select_channels

Stored = pa.ChunkedArray  # PNG files; null where the other set has more images

_Size = tuple[int, int]  # width and height


class ImageMetric(evaluate.Metric, ABC):
    """A metric of images: `add`, `add_batch` and `compute` take whatever `to_rgb` takes.

    Subclasses define `_compute`, whose keyword arguments are the options of `compute`, and
    `citation`; their docstrings are the description.
    """

    inputs: tuple[str, ...] = ("predictions", "references")
    citation: str

    @abstractmethod
    def _compute(self, **columns_and_options) -> dict[str, Any]: ...

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=inspect.getdoc(type(self)),
            citation=self.citation,
            inputs_description=inspect.getdoc(type(self)._compute) or "",
            features=Features({name: Value("large_binary") for name in self.inputs}),
            format="arrow",  # columns are read from the file, not converted to lists
        )

    def add(
        self,
        *,
        prediction: ImageSource | None = None,
        reference: ImageSource | None = None,
        **plural: ImageSource,
    ) -> None:
        """Add an image, and its reference; as `evaluate.combine` does, also by the plural names."""
        images = {"predictions": prediction, "references": reference, **plural}
        self.add_batch(**{name: [one] for name, one in images.items() if one is not None})

    def add_batch(
        self,
        *,
        predictions: Iterable[ImageSource] | None = None,
        references: Iterable[ImageSource] | None = None,
    ) -> None:
        """Add images, and their references.

        Args:
            predictions: a list or another iterable of images, an array (N, H, W, 3) or a tensor
                (N, 3, H, W), uint8; sizes may differ.
            references: likewise.

        Raises:
            ValueError: if an image cannot be used; then none is added.
        """
        given = {"predictions": predictions, "references": references}
        sizes: dict[str, list[_Size]] = {name: [] for name in self.inputs}
        files: dict[str, list[bytes | None]] = {name: [] for name in self.inputs}
        for name in self.inputs:
            for rgb in iterate_rgb(() if given[name] is None else given[name], name):
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
        """Raise ValueError if the metric cannot compare images of these sizes."""


class PairMetric(ImageMetric):
    """A metric of pairs of images of the same size."""

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
                    f"references[{index}] {'x'.join(map(str, second))}; accepted are pairs of "
                    "the same size"
                )


class SetMetric(ImageMetric):
    """A metric of two sets of images, which may differ in number."""

    def _require(self, **columns: Stored) -> None:
        """Raise ValueError if one of these sets has fewer than two images."""
        for name, column in columns.items():
            if (count := count_images(column)) < 2:
                raise ValueError(f"{self.name} takes at least 2 {name}, got {count}")


def count_images(column: Stored) -> int:
    """Return the number of images in a column."""
    return len(column) - column.null_count


def decode_images(column: Stored) -> Iterator[np.ndarray]:
    """Yield the images of a column in order, sRGB (H, W, 3), uint8."""
    for cell in column:
        if cell.is_valid:
            with Image.open(io.BytesIO(cell.as_py())) as image:
                yield np.asarray(image)


def decode_pairs(
    predictions: Stored, references: Stored, color: str, border: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield `select_channels` of each prediction and its reference."""
    for pair in zip(decode_images(predictions), decode_images(references), strict=True):
        yield tuple(select_channels(image, color, border) for image in pair)


def summarize(name: str, scores: Iterable[float], per_image: bool) -> dict[str, Any]:
    """Return the mean of scores under `name`, and if `per_image` the scores under "scores"."""
    scores = list(scores)
    result: dict[str, Any] = {name: float(np.mean(scores))}
    return {**result, "scores": scores} if per_image else result


def _to_png(rgb: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
