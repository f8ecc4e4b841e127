"""`SCSNetImageProcessor`: images to the network's units and back."""

from collections.abc import Iterable, Iterator
from functools import cache, partial, wraps
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers.image_processing_base import (
    BatchFeature,
    ImageProcessingMixin,  # noqa: F401 - diffusers looks for a component's base class here, by name
)
from transformers.image_processing_utils import BaseImageProcessor
from transformers.utils import ModelOutput, logging

from .call_arguments import LUMINANCES, load_strokes, read_hint
from .color import (
    denormalize_lab,
    lab_to_fitted_srgb,
    normalize_lab,
    scale_chroma,
    srgb_to_lab,
)
from .decoding import split_alpha
from .image_io import ImageSource, load_image
from .pixel_mapping import CELL, conversion_blocks, hint_cells
from .source_lightness import back_project, keep_source_lightness

logger = logging.get_logger(__name__)

RETURN_TENSORS = ("pt", "np", None)
CHANNELS_FIRST, CHANNELS_LAST = "channels_first", "channels_last"  # as in transformers
# The dtype of the values of each output type.
OUTPUT_TYPES = {
    "pil": torch.uint8,
    "np": torch.uint8,
    "np16": torch.uint16,
    "pt": torch.float32,
}

_COVERED = 0.25  # share of a cell that strokes must cover to count, unless they are all thinner


class SCSNetImageProcessorKwargs(TypedDict, total=False):
    """Settings of `SCSNetImageProcessor`; transformers' own `ImagesKwargs` do not apply."""

    reference_size: int


class SCSNetImageProcessor(BaseImageProcessor):
    """Convert images to normalized Lab, and the network's output to images.

    Args:
        reference_size: long side in pixels to which larger reference images are reduced. The
            model does the same with its `color_size`; doing it here saves time.

    Example:
        >>> import scsnet_hf
        >>> folder = scsnet_hf.embedded_checkpoint()
        >>> processor = scsnet_hf.SCSNetImageProcessor.from_pretrained(folder)
        >>> model = scsnet_hf.SCSNetForImageToImage.from_pretrained(folder)
        >>> inputs = processor("old.jpg", reference_images="modern.jpg")
        >>> outputs = model(**inputs, scale=2.7)
        >>> (image,) = processor.post_process(outputs, pixel_values=inputs["pixel_values"])
    """

    model_input_names = ["pixel_values"]
    valid_kwargs = SCSNetImageProcessorKwargs

    def __init__(self, reference_size: int = 256, **kwargs):
        super().__init__(**kwargs)
        self.reference_size = reference_size

    def preprocess(
        self,
        images: ImageSource | list[ImageSource],
        reference_images: ImageSource | list[ImageSource | None] | None = None,
        return_tensors: str | None = "pt",
        input_data_format: str | None = None,
    ) -> BatchFeature:
        """Convert images to tensors.

        Args:
            images: one image or a list: path, URL, bytes, PIL image, array or tensor (see
                `image_io.load_image`), or a batch (B, H, W, C) as an array or (B, C, H, W) as a
                tensor. Gray keeps up to 16 bits, color is reduced to its CIE L, alpha is dropped
                and transparent pixels are filled from their surroundings.
            reference_images: one image for all, or a list or batch with one (or None) for each.
            return_tensors: `"pt"` for tensors, `"np"` for arrays, None for a list of arrays without
                the batch dimension, whatever their sizes.
            input_data_format: `"channels_first"` or `"channels_last"`, for arrays and tensors; None
                for first in tensors and last in arrays.

        Returns:
            `pixel_values` (B, 1, H, W) normalized L, float32; with references also
            `reference_pixel_values` (B, 3, Hr, Wr) normalized Lab, float32, and `reference_mask`
            (B,) bool. If sizes within a batch differ, the value is a list of (1, C, H, W) instead.

        Raises:
            image_io.ImageError: if an image cannot be read.
            ValueError: if the numbers of references and images differ, or `return_tensors` or
                `input_data_format` is unknown.
        """
        if return_tensors not in RETURN_TENSORS:
            raise ValueError(
                f"return_tensors={return_tensors!r}: choose one of "
                f"{', '.join(map(repr, RETURN_TENSORS))}"
            )
        images = _split_batch(images, input_data_format)
        sources = [self.source_tensor(load_image(i, keep_16_bits=True)) for i in images]
        data = {"pixel_values": _collect(sources, return_tensors)}
        if reference_images is not None:
            references = _split_batch(reference_images, input_data_format)
            if len(references) == 1 and not isinstance(reference_images, list | tuple):
                references = references * len(images)
            if len(references) != len(images):
                raise ValueError(
                    f"{len(references)} reference images for {len(images)} images: "
                    "give one for all, or one for each"
                )
            tensors = [
                torch.zeros(1, 3, 4, 4) if r is None else self.reference_tensor(load_image(r))
                for r in references
            ]
            data["reference_pixel_values"] = _collect(tensors, return_tensors)
            mask = [reference is not None for reference in references]
            as_array = {"pt": torch.tensor, "np": np.array, None: list}[return_tensors]
            data["reference_mask"] = as_array(mask)
        return BatchFeature(data)

    @wraps(preprocess)
    def __call__(self, *args, **kwargs):
        return self.preprocess(*args, **kwargs)

    def source_tensor(self, image: Image.Image) -> torch.Tensor:
        """Convert a loaded image to normalized L, (1, 1, H, W) float32.

        Args:
            image: of mode L, LA, I;16, RGB or RGBA, as `image_io.load_image` returns it.
        """
        return _normalized_lab(image, channels=1)

    def reference_tensor(self, image: Image.Image) -> torch.Tensor:
        """Convert a loaded image to normalized Lab, (1, 3, Hr, Wr) float32.

        Args:
            image: as in `source_tensor`; larger ones are reduced to `reference_size`.
        """
        image = drop_alpha(image).copy()
        image.thumbnail((self.reference_size,) * 2, Image.Resampling.BICUBIC)
        return _normalized_lab(image)

    def post_process(
        self,
        outputs: ModelOutput | torch.Tensor | list[torch.Tensor],
        saturation: float = 1.0,
        luminance: str = "network",
        pixel_values: torch.Tensor | list[torch.Tensor] | None = None,
        output_type: str = "pil",
    ) -> list:
        """Convert the network's output to sRGB images.

        Args:
            outputs: `SCSNetOutput`, or normalized Lab (B, 3, Ho, Wo), or a list of (1, 3, Ho, Wo).
            saturation: factor on a and b; 0 gives R = G = B, 1 the network's colors.
            luminance: `"network"`, or `"source"` to keep the source's own L, enlarged bicubically.
            pixel_values: the network's input, (B, 1, H, W) or a list of (1, 1, H, W); required by
                `luminance="source"`. The network's L is corrected by back-projection to agree with
                it, so that nothing shifts and flat areas stay flat.
            output_type: `"pil"`, `"np"` (Ho, Wo, 3) uint8, `"np16"` the same in uint16, or `"pt"`
                (3, Ho, Wo) float32 in [0, 1].

        Returns:
            One image per item. Colors outside sRGB lose chroma, never lightness.

        Raises:
            ValueError: if `luminance` or `output_type` is unknown, or `pixel_values` is missing.
        """
        reconstructions = getattr(outputs, "reconstruction", outputs)
        images = []
        for index, reconstruction in enumerate(reconstructions):
            strips = self.post_process_strips(
                [reconstruction.reshape(1, *reconstruction.shape[-3:])],
                tuple(reconstruction.shape[-2:]),
                saturation,
                luminance,
                None if pixel_values is None else pixel_values[index].to(reconstruction.device),
                "np" if output_type == "pil" else output_type,
            )
            images.append(_JOIN[output_type](list(strips)))
        return images

    def post_process_strips(
        self,
        strips: Iterable[torch.Tensor],
        output_size: tuple[int, int],
        saturation: float = 1.0,
        luminance: str = "network",
        pixel_values: torch.Tensor | None = None,
        output_type: str = "np",
    ) -> Iterator[np.ndarray | torch.Tensor]:
        """Convert the network's output for one image strip by strip, in bounded memory.

        Args:
            strips: (1, 3, h, Wo) normalized Lab, from top to bottom.
            output_size: (Ho, Wo) of the whole image.
            saturation: see `post_process`.
            luminance: see `post_process`.
            pixel_values: (1, 1, H, W), the network's input.
            output_type: see `post_process`; `"pil"` is not possible.

        Returns:
            An iterator of strips (h, Wo, 3), whose heights may differ from those of the input.

        Raises:
            ValueError: if an argument is wrong, see `post_process`; before the first strip.
        """
        if luminance not in LUMINANCES:
            raise ValueError(f"luminance={luminance!r}: choose one of {', '.join(LUMINANCES)}")
        if output_type not in OUTPUT_TYPES:
            raise ValueError(
                f"output_type={output_type!r}: choose one of {', '.join(OUTPUT_TYPES)}"
            )
        if luminance == "source" and pixel_values is None:
            raise ValueError("luminance='source' needs the pixel_values given to the network")
        strips = map(torch.Tensor.float, strips)  # unlike a generator, it keeps no strip alive
        if pixel_values is not None:
            change = keep_source_lightness if luminance == "source" else back_project
            source = pixel_values.float().reshape(1, 1, *pixel_values.shape[-2:])
            strips = change(strips, source, output_size)
        return map(partial(_as_output, saturation=saturation, output_type=output_type), strips)


def _split_batch(images, input_data_format: str | None) -> list:
    """Return a list of images with the channels where `load_image` expects them."""
    if input_data_format not in (None, CHANNELS_FIRST, CHANNELS_LAST):
        raise ValueError(
            f"input_data_format={input_data_format!r}: choose one of {CHANNELS_FIRST}, "
            f"{CHANNELS_LAST}"
        )
    is_batch = isinstance(images, np.ndarray | torch.Tensor) and images.ndim == 4
    several = images if is_batch or isinstance(images, list | tuple) else [images]
    return [_move_channels(image, input_data_format) for image in several]


def _move_channels(image, input_data_format: str | None):
    """Move the channels of an array to its end, and of a tensor to its beginning."""
    if isinstance(image, np.ndarray) and image.ndim == 3 and input_data_format == CHANNELS_FIRST:
        return np.moveaxis(image, 0, -1)
    if isinstance(image, torch.Tensor) and image.ndim == 3 and input_data_format == CHANNELS_LAST:
        return image.movedim(-1, 0)
    return image


def _collect(tensors: list[torch.Tensor], return_tensors: str | None):
    """Return (1, C, H, W) tensors of several images in the form that was asked for."""
    if return_tensors is None:
        return [tensor[0].numpy() for tensor in tensors]
    same = len({tensor.shape for tensor in tensors}) == 1
    if return_tensors == "np":
        arrays = [tensor.numpy() for tensor in tensors]
        return np.concatenate(arrays) if same else arrays
    return torch.cat(tensors) if same else tensors


@torch.no_grad()
def _normalized_lab(image: Image.Image, channels: int = 3) -> torch.Tensor:
    """Convert a loaded image to the first `channels` of normalized Lab, (1, channels, H, W)."""
    colors = drop_alpha(image)
    levels = np.asarray(colors)
    if levels.ndim == 2:
        table = _normalized_lab_of_grays(65535 if colors.mode == "I;16" else 255)[:channels]
        return torch.from_numpy(np.stack([values[levels] for values in table.numpy()])[None])
    values = torch.empty(1, channels, colors.height, colors.width)
    for start, stop in conversion_blocks(colors.height, colors.width):
        rgb = torch.from_numpy(levels[start:stop].astype(np.float32)).div_(255)
        values[0, :, start:stop] = normalize_lab(srgb_to_lab(rgb.permute(2, 0, 1)))[:channels]
    return values


@cache
def _normalized_lab_of_grays(white: int) -> torch.Tensor:
    """Tabulate the normalized Lab of every gray level from 0 to `white`: (3, white + 1)."""
    grays = torch.arange(white + 1) / white
    return normalize_lab(srgb_to_lab(grays.expand(3, 1, -1)))[:, 0]


@torch.no_grad()
def _as_output(
    normalized: torch.Tensor, saturation: float, output_type: str
) -> np.ndarray | torch.Tensor:
    """Convert normalized Lab (1, 3, h, Wo) to sRGB (h, Wo, 3) of an output type."""
    (normalized,) = normalized
    size, dtype = tuple(normalized.shape[-2:]), OUTPUT_TYPES[output_type]
    is_tensor = output_type == "pt"
    image = torch.empty(*size, 3, dtype=dtype, device=normalized.device if is_tensor else "cpu")
    for start, stop in conversion_blocks(*size):
        lab = scale_chroma(denormalize_lab(normalized[:, start:stop]), saturation)
        rgb = lab_to_fitted_srgb(lab)
        levels = rgb if is_tensor else (rgb * torch.iinfo(dtype).max).round_().to(dtype)
        image[start:stop] = levels.permute(1, 2, 0)
    return image if is_tensor else image.numpy()


def _joined(strips: list[np.ndarray]) -> np.ndarray:
    return strips[0] if len(strips) == 1 else np.concatenate(strips)


_JOIN = {
    "pil": lambda strips: Image.fromarray(_joined(strips)),
    "np": _joined,
    "np16": _joined,
    "pt": lambda strips: torch.cat(strips).permute(2, 0, 1),
}

SCSNetImageProcessor.register_for_auto_class()


# Transparency: what is invisible is filled before the network sees it; alpha is resized beside it


def drop_alpha(image: Image.Image) -> Image.Image:
    """Return a decoded image as L, I;16 or RGB, fully transparent pixels filled from around."""
    colors, alpha = split_alpha(image)
    if alpha is None:
        return colors
    levels = torch.from_numpy(np.array(colors, dtype=np.float32))
    levels = levels.reshape(1, *np.shape(alpha), -1).permute(0, 3, 1, 2)
    filled = fill_transparent(levels, torch.from_numpy(np.array(alpha) > 0)[None, None])
    dtype = np.uint16 if colors.mode == "I;16" else np.uint8
    return Image.fromarray(filled[0].permute(1, 2, 0).squeeze(2).round().numpy().astype(dtype))


def fill_transparent(values: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Replace the values of fully transparent pixels by those of their visible surroundings.

    The network would otherwise mix them into the edges (dark fringes). Pull-push (Gortler et al.,
    "The Lumigraph", SIGGRAPH 1996): visible pixels are averaged to half the size until none is
    missing, and missing ones are filled from there by bilinear enlargement.

    Args:
        values: (1, C, H, W).
        visible: (1, 1, H, W) bool.

    Returns:
        (1, C, H, W), unchanged where `visible`; unchanged everywhere if nothing is visible.
    """
    if visible.all() or not visible.any():
        return values
    window = [min(2, side) for side in values.shape[-2:]]
    weight = _average(visible.to(values.dtype), window)
    halved = _average(values * visible, window) / weight.clamp_min(torch.finfo(values.dtype).tiny)
    around = nn.functional.interpolate(
        fill_transparent(halved, weight > 0), values.shape[-2:], mode="bilinear"
    )
    return torch.where(visible, values, around)


def _average(values: torch.Tensor, window: list[int]) -> torch.Tensor:
    return nn.functional.avg_pool2d(values, window, ceil_mode=True, count_include_pad=False)


def resize_alpha(alpha: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize an alpha channel (mode L) to (width, height); a constant one stays exact."""
    lowest, highest = alpha.getextrema()
    if lowest == highest:
        return Image.new("L", size, lowest)
    return alpha.resize(size, Image.Resampling.BICUBIC)


def has_colors(image: Image.Image) -> bool:
    """Return whether RGB is more than gray in three equal channels, judged at a small size."""
    if image.mode != "RGB":
        return False
    small = image.resize((32, 32), Image.Resampling.BOX)
    return np.ptp(np.asarray(small).astype(int), axis=2).mean() > 2


def append_alpha(strips: Iterable[np.ndarray], alpha: Image.Image) -> Iterator[np.ndarray]:
    """Append the rows of `alpha` (mode L) to strips (h, W, 3) as their last channel."""
    levels, top = np.asarray(alpha), 0
    for strip in strips:
        rows = levels[top : top + len(strip)].astype(strip.dtype)
        yield np.dstack((strip, rows * (np.iinfo(strip.dtype).max // 255)))
        top += len(strip)


# Color hints


class Hints(NamedTuple):
    """Color hints for one image, each in a position of F_s of its own."""

    positions: torch.Tensor  # (1, K, 2), x and y in pixels of the image that the network sees
    colors: torch.Tensor  # (1, K, 2), normalized a and b


def read_hints(
    hints: Any,
    source_size: tuple[int, int],
    seen_size: tuple[int, int],
    working_size: tuple[int, int],
    timeout: float | None = None,
) -> Hints | None:
    """Read the hints of a call.

    Args:
        hints: see `ScsColorizeSrPipeline.__call__`.
        source_size: (width, height) of the source, which hints are given for.
        seen_size: (width, height) of the source as the network sees it, perhaps reduced.
        working_size: (Hc, Wc) of the color branch.
        timeout: see `load_image`.

    Returns:
        None if there are none.

    Raises:
        ValueError: if they are of the wrong kind, outside the image, or of another size.
        image_io.ImageError: if an image of strokes cannot be read.
    """
    reduction = max(working_size) / max(seen_size)
    if not isinstance(hints, list | tuple):
        found = _hints_of_strokes(load_strokes(hints, source_size, timeout), working_size)
        return found and found._replace(positions=found.positions / reduction)
    if not hints:
        return None
    *positions, colors = zip(*(read_hint(hint, source_size) for hint in hints), strict=True)
    factor = torch.tensor(seen_size) / torch.tensor(source_size)
    positions = torch.tensor(positions, dtype=torch.float32).mT * factor
    levels = torch.tensor(colors, dtype=torch.float32).mT[..., None]  # (3, K, 1)
    colors = normalize_lab(srgb_to_lab(levels / 255))[1:, :, 0].mT
    cells = hint_cells(positions * reduction, working_size).tolist()
    last = sorted({tuple(cell): index for index, cell in enumerate(cells)}.values())
    if len(last) < len(cells):
        logger.warning_once(
            f"{len(cells) - len(last)} of {len(cells)} hints are within {CELL / reduction:.3g} "
            "pixels of a later one, which the network does not tell apart: the later one counts."
        )
    return Hints(positions[None, last], colors[None, last])


def _hints_of_strokes(strokes: Image.Image, working_size: tuple[int, int]) -> Hints | None:
    """Return a hint in the middle of every covered cell, of positions at the working size."""
    colors, alpha = split_alpha(strokes.resize(working_size[::-1], Image.Resampling.BOX))
    weight = torch.from_numpy(np.array(alpha, dtype=np.float32) / 255)[None, None]
    weighted = torch.cat((_normalized_lab(colors)[:, 1:] * weight, weight), dim=1)
    means = nn.functional.avg_pool2d(weighted, CELL, ceil_mode=True, count_include_pad=False)
    coverage = means[0, 2]
    if not coverage.any():
        return None
    rows, columns = (coverage >= min(_COVERED, coverage.max() / 2)).nonzero().unbind(1)
    positions = torch.stack((columns, rows), dim=1) * CELL + CELL / 2
    return Hints(positions[None], (means[0, :2] / coverage)[:, rows, columns].mT[None])
