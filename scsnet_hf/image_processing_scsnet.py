"""`SCSNetImageProcessor`: pictures to the network's units and back."""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers.image_processing_base import (
    BatchFeature,
    ImageProcessingMixin,  # noqa: F401 - diffusers looks for a component's base class here, by name
)
from transformers.image_processing_utils import BaseImageProcessor
from transformers.utils import ModelOutput

from .color import (
    denormalize_lab,
    fit_gamut,
    lab_to_srgb,
    normalize_lab,
    scale_chroma,
    srgb_to_lab,
)
from .image_io import PictureSource, load_picture
from .pixel_mapping import PixelGrid, resize
from .transparency import visible_colors

LUMINANCES = ("network", "source")
OUTPUT_TYPES = ("pil", "np", "np16", "pt")

_BACK_PROJECTIONS = 2
_BLOCK_PIXELS = 2**16


class SCSNetImageProcessor(BaseImageProcessor):
    """Turns any common picture into normalized Lab and the network's output into pictures.

    Args:
        reference_size: long side in pixels to which larger reference pictures are reduced. The
            model does the same with its `color_size`; doing it here saves time.
    """

    model_input_names = ["pixel_values"]

    def __init__(self, reference_size: int = 256, **kwargs):
        super().__init__(**kwargs)
        self.reference_size = reference_size

    def preprocess(
        self,
        images: PictureSource | list[PictureSource],
        reference_images: PictureSource | list[PictureSource | None] | None = None,
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """Pictures to tensors.

        Args:
            images: one picture or a list: path, URL, bytes, PIL, array or tensor (see
                `image_io.load_picture`). Gray keeps its depth, colour is reduced to its CIE L,
                alpha is left out and what it hides is filled from around.
            reference_images: one picture for all, or a list with one (or None) for each image.
            return_tensors: only `"pt"`.

        Returns:
            `pixel_values` (B, 1, H, W) normalized L, float32; with references also
            `reference_pixel_values` (B, 3, Hr, Wr) normalized Lab and `reference_mask` (B,) bool.
            Where the sizes within a batch differ, the value is a list of (1, 1, H, W) instead.

        Raises:
            image_io.PictureError: if a picture cannot be read.
            ValueError: if the number of references is not the number of images.
        """
        if return_tensors not in ("pt", None):
            raise ValueError(f"return_tensors={return_tensors!r}: only 'pt' is supported")
        images = list(images) if isinstance(images, list | tuple) else [images]
        data = {
            "pixel_values": _stack([self.source_tensor(load_picture(i, deep=True)) for i in images])
        }
        if reference_images is not None:
            if not isinstance(reference_images, list | tuple):
                reference_images = [reference_images] * len(images)
            if len(reference_images) != len(images):
                raise ValueError(
                    f"{len(reference_images)} reference pictures for {len(images)} images: "
                    "give one for all, or one for each"
                )
            references = [
                torch.zeros(1, 3, 4, 4) if r is None else self.reference_tensor(load_picture(r))
                for r in reference_images
            ]
            data["reference_pixel_values"] = _stack(references)
            data["reference_mask"] = torch.tensor([r is not None for r in reference_images])
        return BatchFeature(data)

    def source_tensor(self, picture: Image.Image) -> torch.Tensor:
        """A picture of mode L, LA, I;16, RGB or RGBA to normalized L (1, 1, H, W), float32."""
        return _normalized_lab(picture, channels=1)

    def reference_tensor(self, picture: Image.Image) -> torch.Tensor:
        """A loaded picture to normalized Lab (1, 3, Hr, Wr), at most `reference_size` long."""
        picture = visible_colors(picture).copy()
        picture.thumbnail((self.reference_size,) * 2, Image.Resampling.BICUBIC)
        return _normalized_lab(picture)

    def post_process(
        self,
        outputs: ModelOutput | torch.Tensor | list[torch.Tensor],
        saturation: float = 1.0,
        luminance: str = "network",
        pixel_values: torch.Tensor | list[torch.Tensor] | None = None,
        output_type: str = "pil",
    ) -> list:
        """The network's output to pictures.

        Args:
            outputs: `SCSNetOutput`, or normalized Lab (B, 3, Ho, Wo), or a list of (1, 3, Ho, Wo).
            saturation: factor on a and b; 0 gives R = G = B, 1 the network's colours.
            luminance: `"network"`, or `"source"` to keep the source's own L, enlarged bicubically.
            pixel_values: what went into the network; needed by `luminance="source"`. The network's
                L is made to agree with it, so that nothing shifts and flat areas stay flat.
            output_type: `"pil"`, `"np"` (Ho, Wo, 3) uint8, `"np16"` the same in uint16, or `"pt"`
                (3, Ho, Wo) float32 in [0, 1].

        Returns:
            One sRGB picture per item. Colours outside sRGB lose chroma, never lightness.

        Raises:
            ValueError: on an unknown `luminance` or `output_type`, or missing `pixel_values`.
        """
        if luminance not in LUMINANCES:
            raise ValueError(f"luminance={luminance!r}: choose one of {', '.join(LUMINANCES)}")
        if output_type not in OUTPUT_TYPES:
            raise ValueError(
                f"output_type={output_type!r}: choose one of {', '.join(OUTPUT_TYPES)}"
            )
        if luminance == "source" and pixel_values is None:
            raise ValueError("luminance='source' needs the pixel_values given to the network")
        reconstructions = getattr(outputs, "reconstruction", outputs)
        pictures = []
        for index, reconstruction in enumerate(reconstructions):
            normalized = reconstruction.float().reshape(1, *reconstruction.shape[-3:])
            lightness, chroma = normalized.split((1, 2), dim=1)
            if pixel_values is not None:
                source = pixel_values[index].float().to(lightness.device)
                change = _enlarged if luminance == "source" else _agreeing_with_source
                lightness = change(source.reshape(1, 1, *source.shape[-2:]), lightness)
            pictures.append(_as_output(lightness, chroma, saturation, output_type))
        return pictures


def _stack(tensors: list[torch.Tensor]):
    same = len({tensor.shape for tensor in tensors}) == 1
    return torch.cat(tensors) if same else tensors


def _blocks(height: int, width: int) -> Iterator[slice]:
    """Rows that are converted at once, so that intermediate values stay in the cache."""
    rows = max(1, _BLOCK_PIXELS // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def _normalized_lab(picture: Image.Image, channels: int = 3) -> torch.Tensor:
    """A picture of mode L, LA, I;16, RGB or RGBA to the first `channels` of normalized Lab.

    Returns:
        (1, channels, H, W), float32; what alpha hides is filled from around.
    """
    colors = visible_colors(picture)
    white = 65535 if colors.mode == "I;16" else 255
    levels = np.asarray(colors).reshape(colors.height, colors.width, -1)
    values = torch.empty(1, channels, colors.height, colors.width)
    for rows in _blocks(*levels.shape[:2]):
        block = torch.from_numpy(levels[rows].astype(np.float32)).div_(white).permute(2, 0, 1)
        values[0, :, rows] = normalize_lab(srgb_to_lab(block.expand(3, -1, -1)))[:channels]
    return values


def _enlarged(source: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(1, 1, H, W) by bicubic interpolation to the size of `like` (1, 1, Ho, Wo)."""
    return _add_enlarged(torch.zeros_like(like), source)


def _add_enlarged(lightness: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Add (1, 1, H, W), enlarged bicubically, to (1, 1, Ho, Wo), in place."""
    size = tuple(lightness.shape[-2:])
    whole = PixelGrid.whole(tuple(source.shape[-2:]), size)
    for rows in _blocks(*size):
        window = whole._replace(start=(rows.start, 0), length=(rows.stop - rows.start, size[1]))
        lightness[..., rows, :] += resize(source, window, cubic=True)
    return lightness


def _agreeing_with_source(source: torch.Tensor, lightness: torch.Tensor) -> torch.Tensor:
    """Back-projection (Irani and Peleg 1991): shrunk again, the result is the source."""
    lightness = lightness.clone()
    for _ in range(_BACK_PROJECTIONS):
        shrunk = nn.functional.interpolate(
            lightness, source.shape[-2:], mode="bicubic", antialias=True
        )
        _add_enlarged(lightness, source - shrunk)
    return lightness


def _as_output(
    lightness: torch.Tensor, chroma: torch.Tensor, saturation: float, output_type: str
) -> Image.Image | np.ndarray | torch.Tensor:
    """Normalized L (1, 1, Ho, Wo) and a, b (1, 2, Ho, Wo) as a picture of the type asked for."""
    size = tuple(lightness.shape[-2:])
    if output_type == "pt":
        picture = torch.empty(*size, 3, device=lightness.device)
    else:
        picture = np.empty((*size, 3), np.uint16 if output_type == "np16" else np.uint8)
    for rows in _blocks(*size):
        normalized = torch.cat((lightness[0, :, rows], chroma[0, :, rows]))
        lab = fit_gamut(scale_chroma(denormalize_lab(normalized), saturation))
        rgb = lab_to_srgb(lab).permute(1, 2, 0)
        if output_type != "pt":
            rgb = (rgb * np.iinfo(picture.dtype).max).round_().cpu().numpy()
        picture[rows] = rgb
    if output_type == "pt":
        return picture.permute(2, 0, 1)
    return Image.fromarray(picture) if output_type == "pil" else picture


SCSNetImageProcessor.register_for_auto_class()
