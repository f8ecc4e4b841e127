"""Measure color hints: more and more true ones, and one that is wrong.

    python scripts/research/hint_evaluation.py medium --data 'validation-*.parquet'

True hints, as in the protocol of iColoriT (Yun et al., WACV 2023): the lightness of images of
256x256 pixels is given, hints have the true colors of random positions, and the result is compared
by RGB PSNR. A wrong hint: one, on an object, with the object's color turned by 120 degrees. On the
object, the mean hue of the result should come near it; elsewhere, a and b should not change. An
object is connected pixels of the lightness and the true color of one place.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from tqdm import tqdm
from transformers import pipeline

from scsnet_hf.color import normalize_lab, srgb_to_lab
from scsnet_hf.data import iterate_photographs
from scsnet_hf.metrics.per_image import psnr
from scsnet_hf.pipeline_scsnet import ScsColorizeSrPipeline

_SIDE = 256  # pixels
_COUNTS = (0, 1, 10, 100)
_TURN = np.deg2rad(120)
_LIKENESS = 15.0  # largest difference of L, a and b within an object
_MIN_CHROMA = 15.0  # of the hinted place, whose hue could not be turned otherwise
_AREAS = (0.02, 0.4)  # of an object, as a share of the image
_TRIES = 200


@dataclass(frozen=True)
class Hints:
    """Colors at positions of one image."""

    positions: np.ndarray  # (K, 2), x and y in pixels
    colors: np.ndarray  # (K, 2), a and b


@dataclass(frozen=True)
class WrongHint:
    """A hint of another color than that of the object it is on."""

    hints: Hints
    object: np.ndarray  # bool (H, W)


def to_lab(image: Image.Image) -> np.ndarray:
    """Convert an RGB image to CIE Lab (H, W, 3)."""
    rgb = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)
    return srgb_to_lab(rgb.movedim(-1, 0)).movedim(0, -1).numpy()


def colorize(pipe: ScsColorizeSrPipeline, image: Image.Image, hints: Hints) -> Image.Image:
    """Colorize the lightness of an image at its own size, with hints if there are some."""
    tokens = None
    if len(hints.positions):
        rgb = torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255)
        lightness = normalize_lab(srgb_to_lab(rgb.movedim(-1, 0)))[None, :1]
        positions = torch.from_numpy(hints.positions).float()[None]
        colors = torch.from_numpy(hints.colors).float()[None] / 110
        with torch.no_grad():
            tokens = pipe.model.encode_hints(lightness, positions, colors)
    return pipe(image.convert("L"), scale=1, luminance="source", reference_tokens=tokens)


def true_hints(lab: np.ndarray, count: int, rng: np.random.Generator) -> Hints:
    """Draw positions, and take the mean colors of 2x2 pixels there."""
    positions = rng.integers(0, np.array(lab.shape[1::-1]) - 1, size=(count, 2))
    means = ndimage.uniform_filter(lab[..., 1:], (2, 2, 1), origin=(-1, -1, 0))
    return Hints(positions + 1.0, means[positions[:, 1], positions[:, 0]])


def wrong_hint(lab: np.ndarray, rng: np.random.Generator) -> WrongHint | None:
    """Find an object and turn the hue of its color; None if there is none."""
    low, high = _AREAS
    for x, y in rng.integers(0, lab.shape[1::-1], size=(_TRIES, 2)):
        color = lab[y, x, 1:]
        if np.hypot(*color) < _MIN_CHROMA:
            continue
        alike = np.abs(lab - lab[y, x]).max(axis=2) < _LIKENESS
        labels, _ = ndimage.label(alike)
        region = labels == labels[y, x]
        if low < region.mean() < high:
            cosine, sine = np.cos(_TURN), np.sin(_TURN)
            turned = np.array([[cosine, -sine], [sine, cosine]]) @ color
            return WrongHint(Hints(np.array([[x, y]]) + 0.5, turned[None]), region)
    return None


def locality(automatic: np.ndarray, hinted: np.ndarray, wrong: WrongHint) -> tuple[float, float]:
    """Return the angle in degrees between hint and mean color of the object, and the change of a
    and b elsewhere."""
    color = hinted[wrong.object, 1:].mean(axis=0)
    wanted = wrong.hints.colors[0]
    cosine = color @ wanted / max(1e-6, np.hypot(*color) * np.hypot(*wanted))
    change = np.hypot(*np.moveaxis(hinted - automatic, -1, 0)[1:])
    near = ndimage.binary_dilation(wrong.object, iterations=4)
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))), float(change[~near].mean())


def photographs(data: str, limit: int | None) -> Iterator[Image.Image]:
    """Yield squares of the protocol's size."""
    for image in islice(iterate_photographs(data), limit):
        side = min(image.size)
        left, top = ((length - side) // 2 for length in image.size)
        box = (left, top, left + side, top + side)
        yield image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC, box)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="folder, Hub id or embedded checkpoint")
    parser.add_argument("--data", required=True, help="photographs, as for evaluate_model.py")
    parser.add_argument("--limit", type=int, help="photographs (default: all)")
    args = parser.parse_args()
    pipe = pipeline("scs-colorize-sr", model=args.model)
    similarity, angles, changes = {count: [] for count in _COUNTS}, [], []
    for index, image in enumerate(tqdm(photographs(args.data, args.limit), disable=None)):
        rng, lab = np.random.default_rng(index), to_lab(image)
        results = {count: colorize(pipe, image, true_hints(lab, count, rng)) for count in _COUNTS}
        for count, result in results.items():
            similarity[count].append(psnr(np.asarray(result), np.asarray(image)))
        wrong = wrong_hint(lab, rng)
        if wrong is not None:
            hinted = to_lab(colorize(pipe, image, wrong.hints))
            angle, change = locality(to_lab(results[0]), hinted, wrong)
            angles.append(angle)
            changes.append(change)
    for count, values in similarity.items():
        print(f"{count:3d} hints: {np.mean(values):.2f} dB")
    print(
        f"one wrong hint ({len(angles)} photographs): hue of the object {np.mean(angles):.0f} "
        f"degrees from it, a and b elsewhere changed by {np.mean(changes):.1f}"
    )


if __name__ == "__main__":
    main()
