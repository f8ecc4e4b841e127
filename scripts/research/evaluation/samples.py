"""What is reconstructed: gray low-resolution images with their truths and references."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from PIL import Image

from scsnet_hf.color import denormalize_lab, lab_to_srgb, normalize_lab
from scsnet_hf.data import elastic_distortion, recolor
from scsnet_hf.image_io import load_image

from .pixels import Pixels, image_from_lab


@dataclass(frozen=True)
class Sample:
    """One image to reconstruct, and its references."""

    index: int  # from 0
    truth: Image.Image  # RGB
    low: Image.Image  # RGB, the truth at low resolution
    gray: Image.Image  # L, the source: `low` without its colors
    reference: Image.Image  # RGB, flipped and elastically distorted copy of `low`
    unrelated: Image.Image  # RGB, the reference of another image
    recolored: Image.Image  # RGB, `reference` with all hues rotated by one random angle


def make_samples(images: Iterable[Image.Image], scale: float, seed: int = 0) -> Iterator[Sample]:
    """Make a sample of each RGB image, in their order.

    Source and references have the image's sides divided by `scale`: 128 px for 512 px at scale 4
    (Sec. 4.1). The unrelated reference is that of the next image, and for the last image that of
    the first; a single image has its own. The angles of recolored references are uniform over the
    circle; lightness and chroma stay the same, except that colors outside sRGB lose chroma.

    Args:
        images: the truths; read one ahead.
        scale: magnification, 1 or more.
        seed: of the distortions and the angles.
    """
    samples = _with_own_reference(images, scale, seed)
    first = current = next(samples, None)
    if current is None:
        return
    for following in samples:
        yield replace(current, unrelated=following.reference)
        current = following
    yield replace(current, unrelated=first.reference)


def shrink(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize an image to (width, height), antialiased and bicubic."""
    return image.resize(size, Image.Resampling.BICUBIC)


def enlarge(image: Image.Image, sample: Sample) -> Image.Image:
    """Resize an image to the truth's size, bicubic."""
    return image.resize(sample.truth.size, Image.Resampling.BICUBIC)


def remove_colors(image: Image.Image) -> Image.Image:
    """Convert an RGB image to gray, mode L, of the same CIE lightness."""
    lab = Pixels(image).lab.clone()
    lab[1:] = 0
    return load_image(lab_to_srgb(lab)).getchannel(0)


def _with_own_reference(images: Iterable[Image.Image], scale: float, seed: int) -> Iterator[Sample]:
    # Two generators, so that the distortions do not depend on other draws.
    distortions, angles = (torch.Generator().manual_seed(seed) for _ in range(2))
    for index, truth in enumerate(images):
        low = shrink(truth, tuple(max(1, round(side / scale)) for side in truth.size))
        distorted = elastic_distortion(Pixels(low).rgb[None], generator=distortions)[0]
        reference = load_image(distorted)
        angle = 2 * math.pi * torch.rand(1, generator=angles)
        yield Sample(
            index=index,
            truth=truth,
            low=low,
            gray=remove_colors(low),
            reference=reference,
            unrelated=reference,
            recolored=_rotate_hues(reference, angle),
        )


def _rotate_hues(image: Image.Image, angle: torch.Tensor) -> Image.Image:
    """Rotate all hues by `angle`, (1,) radians."""
    lab = normalize_lab(Pixels(image).lab)[None]
    return image_from_lab(denormalize_lab(recolor(lab, angle, torch.ones(1)))[0])
