"""Run the parts of the network for inference, in float32 where another number format overflows."""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from transformers.utils import logging

from .attention import FusedFeatures, Tokens
from .pixel_mapping import PixelGrid
from .source_lightness import enlarge_colors, resampled, small_size
from .tiling import decode_in_tiles, decode_window, explain_memory_errors

logger = logging.get_logger(__name__)


class NotFiniteError(ArithmeticError):
    """The network computed values that are not finite, so there is no image."""


@dataclass(frozen=True)
class EncodedImage:
    """A source that has been through the color branch: all that decoding needs, at any size.

    Attributes:
        pixel_values: (1, 1, H, W) normalized L of the source, on the CPU.
        features: F_color (1, C, h, w) at the working size, on the network's device.
        reference_pixel_values: (1, 3, Hr, Wr) normalized Lab of each of its own references.
        attentions: for each pyramid level (1, 1, N, Nr), rows sum to 1; empty unless asked for.
        valves: for each pyramid level (1, 2, h, w) in (0, 1), source valve and reference valve;
            empty unless asked for.
    """

    pixel_values: torch.Tensor
    features: torch.Tensor
    reference_pixel_values: tuple[torch.Tensor, ...] = ()
    attentions: tuple[torch.Tensor, ...] = ()
    valves: tuple[torch.Tensor, ...] = ()


class NetworkRunner:
    """Runs the parts of a network without gradients.

    Each part is computed once more in float32 if its result is not finite, and raises
    NotFiniteError if it is not finite then either. Where memory does not suffice, MemoryError says
    what to do.

    Args:
        model: an `SCSNetForImageToImage` of any number format.
        device: where the model is; tensors are moved there.
    """

    def __init__(self, model, device: torch.device):
        self.model = model
        self.device = device

    @torch.no_grad()
    @explain_memory_errors("to find the colors of references")
    def encode_references(self, references: Iterable[torch.Tensor]) -> Tokens:
        """Encode references (1, 3, Hr, Wr), normalized Lab, as one set of tokens per level."""

        def encode(reference: torch.Tensor) -> Tokens:
            pixel_values = reference.to(self.device)
            return self._run(
                lambda model: tuple(map(_check_finite, model.encode_reference(pixel_values)))
            )

        encoded = [encode(reference) for reference in references]
        return tuple(torch.cat(level, dim=1) for level in zip(*encoded, strict=True))

    @torch.no_grad()
    @explain_memory_errors("for color hints")
    def encode_hints(
        self, pixel_values: torch.Tensor, positions: torch.Tensor, colors: torch.Tensor
    ) -> Tokens:
        """Encode hints on sources (B, 1, H, W), normalized L; see `model.encode_hints`."""
        inputs = [tensor.to(self.device) for tensor in (pixel_values, positions, colors)]
        return self._run(lambda model: tuple(map(_check_finite, model.encode_hints(*inputs))))

    @torch.no_grad()
    @explain_memory_errors("to find colors")
    def encode_color(
        self,
        pixel_values: torch.Tensor,
        reference_tokens: Tokens | None = None,
        reference_strength: float = 1.0,
        return_attention: bool = False,
    ) -> FusedFeatures:
        """Run the color branch on sources (B, 1, H, W), normalized L; see `model.encode_color`."""
        pixel_values = pixel_values.to(self.device)

        def encode(model) -> FusedFeatures:
            tokens = reference_tokens and tuple(level.to(model.dtype) for level in reference_tokens)
            color = model.encode_color(
                pixel_values,
                tokens,
                reference_strength=reference_strength,
                output_attentions=return_attention,
            )
            _check_finite(color.features)
            return color

        return self._run(encode)

    @torch.no_grad()
    @explain_memory_errors("to describe an image")
    def embed_images(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Describe sources (B, 1, H, W), normalized L, by vectors (B, D); see the model."""
        pixel_values = pixel_values.to(self.device)
        return self._run(lambda model: _check_finite(model.embed_images(pixel_values)))

    @torch.no_grad()
    @explain_memory_errors("for a window of the result")
    def decode_window(self, encoded: EncodedImage, grid: PixelGrid) -> torch.Tensor:
        """Decode a window of the output: (1, 3, *grid.length) normalized Lab, float32."""
        pixel_values = encoded.pixel_values.to(self.device)

        def decode(model) -> torch.Tensor:
            features = encoded.features.to(model.dtype)
            return _check_finite(decode_window(model, pixel_values, features, grid))

        return self._run(decode)

    def decode_in_tiles(
        self, encoded: EncodedImage, output_size: tuple[int, int], tile_size: int | str | None
    ) -> Iterator[torch.Tensor]:
        """Yield strips of the output, in float32 from the first one that is not finite.

        Args:
            encoded: the source.
            output_size: (Ho, Wo).
            tile_size: see `tiling.decode_in_tiles`.

        Yields:
            (1, 3, h, Wo) normalized Lab, float32, on the CPU.
        """
        pixel_values = encoded.pixel_values.to(self.device)

        def decode(model) -> Iterator[torch.Tensor]:
            features = encoded.features.to(model.dtype)
            strips = decode_in_tiles(model, pixel_values, features, output_size, tile_size)
            return map(_check_finite, strips)

        done = 0
        try:
            for strip in decode(self.model):
                yield strip
                del strip  # or it would be kept while the next one is computed
                done += 1
        except NotFiniteError as error:
            yield from islice(decode(self._model_in_float32(error)), done, None)

    def color_size(self, output_size: tuple[int, int]) -> tuple[int, int]:
        """Return the size at which colors are computed where the lightness is the source's."""
        return small_size(output_size, self.model.config.color_size)

    def decode_colors(
        self, encoded: EncodedImage, output_size: tuple[int, int], tile_size: int | str | None
    ) -> Iterator[torch.Tensor]:
        """Decode at `color_size` and enlarge the colors along the source's lightness.

        The arguments and results are those of `decode_in_tiles`.
        """
        source, size = encoded.pixel_values, self.color_size(output_size)
        # Neither side is enlarged: that would only be more work for the network.
        working = resampled(source, tuple(map(min, source.shape[-2:], size)))
        small = replace(encoded, pixel_values=working)
        return enlarge_colors(self.decode_in_tiles(small, size, tile_size), source, output_size)

    def _run(self, compute: Callable) -> Any:
        try:
            return compute(self.model)
        except NotFiniteError as error:
            return compute(self._model_in_float32(error))

    def _model_in_float32(self, error: NotFiniteError):
        """Return a copy of the model in float32; raise `error` if the model itself is."""
        if self.model.dtype == torch.float32:
            raise error
        logger.warning_once(
            f"The network's output is not finite in {self.model.dtype}: computed in float32."
        )
        return copy.deepcopy(self.model).float()


def _check_finite(values: torch.Tensor) -> torch.Tensor:
    """Return the values; raise NotFiniteError if one is not finite."""
    if not values.sum().isfinite():
        raise NotFiniteError("the network's output is not finite: its weights are damaged")
    return values


def join_tokens(tokens: Tokens | None, more: Tokens) -> Tokens:
    """Append tokens of a batch to others, of the same batch or of one that all its items share."""
    if tokens is None:
        return more
    levels = zip(tokens, more, strict=True)
    return tuple(
        torch.cat((some.expand(len(other), -1, -1), other), dim=1) for some, other in levels
    )
