"""`Series`: images that belong together, in steady colors."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..attention import Tokens
from ..image_io import ImageSource, load_image
from ..modeling_scsnet import check_takes_references
from ..pipeline_scsnet import ScsColorizeSrPipeline
from ..tiling import Strips
from .color_propagation import hold_colors
from .scenes import is_blank, is_cut, thumbnail_of

FIRST = "first"

_SIZES = ("scale", "size", "long_side")


@dataclass(frozen=True)
class _Scene:
    """What an image hands on to the next one."""

    thumbnail: torch.Tensor  # see scenes.py
    reference: Tokens | None  # for all images of the scene
    last: torch.Tensor | None  # result (H, W, 3 or 4), uint8 or uint16; only where it is needed


class Series:
    """Colorizes images that belong together, one after the other, with steady colors.

    All state lives here; the pipeline has none. Without `reference` and `propagate`, results are
    those of the pipeline. There is no model of motion: see `color_holding` for what is propagated.

    Example:
        >>> series = Series(pipe, reference="first", propagate=True, scale=2)
        >>> for file in sorted(folder.glob("*.png")):
        ...     series(file).save(results / file.name)

    Args:
        pipe: a `scs-colorize-sr` pipeline.
        reference: None, each image is automatic; an image or a list of images, encoded once,
            whose colors all take; or "first": the automatic result of a scene's first image is
            the reference of all of that scene, itself included. (A file of that name is "./first".)
        propagate: where an image shows the same as the one before, colors of its result are mixed
            in. Stops at cuts.
        follow_scenes: begin anew with "first" where a video cuts to another scene. False for an
            album: its first image counts for all.
        **call_arguments: of every call of the pipeline: `scale`, `size`, `saturation` and so on.

    Raises:
        ValueError: on an argument out of its range, or a reference for a model that takes none.
        TypeError: on an unknown argument.
        image_io.ImageError: if a reference cannot be read.
    """

    def __init__(
        self,
        pipe: ScsColorizeSrPipeline,
        reference: ImageSource | list[ImageSource] | None = None,
        propagate: bool = False,
        follow_scenes: bool = True,
        **call_arguments: Any,
    ):
        if "return_attention" in call_arguments:
            raise TypeError("return_attention: a series gives images; call the pipeline for maps")
        pipe._sanitize_parameters(**call_arguments)
        self._pipe = pipe
        self._from_first = isinstance(reference, str) and reference == FIRST
        self._propagate = propagate
        self._follow_scenes = follow_scenes
        self._arguments = call_arguments
        self._given = None  # tokens
        if self._from_first:
            check_takes_references(pipe.model.config)
        elif reference is not None:
            self._given = pipe.encode_reference(reference)
        self._scene: _Scene | None = None

    def __call__(self, image: ImageSource, depth: int = 8) -> Image.Image | np.ndarray:
        """Colorize the next image.

        Args:
            image: as `image_io.load_image` takes it.
            depth: bits a channel, see `ScsColorizeSrPipeline.__call__`.

        Returns:
            What the pipeline returns for one image.

        Raises:
            image_io.ImageError: if it cannot be read; the series goes on as if it were not there.
        """
        if not self._hands_on:
            return self._colorize(image, self._given, depth)
        image = load_image(image, deep=True)
        thumbnail = thumbnail_of(load_image(image))
        if is_blank(thumbnail):  # nothing to take colors from, nor to compare with
            return self._colorize(image, self._given, depth)
        scene = self._scene
        cut = scene is None or is_cut(scene.thumbnail, thumbnail)
        goes_on = scene is not None and not (cut and self._follow_scenes)
        reference = scene.reference if goes_on else self._reference_from(image)
        result = self._colorize(image, reference, depth)
        if self._propagate and not cut:
            result = _with_held_colors(scene.last, result)
        last = torch.from_numpy(np.array(result)) if self._propagate else None
        self._scene = _Scene(thumbnail, reference, last)
        return result

    def strips(self, image: ImageSource, depth: int = 8) -> Strips:
        """As a call; computed while the strips are taken, where nothing is handed on."""
        if self._hands_on:
            return Strips.from_image(self(image, depth))
        return self._pipe.strips(
            image, reference_tokens=self._given, depth=depth, **self._arguments
        )

    @property
    def _hands_on(self) -> bool:
        """Whether results hang on the images before."""
        return self._from_first or self._propagate

    def _reference_from(self, image: Image.Image) -> Tokens | None:
        """The reference of a scene that begins with `image`."""
        if not self._from_first:
            return self._given
        return self._pipe.encode_reference(self._colorize(image, None))

    def _colorize(
        self, image: ImageSource, reference: Tokens | None, depth: int = 8
    ) -> Image.Image | np.ndarray:
        return self._pipe(image, reference_tokens=reference, depth=depth, **self._arguments)

    def state(self) -> dict[str, torch.Tensor]:
        """All that the next result hangs on, for `restore` or a safetensors file.

        Empty before the first image, and where nothing is handed on.
        """
        if self._scene is None:
            return {}
        reference = {f"reference.{i}": level for i, level in enumerate(self._scene.reference or ())}
        last = {} if self._scene.last is None else {"last": self._scene.last}
        tensors = {"thumbnail": self._scene.thumbnail, **reference, **last}
        return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from a `state` of a series with the same settings, to the same bits; {} begins."""
        self._scene = None
        if state:
            levels = sum(name.startswith("reference.") for name in state)
            reference = tuple(state[f"reference.{i}"].to(self._pipe.device) for i in range(levels))
            self._scene = _Scene(state["thumbnail"], reference or None, state.get("last"))

    def settings(self) -> dict[str, Any]:
        """What tells this series from others, as JSON takes it.

        Model and references are told by what becomes of a small test image.
        """
        look = {name: value for name, value in self._arguments.items() if name not in _SIZES}
        levels = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
        test = Image.fromarray(levels).resize((64, 64), Image.Resampling.BICUBIC)
        reference = self._pipe.encode_reference(test) if self._from_first else self._given
        result = self._pipe(test, reference_tokens=reference, scale=1, **look)
        return {
            "reference": FIRST if self._from_first else self._given is not None,
            "propagate": self._propagate,
            "follow_scenes": self._follow_scenes,
            "arguments": {name: repr(value) for name, value in sorted(self._arguments.items())},
            "model or reference": hashlib.sha256(result.tobytes()).hexdigest(),
        }


def _with_held_colors(
    before: torch.Tensor, result: Image.Image | np.ndarray
) -> Image.Image | np.ndarray:
    """`hold_colors` of a result; its transparency and depth stay."""
    levels = np.array(result)
    white = np.iinfo(levels.dtype).max
    held = hold_colors(_rgb(before.numpy()), _rgb(levels)).permute(1, 2, 0).numpy()
    levels[..., :3] = (held * white).round()
    return Image.fromarray(levels) if isinstance(result, Image.Image) else levels


def _rgb(levels: np.ndarray) -> torch.Tensor:
    """(H, W, 3 or 4) uint8 or uint16 to sRGB in [0, 1], (3, H, W)."""
    scaled = levels[..., :3].astype(np.float32) / np.iinfo(levels.dtype).max
    return torch.from_numpy(scaled).permute(2, 0, 1)
