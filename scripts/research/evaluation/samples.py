"""What is restored: gray low-resolution images with their truths and references."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from PIL import Image

from scsnet_hf.color import denormalize_lab, lab_to_srgb, normalize_lab
from scsnet_hf.data import elastic_distortion, recolor

from .pixels import Pixels, image_of_lab, image_of_rgb


@dataclass(frozen=True)
class Sample:
    """One image to restore, and what may help."""

    index: int  # from 0
    truth: Image.Image  # RGB
    low: Image.Image  # RGB, the truth at low resolution
    gray: Image.Image  # L, the source: `low` without its colors
    reference: Image.Image  # RGB, flipped and elastically distorted copy of `low`
    unrelated: Image.Image  # RGB, the reference of another image
    recolored: Image.Image  # RGB, `reference` with every hue turned by one random angle


def make_samples(images: Iterable[Image.Image], scale: float, seed: int = 0) -> Iterator[Sample]:
    """Samples of RGB images, in their order.

    Source and references have the image's sides divided by `scale`: 128 px for 512 px at scale 4
    (Sec. 4.1). The unrelated reference is the next image's, and the last image's is the
    first's; a single image has its own. References are turned by an angle that is uniform over
    the circle, at constant lightness and chroma, except that colors that leave sRGB lose chroma.

    Args:
        images: the truths; read one ahead.
        scale: magnification to undo, 1 or more.
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
    """The image at (width, height), antialiased and bicubic."""
    return image.resize(size, Image.Resampling.BICUBIC)


def enlarged(image: Image.Image, sample: Sample) -> Image.Image:
    """The image at the truth's size, bicubic."""
    return image.resize(sample.truth.size, Image.Resampling.BICUBIC)


def without_colors(image: Image.Image) -> Image.Image:
    """Gray image, mode L, of the lightness of an RGB one."""
    lab = Pixels(image).lab.clone()
    lab[1:] = 0
    return image_of_rgb(lab_to_srgb(lab)).getchannel(0)


def _with_own_reference(images: Iterable[Image.Image], scale: float, seed: int) -> Iterator[Sample]:
    # Two generators, so that the distortions are the same with and without other draws.
    distortions, angles = (torch.Generator().manual_seed(seed) for _ in range(2))
    for index, truth in enumerate(images):
        low = shrink(truth, tuple(max(1, round(side / scale)) for side in truth.size))
        distorted = elastic_distortion(Pixels(low).rgb[None], generator=distortions)[0]
        reference = image_of_rgb(distorted)
        angle = 2 * math.pi * torch.rand(1, generator=angles)
        yield Sample(
            index=index,
            truth=truth,
            low=low,
            gray=without_colors(low),
            reference=reference,
            unrelated=reference,
            recolored=_turned(reference, angle),
        )


def _turned(image: Image.Image, angle: torch.Tensor) -> Image.Image:
    """The image with every hue turned by `angle`, (1,) radians."""
    lab = normalize_lab(Pixels(image).lab)[None]
    return image_of_lab(denormalize_lab(recolor(lab, angle, torch.ones(1)))[0])
