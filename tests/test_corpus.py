"""Every image that Pillow, tifffile and pillow-heif write is read as other decoders read it."""

import numpy as np
import pytest

from helpers import corpus
from helpers.corpus import File, lightness, opacity
from helpers.image_files import as_stored
from scsnet_hf.decoding import split_alpha
from scsnet_hf.image_io import load_image

INVERSE = {6: 8, 8: 6}  # of an orientation
FAMILIES = {  # writers: how many files at least, whatever a version leaves out
    corpus.jpeg_files: 30,
    corpus.png_files: 30,
    corpus.webp_files: 50,
    corpus.avif_files: 20,
    corpus.jpeg2000_files: 40,
    corpus.plain_files: 40,
    corpus.pillow_tiffs: 90,
    corpus.tifffile_files: 390,
    corpus.heic_files: 45,
}


def fault(file: File) -> str:
    """What differs from the content of a file; empty if nothing does."""
    try:
        colors, alpha = split_alpha(load_image(file.data, keep_16_bits=True))
    except Exception as error:
        return f"{type(error).__name__} {error}"
    expected = as_stored(file.content, INVERSE.get(file.orientation, file.orientation))
    if colors.size != expected.shape[1::-1]:
        return f"size {colors.size}"
    white = 65535 if colors.mode == "I;16" else 255
    values = np.asarray(colors).reshape(*expected.shape[:2], -1) / white
    found = np.ones(expected.shape[:2]) if alpha is None else np.asarray(alpha) / 255
    off_alpha = np.abs(found - opacity(expected)).max() * 255
    off = np.abs(lightness(values) - lightness(expected)).max()
    return "" if off <= 0.5 and off_alpha <= 1 else f"L {off:.2f}, alpha {off_alpha:.2f}"


@pytest.mark.slow
@pytest.mark.parametrize("files", FAMILIES, ids=lambda files: files.__name__)
def test_files_are_read_as_others_read_them(files):
    made = list(files())
    faults = {file.name: reason for file in made if (reason := fault(file))}
    assert not faults, "\n".join(f"{name}: {reason}" for name, reason in faults.items())
    assert len(made) >= FAMILIES[files]
