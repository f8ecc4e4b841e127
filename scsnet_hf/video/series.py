"""`Series`: images that belong together, colorized in steady colors."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..attention import Tokens
from ..call_arguments import check_arguments
from ..configuration_scsnet import check_takes_references
from ..image_io import ImageSource, load_image
from ..pipeline_scsnet import ScsColorizeSrPipeline
from ..tiling import Strips
from .color_propagation import propagate_colors
from .scenes import is_blank, is_cut, thumbnail_of

FIRST = "first"

_SIZES = ("scale", "size", "long_side")


@dataclass(frozen=True)
class _Scene:
    """What the next image depends on."""

    thumbnail: torch.Tensor  # of the last image, see scenes.py
    reference: Tokens | None  # of all images of the scene
    last: torch.Tensor | None  # result (H, W, 3 or 4), uint8 or uint16; only if colors propagate


class Series:
    """Colorizes images that belong together, one after the other, in steady colors.

    The state between images is here; the pipeline has none. Without `reference` and `propagate`,
    results are those of the pipeline. There is no motion model: `propagate_colors` says what is
    propagated.

    Example:
        >>> series = Series(pipe, reference="first", propagate=True, scale=2)
        >>> for file in sorted(folder.glob("*.png")):
        ...     series(file).save(results / file.name)

    Args:
        pipe: a `scs-colorize-sr` pipeline.
        reference: None for automatic colors; an image or a list of images, encoded once, as the
            reference of all; or "first": the automatic result of the first image of a scene is the
            reference of all its images, itself included. (A file of that name is "./first".)
        propagate: mix in the colors of the previous result where an image shows the same, except
            after a cut.
        follow_scenes: with "first", take a new reference at every cut. False for an album: its
            first image is the reference of all.
        hints: color hints of the first image, and with "first" so of its whole scene.
        **call_arguments: of every call of the pipeline: `scale`, `size`, `saturation` and so on.

    Raises:
        ValueError: if an argument is out of range, or the model takes no references.
        TypeError: if an argument is unknown.
        image_io.ImageError: if a reference cannot be read.
    """

    def __init__(
        self,
        pipe: ScsColorizeSrPipeline,
        reference: ImageSource | list[ImageSource] | None = None,
        propagate: bool = False,
        follow_scenes: bool = True,
        hints: Any = None,
        **call_arguments: Any,
    ):
        if "return_attention" in call_arguments:
            raise TypeError("return_attention: a series returns images; call the pipeline for maps")
        check_arguments(**call_arguments)
        self._pipe = pipe
        self._from_first = isinstance(reference, str) and reference == FIRST
        self._propagate = propagate
        self._follow_scenes = follow_scenes
        self._arguments = call_arguments
        self._reference_tokens: Tokens | None = None
        if self._from_first:
            check_takes_references(pipe.model.config)
        elif reference is not None:
            self._reference_tokens = pipe.encode_reference(reference)
        self._scene: _Scene | None = None
        self._hints = hints
        self._has_begun = False

    def __call__(self, image: ImageSource, depth: int = 8) -> Image.Image | np.ndarray:
        """Colorize the next image.

        Args:
            image: path, URL, bytes, PIL image, array or tensor, see `image_io.load_image`.
            depth: 8 for a PIL image, 16 for an array (Ho, Wo, 3 or 4) of uint16.

        Returns:
            The result, as from the pipeline.

        Raises:
            image_io.ImageError: if the image cannot be read; the series continues without it.
        """
        if not self._has_state:
            return self._colorize(image, self._reference_tokens, depth, self._hints_of_first())
        image = load_image(image, keep_16_bits=True)
        thumbnail = thumbnail_of(load_image(image))
        if is_blank(thumbnail):  # nothing to compare with or take colors from
            return self._colorize(image, self._reference_tokens, depth)
        scene, hints = self._scene, self._hints_of_first()
        cut = scene is None or is_cut(scene.thumbnail, thumbnail)
        continues = scene is not None and not (cut and self._follow_scenes)
        reference = scene.reference if continues else self._reference_from(image, hints)
        result = self._colorize(image, reference, depth, hints)
        if self._propagate and not cut:
            result = _propagate(scene.last, result)
        last = torch.from_numpy(np.array(result)) if self._propagate else None
        self._scene = _Scene(thumbnail, reference, last)
        return result

    def strips(self, image: ImageSource, depth: int = 8) -> Strips:
        """Colorize the next image in strips, computed as they are taken if no image has a state.

        Args:
            image, depth: see `__call__`.

        Raises:
            image_io.ImageError: if the image cannot be read; the series continues without it.
        """
        if self._has_state:
            return Strips.from_image(self(image, depth))
        return self._pipe.strips(
            image,
            hints=self._hints_of_first(),
            reference_tokens=self._reference_tokens,
            depth=depth,
            **self._arguments,
        )

    @property
    def _has_state(self) -> bool:
        """Whether results depend on earlier images."""
        return self._from_first or self._propagate

    def _hints_of_first(self) -> Any:
        """The hints, but only the first time."""
        hints = None if self._has_begun else self._hints
        self._has_begun = True
        return hints

    def _reference_from(self, image: Image.Image, hints: Any) -> Tokens | None:
        """The reference of a scene whose first image is `image`."""
        if not self._from_first:
            return self._reference_tokens
        return self._pipe.encode_reference(self._colorize(image, None, hints=hints))

    def _colorize(
        self, image: ImageSource, reference: Tokens | None, depth: int = 8, hints: Any = None
    ) -> Image.Image | np.ndarray:
        return self._pipe(
            image, hints=hints, reference_tokens=reference, depth=depth, **self._arguments
        )

    def state(self) -> dict[str, torch.Tensor]:
        """Return everything that the next result depends on, as `load_state` takes it.

        It can be saved as a safetensors file. It is empty before the first image, and if results
        do not depend on earlier images.
        """
        if self._scene is None:
            return {}
        reference = {f"reference.{i}": level for i, level in enumerate(self._scene.reference or ())}
        last = {} if self._scene.last is None else {"last": self._scene.last}
        tensors = {"thumbnail": self._scene.thumbnail, **reference, **last}
        return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Continue, bit-exact, from the state of a series with the same settings.

        Args:
            state: from `state`; an empty one resets the series.
        """
        self._scene, self._has_begun = None, bool(state)
        if state:
            levels = sum(name.startswith("reference.") for name in state)
            reference = tuple(state[f"reference.{i}"].to(self._pipe.device) for i in range(levels))
            self._scene = _Scene(state["thumbnail"], reference or None, state.get("last"))

    def settings(self) -> dict[str, Any]:
        """Return the settings that results depend on, as JSON values.

        Model and references are identified by the result of a small test image.
        """
        appearance = {name: value for name, value in self._arguments.items() if name not in _SIZES}
        levels = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
        test = Image.fromarray(levels).resize((64, 64), Image.Resampling.BICUBIC)
        reference = (
            self._pipe.encode_reference(test) if self._from_first else self._reference_tokens
        )
        result = self._pipe(test, reference_tokens=reference, scale=1, **appearance)
        return {
            "reference": FIRST if self._from_first else self._reference_tokens is not None,
            "propagate": self._propagate,
            "follow_scenes": self._follow_scenes,
            "hints": repr(self._hints),
            "arguments": {name: repr(value) for name, value in sorted(self._arguments.items())},
            "model or reference": hashlib.sha256(result.tobytes()).hexdigest(),
        }


def _propagate(
    previous: torch.Tensor, result: Image.Image | np.ndarray
) -> Image.Image | np.ndarray:
    """Apply `propagate_colors` to a result; its transparency and depth stay."""
    levels = np.array(result)
    white = np.iinfo(levels.dtype).max
    colors = propagate_colors(_to_rgb(previous.numpy()), _to_rgb(levels))
    levels[..., :3] = (colors.permute(1, 2, 0).numpy() * white).round()
    return Image.fromarray(levels) if isinstance(result, Image.Image) else levels


def _to_rgb(levels: np.ndarray) -> torch.Tensor:
    """Convert (H, W, 3 or 4) uint8 or uint16 to sRGB in [0, 1], (3, H, W)."""
    scaled = levels[..., :3].astype(np.float32) / np.iinfo(levels.dtype).max
    return torch.from_numpy(scaled).permute(2, 0, 1)
