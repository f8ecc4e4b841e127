"""`ReferenceGallery`: of many color images, those that suit a gray one as references.

No labels and no further network: images are compared by the model's own source encoder, which
sees lightness only, so a color image and a gray one are described alike.
"""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from ..image_io import ImageError, ImageSource, load_image
from ..io.folders import images_in
from ..pipeline_scsnet import ScsColorizeSrPipeline


class Proposal(NamedTuple):
    """An image of the gallery, and how much it looks like the one asked about."""

    path: Path
    similarity: float  # cosine, at most 1


class ReferenceGallery:
    """Color images, described once, from which references are proposed.

    Args:
        pipe: whose model describes the images.
        images: their paths. One that cannot be read is left out with a warning.
        progress: show a bar.

    Raises:
        ValueError: if none can be read.

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
                vectors.append(self._describe(path))
            except ImageError as error:
                warnings.warn(f"left out of the gallery: {error}", stacklevel=2)
            else:
                self.paths.append(Path(path))
        if not vectors:
            raise ValueError("a gallery needs at least one image that can be read")
        self._vectors = torch.cat(vectors)  # (N, D)

    @classmethod
    def from_folder(
        cls, pipe: ScsColorizeSrPipeline, folder: str | os.PathLike, progress: bool = False
    ) -> "ReferenceGallery":
        """All images of a folder, searched in depth.

        Raises:
            ValueError: if it is no folder, or holds no image that can be read.
        """
        if not Path(folder).is_dir():
            raise ValueError(f"{folder}: is not a folder")
        images = list(images_in(Path(folder)))
        if not images:
            raise ValueError(f"{folder}: holds no images")
        return cls(pipe, images, progress)

    def __len__(self) -> int:
        return len(self.paths)

    def propose(self, image: ImageSource, count: int = 5) -> list[Proposal]:
        """The images most like `image`, the best first.

        Args:
            image: gray or color, as `image_io.load_image` takes it.
            count: how many; all where the gallery has fewer.

        Raises:
            ValueError: if `count` is below 1.
            image_io.ImageError: if the image cannot be read.
        """
        if count < 1:
            raise ValueError(f"count={count!r}: must be 1 or more")
        similarities = self._vectors @ self._describe(image)[0]
        best = similarities.topk(min(count, len(self)))
        return [
            Proposal(self.paths[index], similarity)
            for similarity, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    @torch.no_grad()
    def _describe(self, image: ImageSource) -> torch.Tensor:
        """(1, D), on the CPU."""
        tensor = self.pipe.image_processor.source_tensor(load_image(image))
        return self.pipe.model.embed_images(tensor.to(self.pipe.device)).cpu()
