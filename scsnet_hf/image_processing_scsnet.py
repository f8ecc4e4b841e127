"""`SCSNetImageProcessor`: pictures to the network's units and back."""

from collections.abc import Callable

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
from .decoding import split_alpha
from .image_io import PictureSource, load_picture
from .pixel_mapping import PixelGrid, resize
from .transparency import fill_hidden

LUMINANCES = ("network", "source")
OUTPUT_TYPES = ("pil", "np", "np16", "pt")

_BACK_PROJECTIONS = 2


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
        return _normalized_lab(picture)[:, :1]

    def reference_tensor(self, picture: Image.Image) -> torch.Tensor:
        """A loaded picture to normalized Lab (1, 3, Hr, Wr), at most `reference_size` long."""
        picture = picture.copy()
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
            if pixel_values is not None:
                change = _enlarged_source if luminance == "source" else _agreeing_with_source
                normalized = _with_lightness(change, normalized, pixel_values[index])
            lab = fit_gamut(scale_chroma(denormalize_lab(normalized), saturation))
            pictures.append(_as_output(lab_to_srgb(lab)[0], output_type))
        return pictures


def _stack(tensors: list[torch.Tensor]):
    same = len({tensor.shape for tensor in tensors}) == 1
    return torch.cat(tensors) if same else tensors


def _normalized_lab(picture: Image.Image) -> torch.Tensor:
    """A picture of mode L, LA, I;16, RGB or RGBA to normalized Lab (1, 3, H, W), alpha left out."""
    colors, alpha = split_alpha(picture)
    white = 65535 if colors.mode == "I;16" else 255
    pixels = torch.from_numpy(np.array(colors, dtype=np.float32)).div_(white)
    rgb = pixels.reshape(colors.height, colors.width, -1).permute(2, 0, 1).expand(3, -1, -1)
    values = normalize_lab(srgb_to_lab(rgb))[None]
    if alpha is None:
        return values
    return fill_hidden(values, torch.from_numpy(np.array(alpha) > 0)[None, None])


def _with_lightness(
    change: Callable, normalized: torch.Tensor, pixel_values: torch.Tensor
) -> torch.Tensor:
    """Replace L of (1, 3, Ho, Wo) by `change(L, source's L)`."""
    source = pixel_values.float().reshape(1, 1, *pixel_values.shape[-2:]).to(normalized.device)
    lightness, chroma = normalized.split((1, 2), dim=1)
    return torch.cat((change(lightness, source), chroma), dim=1)


def _enlarged(source: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """(1, 1, H, W) by bicubic interpolation to (1, 1, *size)."""
    return resize(source, PixelGrid.whole(tuple(source.shape[-2:]), tuple(size)), cubic=True)


def _enlarged_source(lightness: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    return _enlarged(source, lightness.shape[-2:])


def _agreeing_with_source(lightness: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Back-projection (Irani and Peleg 1991): shrunk again, the result is the source."""
    for _ in range(_BACK_PROJECTIONS):
        shrunk = nn.functional.interpolate(
            lightness, source.shape[-2:], mode="bicubic", antialias=True
        )
        lightness = lightness + _enlarged(source - shrunk, lightness.shape[-2:])
    return lightness


def _as_output(rgb: torch.Tensor, output_type: str) -> Image.Image | np.ndarray | torch.Tensor:
    if output_type == "pt":
        return rgb
    kind = np.uint16 if output_type == "np16" else np.uint8
    levels = (rgb * np.iinfo(kind).max).round().permute(1, 2, 0).cpu().numpy().astype(kind)
    return Image.fromarray(levels) if output_type == "pil" else levels


SCSNetImageProcessor.register_for_auto_class()
