"""`ScsColorizeSrPipeline`, the task `scs-colorize-sr`: images in, larger color images out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import Pipeline
from transformers.utils import logging

from .attention import Tokens
from .call_arguments import (
    OUTPUT_TYPE_OF_DEPTH,
    Default,
    OutputSize,
    as_row,
    check_arguments,
    check_count,
    is_table,
    with_hints,
    with_own,
)
from .configuration_scsnet import check_takes_references
from .decoding import split_alpha
from .image_io import ImageSource, load_image
from .image_processing_scsnet import (
    Hints,
    append_alpha,
    drop_alpha,
    has_colors,
    read_hints,
    resize_alpha,
)
from .network_runner import EncodedImage, NetworkRunner, join_tokens
from .pixel_mapping import PixelGrid
from .tiling import Strips, explain_memory_errors

logger = logging.get_logger(__name__)

TASK = "scs-colorize-sr"

# What config.json says of the pipeline; the model's `save_pretrained` writes it.
CUSTOM_PIPELINES = {
    TASK: {
        "impl": "pipeline_scsnet.ScsColorizeSrPipeline",
        "pt": ["AutoModelForImageToImage"],
        "type": "image",
    }
}

# Arguments of a call that concern the color branch; the others concern decoding.
_ENCODING_ARGUMENTS = ("reference_tokens", "reference_strength", "return_attention")

# Keyword arguments of `pipeline(...)` that transformers passes on and that mean nothing here.
_LOADING_ARGUMENTS = {"local_files_only", "revision", "token", "trust_remote_code", "cache_dir"}


@dataclass(frozen=True)
class _Source:
    """A preprocessed source. A class of its own, because transformers collates plain tensors."""

    pixel_values: torch.Tensor  # (1, 1, H, W)
    output_size: tuple[int, int]  # Ho, Wo
    alpha: Image.Image | None
    references: tuple[torch.Tensor, ...]  # those of this source alone, each (1, 3, Hr, Wr)
    hints: Hints | None

    @property
    def shapes(self) -> tuple[torch.Size, ...]:
        """Sources with the same shapes run in one batch."""
        tensors = self.pixel_values, *self.references, *(self.hints or ())
        return tuple(tensor.shape for tensor in tensors)


class ScsColorizeSrPipeline(Pipeline):
    """Colorize low-resolution gray images and enlarge them by any decimal factor.

    Args:
        model: an `SCSNetForImageToImage`. On a CPU, its weights are stored in the memory format
            `torch.channels_last` from then on; their values do not change.
        *args, **kwargs: of `transformers.Pipeline`, and defaults of all arguments of a call; a
            list as `reference` gives several references for every image.

    Example:
        >>> from transformers import pipeline
        >>> import scsnet_hf
        >>> pipe = pipeline("scs-colorize-sr")
        >>> pipe("old.jpg", scale=2.7).save("new.png")
        >>> pipe("old.jpg", reference="modern.jpg", size=(1920, 1080)).size
        (1920, 1080)

        Many images with one reference, which is encoded once:

        >>> tokens = pipe.encode_reference("modern.jpg")
        >>> for image in pipe((str(path) for path in paths), reference_tokens=tokens):
        ...     image.show()
    """

    _load_processor = False
    _load_image_processor = True
    _load_video_processor = False
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, model, *args, reference=None, **kwargs):
        _check_batches(kwargs.get("batch_size"), kwargs.get("num_workers"))
        super().__init__(model, *args, **kwargs)
        offloaded = any(parameter.is_meta for parameter in self.model.parameters())
        if self.device.type == "cpu" and not offloaded:
            # There, convolutions of few channels take half the time in this order.
            self.model.to(memory_format=torch.channels_last)
        if reference is not None:
            tokens = self._tokens_of(reference, self._forward_params)
            self._forward_params["reference_tokens"] = tokens

    def __call__(
        self,
        images,
        reference=None,
        reference_strength: float = Default(1.0),
        scale: float | None = None,
        size: tuple[int, int] | None = None,
        long_side: int | None = None,
        saturation: float = Default(1.0),
        luminance: str = Default("network"),
        tile_size: int | str | None = Default("auto"),
        batch_size: int | None = None,
        return_attention: bool = Default(False),
        depth: int = Default(8),
        hints=None,
        reference_tokens: Tokens | None = None,
        num_workers: int | None = None,
        timeout: float | None = None,
    ) -> Image.Image | np.ndarray | dict | list | Iterator:
        """Colorize and enlarge one image or many.

        Args:
            images: an image (path, URL, bytes, PIL image, numpy array or tensor, see
                `image_io.load_image`), a list of them, or a generator or data set, which is
                consumed lazily. Items may be dicts with the keys `image`, `reference` and `hints`.
            reference: an image whose colors to use, for all images. For a list of images also a
                list with one entry for each: an image, None, or a list of several. For one image
                also a list of several references for it.
            reference_strength: how much the colors follow reference and hints, 0 (automatic) to 1.
            scale: magnification, 0.5 to 16; 4 unless `size` or `long_side` is given. The output
                has exactly round(W * scale) x round(H * scale) pixels, by Python's `round`.
            size: exact output size (width, height) in pixels, instead of `scale`.
            long_side: exact longer side of the output in pixels, instead of `scale`; the aspect
                ratio is kept.
            saturation: factor on the chroma, 0 (gray) to 4.
            luminance: `"network"`, or `"source"` to keep the lightness of the source.
            tile_size: side of a tile in source pixels; `"auto"` chooses it by the free memory,
                None decodes without tiles.
            batch_size: number of images in a batch; 1 unless set in `pipeline(...)`. Neighbors of
                one size run together.
            return_attention: return dicts with `image`, `attentions` and `valves` (see
                `EncodedImage`) instead of images.
            depth: bits per channel: 8 for PIL images; 16 for arrays (Ho, Wo, 3 or 4) of uint16,
                since Pillow has no colors of 16 bits.
            hints: what color things are, alone or with a reference: a list of (x, y, color), x and
                y in pixels of the upright source, the color as Pillow's `ImageColor` takes it or
                (R, G, B) from 0 to 255, of which hue and chroma count; or an image of the source's
                size with strokes, transparent elsewhere. For a list of images one entry for each,
                or None.
            reference_tokens: what `encode_reference` returns, instead of `reference`.
            num_workers: processes that read the images of a generator or data set; none by default.
            timeout: seconds that the download of an image may take; 120 by default.

        Returns:
            A PIL image of mode RGB, or RGBA if the source has transparency; a list for a list, an
            iterator for a generator or data set. 16 bits of a gray source are used.

        Raises:
            ValueError: if an argument is out of its range, two of scale, size and long_side are
                given, hints are wrong, or a model takes no reference and hints but gets some.
            TypeError: if an argument is unknown, or an image is of an unknown type.
            image_io.ImageError: a ValueError; if an image cannot be read. It names the image.
            NotFiniteError: an ArithmeticError; if the network's values are not finite in float32.
            MemoryError: if memory does not suffice, even for the smallest tiles.
        """
        arguments = {
            "reference_strength": reference_strength,
            "scale": scale,
            "size": size,
            "long_side": long_side,
            "saturation": saturation,
            "luminance": luminance,
            "tile_size": tile_size,
            "return_attention": return_attention,
            "depth": depth,
            "reference_tokens": reference_tokens,
            "timeout": timeout,
        }
        check_arguments(**arguments)
        _check_batches(batch_size, num_workers)
        if isinstance(images, list | tuple):
            images = list(images)
            if isinstance(reference, list | tuple):
                images, reference = with_own("reference", images, reference), None
            if hints is not None:
                images = with_own("hints", images, hints)
        elif hints is not None:
            images = with_hints(images, hints)
        elif is_table(images):
            images = (image for image in images)
        if isinstance(images, list) and not images:
            return []
        if reference is not None:
            arguments["reference_tokens"] = self._tokens_of(reference, arguments)
        return super().__call__(images, num_workers=num_workers, batch_size=batch_size, **arguments)

    def strips(self, image, reference=None, hints=None, **arguments) -> Strips:
        """Colorize one image in horizontal strips, which are computed as they are consumed.

        So the result need not fit into memory.

        Args:
            image: one image as for a call, or a dict with the keys `image`, `reference`, `hints`.
            reference: an image, or a list of several, whose colors to use.
            hints: as for a call.
            **arguments: of a call, except `batch_size`, `num_workers` and `return_attention`.

        Raises:
            The errors of a call; NotFiniteError and MemoryError while strips are consumed.
        """
        if "return_attention" in arguments:
            raise TypeError("return_attention: strips come without maps; call the pipeline")
        if reference is not None:
            arguments["reference_tokens"] = self._tokens_of(reference, arguments)
        if hints is not None:
            image = with_hints(image, hints)
        preprocess, forward, _ = self._sanitize_parameters(**arguments)
        source = self.preprocess(image, **{**self._preprocess_params, **preprocess})["source"]
        forward = {**self._forward_params, **forward}
        encoding = {name: forward.pop(name) for name in _ENCODING_ARGUMENTS if name in forward}
        (encoded,) = self._encode_sources([source], **encoding)
        return self._decode(source, encoded, **forward)

    def encode_color(
        self,
        image: ImageSource,
        reference: ImageSource | list[ImageSource] | None = None,
        reference_strength: float = 1.0,
        return_attention: bool = False,
        hints=None,
    ) -> EncodedImage:
        """Run the color branch on an image, so that it can be decoded at several sizes.

        Args:
            image: an image as for a call.
            reference: an image, or a list of several, whose colors to use.
            reference_strength: 0 (automatic) to 1.
            return_attention: also return attention and valve maps.
            hints: as for a call.

        Raises:
            The errors of a call.
        """
        check_arguments(reference_strength=reference_strength)
        row = {"image": image, "reference": reference, "hints": hints}
        source = self.preprocess(row)["source"]
        (encoded,) = self._encode_sources([source], None, reference_strength, return_attention)
        return encoded

    def decode_window(self, encoded: EncodedImage, grid: PixelGrid) -> torch.Tensor:
        """Decode a window of the output of an encoded image.

        Args:
            encoded: result of `encode_color`.
            grid: the window, without an `origin`.

        Returns:
            (1, 3, *grid.length) normalized Lab, float32, on the pipeline's device.

        Raises:
            NotFiniteError: if the network's values are not finite in float32.
        """
        return self._network.decode_window(encoded, grid)

    def embed_image(self, image: ImageSource) -> torch.Tensor:
        """Describe what an image shows by a vector of length 1, see `model.embed_images`.

        Args:
            image: an image as for a call, gray or color; only its lightness counts.

        Returns:
            (D,) float32, on the CPU.

        Raises:
            The errors of a call.
        """
        pixel_values = self.image_processor.source_tensor(load_image(image, keep_16_bits=True))
        return self._network.embed_images(pixel_values)[0].cpu()

    def encode_reference(self, reference: ImageSource | list[ImageSource]) -> Tokens:
        """Encode a reference image, or a list of several, to be used in many calls.

        Returns:
            The argument `reference_tokens` of a call, and of `model.encode_color`.

        Raises:
            ValueError: if the model takes no references.
            image_io.ImageError: if an image cannot be read.
        """
        return self._network.encode_references(self._reference_tensors(reference))

    # What transformers calls

    def _sanitize_parameters(self, **arguments: Any) -> tuple[dict, dict, dict]:
        """Sort the arguments given of a call: for `preprocess`, `_forward` and `postprocess`."""
        given = check_arguments(
            **{name: arguments[name] for name in arguments if name not in _LOADING_ARGUMENTS}
        )
        preprocess = {name: given.pop(name) for name in ("output_size", "timeout") if name in given}
        postprocess = {name: given[name] for name in ("return_attention",) if name in given}
        return preprocess, given, postprocess

    def preprocess(
        self, inputs, output_size: OutputSize | None = None, timeout: float | None = None
    ) -> dict[str, _Source]:
        """Read one image, and its own references and hints if it has some."""
        row = as_row(inputs)
        if "image" not in row:
            raise ValueError(f"a row needs the key 'image', got {', '.join(row) or 'none'}")
        image = load_image(row["image"], keep_16_bits=True, timeout=timeout)
        source_size = image.size
        _, alpha = split_alpha(image)
        image = drop_alpha(image)
        if has_colors(image):
            logger.warning_once("A source has colors: only its lightness (CIE L) is used.")
        height, width = (output_size or OutputSize()).size_for(image)
        if height < image.height or width < image.width:
            # The network never sees more pixels than the output has: antialiased, and less work.
            smaller = (min(width, image.width), min(height, image.height))
            image = image.resize(smaller, Image.Resampling.BICUBIC)
        reference, hints = row.get("reference"), row.get("hints")
        references = () if reference is None else self._reference_tensors(reference, timeout)
        if hints is not None:
            check_takes_references(self.model.config)
            if not self.model.config.color_hints:
                logger.warning_once(
                    "This model has not learned color hints and hardly follows them: train it with "
                    "`train.py --hints`."
                )
            working_size = self.model.working_size((image.height, image.width))
            hints = read_hints(hints, source_size, image.size, working_size, timeout)
        with explain_memory_errors(f"for a source of {image.width}x{image.height}"):
            pixel_values = self.image_processor.source_tensor(image)
        return {"source": _Source(pixel_values, (height, width), alpha, references, hints)}

    def _forward(self, inputs, **arguments) -> dict:
        """Run one source, or a list of them; neighbors of one size as one batch, in order."""
        sources = inputs["source"]
        if isinstance(sources, _Source):
            return {"result": self._run([sources], **arguments)[0]}
        batches = groupby(sources, key=lambda source: source.shapes)
        return {
            "result": [
                result for _, batch in batches for result in self._run(list(batch), **arguments)
            ]
        }

    def postprocess(
        self, outputs, return_attention: bool = False
    ) -> Image.Image | np.ndarray | dict:
        """Return the result of one source."""
        result = outputs["result"]
        return result if return_attention else result["image"]

    # Encoding and decoding

    @explain_memory_errors("for an image")
    def _run(
        self,
        sources: list[_Source],
        reference_tokens: Tokens | None = None,
        reference_strength: float = 1.0,
        return_attention: bool = False,
        **decoding,
    ) -> list[dict[str, Any]]:
        """Run sources of the same shapes."""
        encoded = self._encode_sources(
            sources, reference_tokens, reference_strength, return_attention
        )
        return [
            {
                "image": self._decode(source, one, **decoding).to_image(),
                "attentions": one.attentions,
                "valves": one.valves,
            }
            for source, one in zip(sources, encoded, strict=True)
        ]

    def _encode_sources(
        self,
        sources: list[_Source],
        reference_tokens: Tokens | None = None,
        reference_strength: float = 1.0,
        return_attention: bool = False,
    ) -> list[EncodedImage]:
        """Run the color branch on a batch of sources of the same shapes.

        References of a source take precedence over `reference_tokens`, which all others share;
        hints are added to either.
        """
        if sources[0].references:
            encoded = [self._network.encode_references(source.references) for source in sources]
            reference_tokens = tuple(torch.cat(level) for level in zip(*encoded, strict=True))
        pixel_values = torch.cat([source.pixel_values for source in sources])
        if sources[0].hints:
            hints = map(torch.cat, zip(*(source.hints for source in sources), strict=True))
            hint_tokens = self._network.encode_hints(pixel_values, *hints)
            reference_tokens = join_tokens(reference_tokens, hint_tokens)
        color = self._network.encode_color(
            pixel_values,
            reference_tokens,
            reference_strength,
            return_attention,
        )
        return [
            EncodedImage(
                source.pixel_values,
                color.features[index : index + 1],
                source.references,
                tuple(level[index : index + 1].cpu() for level in color.attentions),
                tuple(level[index : index + 1].cpu() for level in color.valves),
            )
            for index, source in enumerate(sources)
        ]

    def _tokens_of(self, reference, arguments: dict) -> Tokens:
        """Encode the reference of a call with these other arguments."""
        if arguments.get("reference_tokens") is not None:
            raise ValueError("give only one of reference and reference_tokens")
        timeout = arguments.get("timeout") or self._preprocess_params.get("timeout")
        tensors = self._reference_tensors(reference, timeout)
        return self._network.encode_references(tensors)

    def _reference_tensors(self, reference, timeout=None) -> tuple[torch.Tensor, ...]:
        """Read one image or a list of several; each becomes (1, 3, Hr, Wr)."""
        several = reference if isinstance(reference, list | tuple) else [reference]
        images = (load_image(one, timeout=timeout) for one in several)
        return tuple(self.image_processor.reference_tensor(image) for image in images)

    def _decode(
        self,
        source: _Source,
        encoded: EncodedImage,
        tile_size: int | str | None = "auto",
        saturation: float = 1.0,
        luminance: str = "network",
        depth: int = 8,
    ) -> Strips:
        """Decode one source to its output size, with its transparency."""
        pixel_values, output_size = source.pixel_values, source.output_size
        keeps_lightness = luminance == "source" or output_size == tuple(pixel_values.shape[-2:])
        if keeps_lightness and self._network.color_size(output_size) != output_size:
            strips = self._network.decode_colors(encoded, output_size, tile_size)
            luminance, pixel_values = "network", None  # the lightness is the source's already
        else:
            strips = self._network.decode_in_tiles(encoded, output_size, tile_size)
        arrays = self.image_processor.post_process_strips(
            strips, output_size, saturation, luminance, pixel_values, OUTPUT_TYPE_OF_DEPTH[depth]
        )
        size, dtype, channels = source.output_size[::-1], np.dtype(f"uint{depth}"), 3
        if source.alpha is not None:
            arrays, channels = append_alpha(arrays, resize_alpha(source.alpha, size)), 4
        return Strips(size, channels, dtype, _with_explained_memory_errors(arrays, size))

    @property
    def _network(self) -> NetworkRunner:
        return NetworkRunner(self.model, self.device)


def _check_batches(batch_size: int | None, num_workers: int | None) -> None:
    if batch_size is not None:
        check_count("batch_size", batch_size)
    if num_workers is not None:
        check_count("num_workers", num_workers, low=0)


def _with_explained_memory_errors(
    strips: Iterable[np.ndarray], size: tuple[int, int]
) -> Iterator[np.ndarray]:
    with explain_memory_errors("for a result of {}x{}".format(*size)):
        yield from strips
