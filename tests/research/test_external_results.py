"""Folders of images for other programs, and what comes back from them."""

import pytest
from PIL import Image, ImageOps

from helpers.images import make_image
from research.evaluation.external_results import external_results, paired_images, write_inputs
from research.evaluation.samples import make_samples


@pytest.fixture
def samples():
    return list(make_samples([make_image(32, 24, seed=seed) for seed in range(2)], scale=2))


def test_inputs_are_gray_small_and_numbered(tmp_path, samples):
    write_inputs(samples, tmp_path)
    for folder, images in (
        ("inputs", [sample.gray for sample in samples]),
        ("references/own", [sample.reference for sample in samples]),
        ("references/other", [sample.unrelated for sample in samples]),
        ("truth", [sample.truth for sample in samples]),
    ):
        for index, image in enumerate(images):
            written = Image.open(tmp_path / folder / f"{index:05}.png")
            assert (written.mode, written.tobytes()) == (image.mode, image.tobytes())


class TestExternalResults:
    def test_images_are_taken_by_number_and_brought_to_the_truths_size(self, tmp_path, samples):
        for index, color in enumerate(("red", "blue")):
            Image.new("RGB", (50, 50), color).save(tmp_path / f"{index:05}.png")
        method = external_results(tmp_path, "self-reference")
        assert method.mode == "self-reference"
        made = method(samples[1])
        assert (made.size, made.getpixel((5, 5))) == ((32, 24), (0, 0, 255))

    def test_a_missing_image_is_named(self, tmp_path, samples):
        Image.new("RGB", (8, 8)).save(tmp_path / "00000.jpg")
        with pytest.raises(ValueError, match="has no image 00001"):
            external_results(tmp_path, "automatic")(samples[1])

    def test_an_empty_folder_is_refused_at_once(self, tmp_path):
        with pytest.raises(ValueError, match="there are no images"):
            external_results(tmp_path, "automatic")


class TestPairs:
    @pytest.fixture
    def folders(self, tmp_path):
        results, truths = tmp_path / "results", tmp_path / "truths"
        for folder in (results, truths):
            folder.mkdir()
        return results, truths

    def test_are_found_by_name_whatever_the_format(self, folders):
        results, truths = folders
        image = make_image(20, 12)
        image.save(truths / "a.png")
        ImageOps.mirror(image).save(results / "a.webp", lossless=True)
        ((result, truth),) = paired_images(results, truths)
        assert truth.tobytes() == image.tobytes()
        assert ImageOps.mirror(result).tobytes() == image.tobytes()

    def test_an_image_without_partner_is_named(self, folders):
        results, truths = folders
        for path in (results / "a.png", truths / "a.png", truths / "b.png"):
            make_image(20, 12).save(path)
        with pytest.raises(ValueError, match="1 are in one only: b"):
            list(paired_images(results, truths))

    def test_two_sizes_are_refused(self, folders):
        results, truths = folders
        make_image(20, 12).save(truths / "a.png")
        make_image(10, 12).save(results / "a.png")
        with pytest.raises(ValueError, match="10x12 and 20x12"):
            list(paired_images(results, truths))
