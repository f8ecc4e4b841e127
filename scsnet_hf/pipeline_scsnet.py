"""`ScsColorizeSrPipeline`, the task `scs-colorize-sr`: images in, larger color images out."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby, islice

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageToImage, Pipeline
from transformers.utils import logging

from .attention import FusedFeatures, Tokens
from .decoding import resize_alpha, split_alpha, drop_alpha
from .image_io import load_image
from .image_processing_scsnet import LUMINANCES
from .modeling_scsnet import DEFAULT_SCALE, output_size_of
from .tiling import Strips, decode_in_tiles, explain_memory_errors

logger = logging.get_logger(__name__)

TASK = "scs-colorize-sr"
SMALLEST_SCALE, LARGEST_SCALE = 0.5, 16.0

DEPTHS = {8: "np", 16: "np16"}  # bits a channel, and the image processor's name for it

# Arguments of a call that the color branch takes.
_OF_COLOR = ("reference_tokens", "reference_strength", "return_attention")

_NOT_GIVEN = object()

# Keyword arguments of `pipeline(...)` that transformers hands on, and that mean nothing here.
_LOADING_ARGUMENTS = {"local_files_only", "revision", "token", "trust_remote_code", "cache_dir"}


class NotFiniteError(ArithmeticError):
    """The network computed what is no number, so there is no image."""


@dataclass(frozen=True)
class OutputSize:
    """How large the output is to be: one of the three, or magnification 4."""

    scale: float | None = None
    size: tuple[int, int] | None = None  # width, height
    long_side: int | None = None

    def __post_init__(self):
        given = {name: value for name, value in vars(self).items() if value is not None}
        if len(given) > 1:
            raise ValueError(
                f"give only one of scale, size and long_side, not {' and '.join(given)}"
            )
        if self.scale is not None:
            _check_scale(self.scale)
        if self.size is not None:
            if len(tuple(self.size)) != 2:
                raise ValueError(f"size={self.size!r}: must be (width, height)")
            for side in self.size:
                _check_pixels("size", side)
        if self.long_side is not None:
            _check_pixels("long_side", self.long_side)

    def of(self, image: Image.Image) -> tuple[int, int]:
        """(Ho, Wo) for a source image."""
        if self.size is not None:
            width, height = self.size
            return height, width
        source = (image.height, image.width)
        if self.long_side is not None:
            height, width = output_size_of(source, self.long_side / max(source))
            return height, width
        return output_size_of(source, DEFAULT_SCALE if self.scale is None else self.scale)


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_scale(scale) -> None:
    if not _is_number(scale) or not SMALLEST_SCALE <= scale <= LARGEST_SCALE:
        raise ValueError(
            f"scale={scale!r}: must be a number from {SMALLEST_SCALE:g} to {LARGEST_SCALE:g}"
        )


def _check_pixels(name: str, value) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}: {value!r} must be a whole number of pixels, 1 or more")


def _check_range(name: str, value, low: float, high: float) -> None:
    if not _is_number(value) or not low <= value <= high:
        raise ValueError(f"{name}={value!r}: must be a number from {low:g} to {high:g}")


@dataclass(frozen=True)
class _Job:
    """One image on its way through the pipeline; opaque to transformers' collation."""

    pixel_values: torch.Tensor  # (1, 1, H, W)
    output_size: tuple[int, int]
    alpha: Image.Image | None
    references: list[torch.Tensor] = field(default_factory=list)  # each (1, 3, Hr, Wr)
    image: Image.Image | np.ndarray | None = None  # the result
    attentions: Tokens = ()
    valves: Tokens = ()


class ScsColorizeSrPipeline(Pipeline):
    """Colorizes low-resolution gray images and enlarges them by any decimal factor.

    Example:
        >>> pipe = pipeline("scs-colorize-sr")
        >>> pipe("old.jpg", scale=2.7).save("new.png")
        >>> pipe("old.jpg", reference="modern.jpg", size=(1920, 1080)).size
        (1920, 1080)

    Args:
        model: an `SCSNetForImageToImage`. On a CPU its weights, which keep their values, are stored
            in the order `torch.channels_last` from now on.
        *args, **kwargs: those of any pipeline, and defaults of the arguments of a call.
    """

    _load_processor = False
    _load_image_processor = True
    _load_video_processor = False
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, model, *args, **kwargs):
        super().__init__(model, *args, **kwargs)
        if self.device.type == "cpu":
            # Narrow convolutions take half the time there where a pixel's channels lie together.
            self.model.to(memory_format=torch.channels_last)

    def __call__(
        self, images, reference=None, **kwargs
    ) -> Image.Image | np.ndarray | dict | list | Iterator:
        """Colorize and enlarge.

        Args:
            images: an image (path, URL, PIL, numpy array, tensor, bytes), a list of them, or a
                generator or data set, which is worked through lazily. Rows may be dicts with the
                keys `image` and `reference`.
            reference: an image whose colors to use. One image for all images; for a list of
                images also a list with one entry (or None, or a list) for each; for one image also
                a list of several references for it.
            reference_strength: 0 (automatic) to 1.
            scale: magnification, 0.5 to 16; 4 unless `size` or `long_side` is given. The output is
                exactly round(W p) x round(H p), by Python's round.
            size: exact output size (width, height), instead.
            long_side: exact long side of the output in pixels, aspect ratio kept, instead.
            saturation: factor on the colors, 0 (gray) to 4.
            luminance: "network", or "source" to keep the source's own lightness.
            tile_size: source pixels a side of a tile, "auto", or None for no tiles.
            batch_size: images in one go; those of one size run together.
            return_attention: return dicts with `image`, `attentions` and `valves` instead of
                images.
            depth: bits a channel: 8 for images of Pillow; 16 for arrays (Ho, Wo, 3 or 4) of
                uint16, since Pillow has no such colors.

        Returns:
            A PIL image (RGB, or RGBA where the source has transparency); a list for a list, an
            iterator for a generator or data set. Gray sources of 16 bits are used as such.

        Raises:
            ValueError: on an argument out of its range, or two of scale, size and long_side.
            TypeError: on an unknown argument.
            image_io.ImageError: a ValueError that names the image that cannot be read.
            NotFiniteError: an ArithmeticError, if the network computes what is not finite, also in
                float32.
        """
        if isinstance(images, list | tuple):
            images = list(images)
            if isinstance(reference, list | tuple):
                images, reference = _with_own_references(images, reference), None
        elif _is_table(images):
            images = iter(images)
        if isinstance(images, list) and not images:
            self._sanitize_parameters(**kwargs)
            return []
        if reference is not None:
            kwargs["reference_tokens"] = self.encode_reference(reference)
        return super().__call__(images, **kwargs)

    def strips(self, image, reference=None, **kwargs) -> Strips:
        """As a call for one image, whose result is computed while its strips are taken.

        So the result need not fit into memory.

        Args:
            image: one image, as a call takes it, or a dict with the keys `image` and `reference`.
            reference: an image, or a list of several for it.
            **kwargs: of a call, but for `batch_size` and `return_attention`.

        Raises:
            As a call does, NotFiniteError and MemoryError while strips are taken.
        """
        if "return_attention" in kwargs:
            raise TypeError("return_attention: strips come without maps; call the pipeline")
        if reference is not None:
            kwargs["reference_tokens"] = self.encode_reference(reference)
        preprocess, forward, _ = self._sanitize_parameters(**kwargs)
        (job,) = self.preprocess(image, **{**self._preprocess_params, **preprocess}).values()
        arguments = {**self._forward_params, **forward}
        of_color = {name: arguments.pop(name) for name in _OF_COLOR if name in arguments}
        color = self._encode_color([job], **of_color)
        return self._strips_of(job, color.features, **arguments)

    def _sanitize_parameters(
        self,
        scale=None,
        size=None,
        long_side=None,
        reference_tokens=None,
        reference_strength=None,
        tile_size=_NOT_GIVEN,
        return_attention=None,
        saturation=None,
        luminance=None,
        depth=None,
        **unknown,
    ):
        unknown = {name for name in unknown if name not in _LOADING_ARGUMENTS}
        if unknown:
            raise TypeError(
                f"unknown argument {', '.join(sorted(unknown))}; accepted are reference, "
                "reference_strength, scale, size, long_side, saturation, luminance, tile_size, "
                "batch_size, return_attention and depth"
            )
        output_size = OutputSize(scale, size if size is None else tuple(size), long_side)
        if reference_strength is not None:
            _check_range("reference_strength", reference_strength, 0, 1)
        if saturation is not None:
            _check_range("saturation", saturation, 0, 4)
        if luminance is not None and luminance not in LUMINANCES:
            raise ValueError(f"luminance={luminance!r}: choose one of {', '.join(LUMINANCES)}")
        if depth not in (None, *DEPTHS):
            raise ValueError(f"depth={depth!r}: choose 8 or 16 bits a channel")
        forward = {
            "reference_tokens": reference_tokens,
            "reference_strength": reference_strength,
            "return_attention": return_attention,
            "saturation": saturation,
            "luminance": luminance,
            "depth": depth,
        }
        post = {"return_attention": return_attention}
        given = [{k: v for k, v in kind.items() if v is not None} for kind in (forward, post)]
        if tile_size is not _NOT_GIVEN:  # None means no tiles
            if tile_size not in ("auto", None):
                _check_pixels("tile_size", tile_size)
            given[0]["tile_size"] = tile_size
        return {} if output_size == OutputSize() else {"output_size": output_size}, *given

    def preprocess(self, inputs, output_size: OutputSize | None = None) -> dict[str, _Job]:
        """Read one image, and its own reference where it comes with one."""
        reference = None
        if isinstance(inputs, Mapping):
            if "image" not in inputs:
                raise ValueError(f"a row needs the key 'image', got {', '.join(inputs) or 'none'}")
            inputs, reference = inputs["image"], inputs.get("reference")
        image = load_image(inputs, keep_16_bits=True)
        _, alpha = split_alpha(image)
        image = drop_alpha(image)
        if _has_colors(image):
            logger.warning_once("A source has colors: only its lightness (CIE L) is used.")
        height, width = (output_size or OutputSize()).of(image)
        if height < image.height or width < image.width:
            # The network never sees more pixels than the output has: antialiased, and less work.
            smaller = (min(width, image.width), min(height, image.height))
            image = image.resize(smaller, Image.Resampling.BICUBIC)
        references = [] if reference is None else self._reference_tensors(reference)
        with explain_memory_errors(f"for a source of {image.width}x{image.height}"):
            source = self.image_processor.source_tensor(image)
        return {"job": _Job(source, (height, width), alpha, references)}

    def _forward(self, inputs, **kwargs) -> dict:
        jobs = inputs["job"]
        if isinstance(jobs, _Job):
            return {"job": self._run([jobs], **kwargs)[0]}
        # Neighbors of one size run as one batch; order is kept.
        groups = groupby(jobs, key=lambda job: (job.pixel_values.shape, _reference_shapes(job)))
        return {"job": [job for _, group in groups for job in self._run(list(group), **kwargs)]}

    @explain_memory_errors("for an image")
    def _run(
        self,
        jobs: list[_Job],
        reference_tokens: Tokens | None = None,
        reference_strength: float = 1.0,
        return_attention: bool = False,
        **arguments,
    ) -> list[_Job]:
        """Run jobs of one source size, all with references of the same sizes."""
        color = self._encode_color(jobs, reference_tokens, reference_strength, return_attention)
        done = []
        for index, job in enumerate(jobs):
            own = slice(index, index + 1)
            image = self._strips_of(job, color.features[own], **arguments).to_image()
            attentions, valves = (
                tuple(level[own].cpu() for level in maps)
                for maps in (color.attentions, color.valves)
            )
            done.append(replace(job, image=image, attentions=attentions, valves=valves))
        return done

    @torch.no_grad()
    @explain_memory_errors("to find colors")
    def _encode_color(
        self,
        jobs: list[_Job],
        reference_tokens: Tokens | None = None,
        reference_strength: float = 1.0,
        return_attention: bool = False,
    ) -> FusedFeatures:
        """F_color of jobs of one source size."""
        if jobs[0].references:
            encoded = [self._encode(job.references) for job in jobs]
            reference_tokens = tuple(torch.cat(level) for level in zip(*encoded, strict=True))
        pixel_values = torch.cat([job.pixel_values for job in jobs]).to(self.device)

        def encode(model) -> FusedFeatures:
            tokens = reference_tokens and tuple(level.to(model.dtype) for level in reference_tokens)
            color = model.encode_color(
                pixel_values,
                tokens,
                reference_strength=reference_strength,
                output_attentions=return_attention,
            )
            _finite(color.features)
            return color

        return self._in_finite_numbers(encode)

    def _strips_of(
        self,
        job: _Job,
        color_features: torch.Tensor,
        tile_size: int | str | None = "auto",
        saturation: float = 1.0,
        luminance: str = "network",
        depth: int = 8,
    ) -> Strips:
        """The result of one job, with its transparency."""
        arrays = self.image_processor.post_process_strips(
            self._finite_strips(job, color_features, tile_size),
            job.output_size,
            saturation,
            luminance,
            job.pixel_values,
            DEPTHS[depth],
        )
        size, dtype, channels = job.output_size[::-1], np.dtype(f"uint{depth}"), 3
        if job.alpha is not None:
            arrays, channels = _with_alpha(arrays, resize_alpha(job.alpha, size)), 4
        return Strips(size, channels, dtype, _with_clear_memory_errors(arrays, size))

    def _finite_strips(
        self, job: _Job, color_features: torch.Tensor, tile_size: int | str | None
    ) -> Iterator[torch.Tensor]:
        """Normalized Lab in strips, from the first on that is not finite in float32."""
        pixel_values = job.pixel_values.to(self.device)

        def by(model) -> Iterator[torch.Tensor]:
            color = color_features.to(model.dtype)
            strips = decode_in_tiles(model, pixel_values, color, job.output_size, tile_size)
            return map(_finite, strips)

        done = 0
        try:
            for strip in by(self.model):
                yield strip
                del strip  # or it would still be there while the next one is made
                done += 1
        except NotFiniteError as error:
            yield from islice(by(self._in_float32(error)), done, None)

    def _in_finite_numbers(self, compute: Callable):
        """`compute(model)`; where that is not finite, once more in float32."""
        try:
            return compute(self.model)
        except NotFiniteError as error:
            return compute(self._in_float32(error))

    def _in_float32(self, error: NotFiniteError):
        """A copy of the model that is in float32; raises the error if the model itself is."""
        if self.model.dtype == torch.float32:
            raise error
        logger.warning_once(
            f"The network's output is not finite in {self.model.dtype}: computed in float32."
        )
        return copy.deepcopy(self.model).float()

    def postprocess(
        self, outputs, return_attention: bool = False
    ) -> Image.Image | np.ndarray | dict:
        """The image of one job."""
        job = outputs["job"]
        if not return_attention:
            return job.image
        return {"image": job.image, "attentions": job.attentions, "valves": job.valves}

    def encode_reference(self, reference) -> Tokens:
        """A reference image, or a list of several, as `model.encode_color` takes it.

        Raises:
            ValueError: if the model takes no references.
            image_io.ImageError: if an image cannot be read.
        """
        return self._encode(self._reference_tensors(reference))

    def _reference_tensors(self, reference) -> list[torch.Tensor]:
        """One image or a list of several to tensors (1, 3, Hr, Wr)."""
        several = reference if isinstance(reference, list | tuple) else [reference]
        return [self.image_processor.reference_tensor(load_image(one)) for one in several]

    @torch.no_grad()
    @explain_memory_errors("to find the colors of references")
    def _encode(self, references: list[torch.Tensor]) -> Tokens:
        """Reference images to one set of tokens per level."""
        encoded = [self._encode_one(one.to(self.device)) for one in references]
        return tuple(torch.cat(level, dim=1) for level in zip(*encoded, strict=True))

    def _encode_one(self, reference: torch.Tensor) -> Tokens:
        def encode(model) -> Tokens:
            return tuple(map(_finite, model.encode_reference(reference)))

        return self._in_finite_numbers(encode)


def _finite(values: torch.Tensor) -> torch.Tensor:
    """The same values; raises NotFiniteError where one is not finite."""
    if not values.sum().isfinite():
        raise NotFiniteError("the network's output is not finite: its weights are damaged")
    return values


def _has_colors(image: Image.Image) -> bool:
    """Whether L, I;16 or RGB is more than gray in three equal channels, seen small."""
    if image.mode != "RGB":
        return False
    small = image.resize((32, 32), Image.Resampling.BOX)
    return np.ptp(np.asarray(small).astype(int), axis=2).mean() > 2


def _with_alpha(strips: Iterable[np.ndarray], alpha: Image.Image) -> Iterator[np.ndarray]:
    """Strips (h, W, 3) with the rows of `alpha`, of mode L, as their last channel."""
    levels, top = np.asarray(alpha), 0
    for strip in strips:
        rows = levels[top : top + len(strip)].astype(strip.dtype)
        yield np.dstack((strip, rows * (np.iinfo(strip.dtype).max // 255)))
        top += len(strip)


def _with_clear_memory_errors(
    strips: Iterable[np.ndarray], size: tuple[int, int]
) -> Iterator[np.ndarray]:
    with explain_memory_errors("for a result of {}x{}".format(*size)):
        yield from strips


def _reference_shapes(job: _Job) -> tuple:
    return tuple(tuple(reference.shape) for reference in job.references)


def _is_table(images) -> bool:
    """A map-style `datasets.Dataset`, which transformers does not take for a data set."""
    return type(images).__module__.startswith("datasets.") and hasattr(images, "column_names")


def _with_own_references(images: list, references: list) -> list[dict]:
    """Rows that pair every image with its reference."""
    if len(references) != len(images):
        raise ValueError(
            f"{len(references)} references for {len(images)} images: give one for all, "
            "or a list with one for each"
        )
    rows = (image if isinstance(image, Mapping) else {"image": image} for image in images)
    return [{**row, "reference": own} for row, own in zip(rows, references, strict=True)]


# What `save_pretrained` writes into config.json as `custom_pipelines`. An Auto class, because the
# Hub's loader looks the name up in transformers; no default, which would be a path of this machine.
ScsColorizeSrPipeline._registered_impl = {
    TASK: {"impl": ScsColorizeSrPipeline, "pt": (AutoModelForImageToImage,), "type": "image"}
}
