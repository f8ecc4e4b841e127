"""`ReferenceGallery`: the images of an album that suit a gray one as its reference.

It needs neither labels nor another network: images are compared by the model's own source encoder,
which sees only lightness, so that a color image and a gray one are described in the same way.
"""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from ..image_io import ImageError, ImageSource
from ..io.folders import images_in
from ..pipeline_scsnet import ScsColorizeSrPipeline


class Proposal(NamedTuple):
    """An image of a gallery and its similarity to the image asked about."""

    path: Path
    similarity: float  # cosine, at most 1


class ReferenceGallery:
    """Color images, described once, from which references are proposed.

    Args:
        pipe: the pipeline whose model describes the images.
        images: their paths. One that cannot be read is left out with a warning.
        progress: show a progress bar.

    Raises:
        ValueError: if no image can be read.

    Example:
        >>> gallery = ReferenceGallery.from_folder(pipe, "album/")
        >>> best = gallery.propose("old.jpg", count=3)
        >>> pipe("old.jpg", reference=best[0].path)
    """

    def __init__(
        self,
        pipe: ScsColorizeSrPipeline,
        images: Iterable[str | os.PathLike],
        progress: bool = False,
    ):
        self.pipe = pipe
        self.paths: list[Path] = []
        vectors = []
        for path in tqdm(list(images), unit="image", disable=not progress):
            try:
                vectors.append(pipe.embed_image(path))
            except ImageError as error:
                warnings.warn(f"left out of the gallery: {error}", stacklevel=2)
            else:
                self.paths.append(Path(path))
        if not vectors:
            raise ValueError("a gallery needs at least one image that can be read")
        self._vectors = torch.stack(vectors)  # (N, D)

    @classmethod
    def from_folder(
        cls, pipe: ScsColorizeSrPipeline, folder: str | os.PathLike, progress: bool = False
    ) -> "ReferenceGallery":
        """Build a gallery of all images of a folder and its subfolders.

        Args:
            pipe: the pipeline whose model describes the images.
            folder: where the images are.
            progress: show a progress bar.

        Raises:
            ValueError: if it is not a folder, or contains no image that can be read.
        """
        if not Path(folder).is_dir():
            raise ValueError(f"{folder}: is not a folder")
        images = list(images_in(Path(folder)))
        if not images:
            raise ValueError(f"{folder}: contains no images")
        return cls(pipe, images, progress)

    def __len__(self) -> int:
        return len(self.paths)

    def propose(self, image: ImageSource, count: int = 5) -> list[Proposal]:
        """Find the images that are most similar to an image, the best one first.

        Args:
            image: gray or color, as `image_io.load_image` takes it.
            count: how many images to propose; all of a gallery that has fewer.

        Raises:
            ValueError: if `count` is below 1.
            image_io.ImageError: if the image cannot be read.
        """
        if count < 1:
            raise ValueError(f"count={count!r}: must be 1 or more")
        similarities = self._vectors @ self.pipe.embed_image(image)
        best = similarities.topk(min(count, len(self)))
        return [
            Proposal(self.paths[index], similarity)
            for similarity, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
