"""Images of a folder that are proposed as references."""

import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageOps
from transformers import pipeline

from helpers.images import make_image
from scsnet_hf import (
    ImageError,
    ReferenceGallery,
    ScsColorizeSrPipeline,
    embedded_checkpoint,
)

EXAMPLES = Path(__file__).parent.parent.parent / "space" / "examples"


@pytest.fixture(scope="module")
def medium_pipe():
    return pipeline(
        "scs-colorize-sr",
        model=embedded_checkpoint("medium"),
        pipeline_class=ScsColorizeSrPipeline,
        device="cpu",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four images, one of them in a folder of its own, and a text."""
    folder = tmp_path_factory.mktemp("album")
    (folder / "inner").mkdir()
    for seed, name in enumerate(("a.png", "b.png", "c.png", "inner/d.png")):
        make_image(48, 40, seed=seed).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def gallery(tiny_pipe, folder):
    return ReferenceGallery.from_folder(tiny_pipe, folder)


def test_a_folder_is_searched_in_depth(gallery, folder):
    assert len(gallery) == 4
    assert folder / "inner" / "d.png" in gallery.paths


@pytest.mark.parametrize("name", ["a.png", "c.png", "inner/d.png"])
def test_an_image_is_most_similar_to_itself(gallery, folder, name):
    best, *others = gallery.propose(folder / name, count=4)
    assert best.path == folder / name
    assert best.similarity == pytest.approx(1, abs=1e-4)
    similarities = [best.similarity, *(other.similarity for other in others)]
    assert similarities == sorted(similarities, reverse=True)
    assert len({proposal.path for proposal in (best, *others)}) == 4


def test_no_more_than_asked_for_or_there_are(gallery, folder):
    assert len(gallery.propose(folder / "a.png", count=2)) == 2
    assert len(gallery.propose(folder / "a.png", count=9)) == 4


def test_a_damaged_image_is_left_out_with_a_warning(tiny_pipe, folder, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    with pytest.warns(UserWarning, match="bad.png"):
        gallery = ReferenceGallery(tiny_pipe, [bad, folder / "a.png"])
    assert gallery.paths == [folder / "a.png"]


@pytest.mark.filterwarnings("ignore:left out")
def test_nothing_to_propose_from_is_an_error(tiny_pipe, tmp_path):
    with pytest.raises(ValueError, match="not a folder"):
        ReferenceGallery.from_folder(tiny_pipe, tmp_path / "missing")
    with pytest.raises(ValueError, match="no images"):
        ReferenceGallery.from_folder(tiny_pipe, tmp_path)
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(ValueError, match="at least one"):
        ReferenceGallery.from_folder(tiny_pipe, tmp_path)


def test_what_is_asked_must_make_sense(gallery, folder):
    with pytest.raises(ValueError, match="count=0"):
        gallery.propose(folder / "a.png", count=0)
    with pytest.raises(ImageError, match=r"notes\.txt"):
        gallery.propose(folder / "notes.txt")


def test_both_encoders_describe_by_vectors_of_length_one(tiny_pipe, medium_pipe):
    pixels = tiny_pipe.image_processor.source_tensor(make_image(50, 37))
    for pipe in (tiny_pipe, medium_pipe):
        (vector,) = pipe.model.embed_images(pixels)
        assert vector.norm().item() == pytest.approx(1, abs=1e-5)


def test_the_embedded_checkpoint_finds_the_image_of_a_small_gray_mirrored_one(
    medium_pipe, tmp_path
):
    # Copies, because results of the command may be in the same folder.
    examples = [Path(shutil.copy(example, tmp_path)) for example in EXAMPLES.glob("*.jpg")]
    gallery = ReferenceGallery.from_folder(medium_pipe, tmp_path)
    for example in examples:
        view = ImageOps.mirror(Image.open(example)).convert("L")
        view.thumbnail((128, 128))
        assert gallery.propose(view, count=1)[0].path == example
