"""An image file is opened once and decoded once, and says what it holds."""

from pathlib import Path

import pytest
from PIL import ImageCms, PngImagePlugin, TiffImagePlugin
from PIL import ImageFile as PillowFile

from helpers.image_checks import assert_same
from helpers.image_files import SIZE, encoded_frames, exif_block, heic_bytes, sample_files
from helpers.images import make_image
from scsnet_hf.image_io import ImageError, load_image
from scsnet_hf.io.image_file import ImageFile


@pytest.mark.parametrize("name", sorted(sample_files()))
def test_only_animations_and_pages_have_several_frames(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(sample_files()[name])
    several = name.startswith(("animated", "pages"))
    with ImageFile(path) as file:
        assert file.has_several == several
        assert file.frame_count == (3 if several else 1)
        assert len(list(file.frames())) == file.frame_count


def test_second_image_of_a_photograph_is_none_of_its_frames(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded_frames([make_image(*SIZE), make_image(14, 11)], "MPO"))
    with ImageFile(path) as file:
        assert file.frame_count == 1
    assert load_image(path).size == SIZE


def test_heic_is_one_image(tmp_path):
    path = tmp_path / "image.heic"
    path.write_bytes(heic_bytes(make_image(*SIZE)))
    with ImageFile(path) as file:
        assert (file.format, file.frame_count, file.loop) == ("HEIF", 1, 0)


@pytest.fixture
def opened_files(monkeypatch) -> list:
    """The files that are opened from here on."""
    files, open_path = [], Path.open

    def noting_open(self, *arguments, **options):
        files.append(open_path(self, *arguments, **options))
        return files[-1]

    monkeypatch.setattr(Path, "open", noting_open)
    return files


@pytest.mark.parametrize("name", ["rgb.png", "animated.gif", "animated.png", "pages.tif"])
def test_a_file_is_opened_once_and_each_frame_decoded_once(
    tmp_path, monkeypatch, opened_files, name
):
    path = tmp_path / name
    path.write_bytes(sample_files()[name])
    opened_files.clear()
    decoded, load = [], PillowFile.ImageFile.load

    def counting_load(self):
        decoded.extend([self.tell()] if self.tile else [])
        return load(self)

    monkeypatch.setattr(PillowFile.ImageFile, "load", counting_load)
    with ImageFile(path, keep_metadata=name != "animated.png") as file:
        count = len(list(file.frames()))
    assert [file.name for file in opened_files] == [str(path)]
    assert decoded == list(range(count))


def test_a_file_is_closed_at_the_end(tmp_path, opened_files):
    path = tmp_path / "image.png"
    make_image(*SIZE).save(path)
    opened_files.clear()
    with ImageFile(path):
        assert not opened_files[0].closed
    assert opened_files[0].closed


def test_an_error_of_the_caller_closes_the_file_and_stays_what_it_is(tmp_path, opened_files):
    path = tmp_path / "image.png"
    make_image(*SIZE).save(path)
    opened_files.clear()
    with pytest.raises(OSError, match=r"^the disk is full$"), ImageFile(path):
        raise OSError("the disk is full")
    assert opened_files[0].closed


def test_counting_pages_leaves_nothing_of_later_ones(tmp_path):
    """Pillow keeps the profile of a page for all that are read after it."""
    path = tmp_path / "pages.tif"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    with path.open("wb+") as file, TiffImagePlugin.AppendingTiffWriter(file) as writer:
        for options in ({}, {"icc_profile": profile, "dpi": (300, 300)}):
            make_image(*SIZE).save(writer, "TIFF", **options)
            writer.newFrame()
    with ImageFile(path, keep_metadata=True) as file:
        assert_same(next(file.frames()), make_image(*SIZE))
        assert file.metadata.dpi is None


def test_text_of_an_animation_leaves_its_frames_as_they_are(tmp_path):
    path = tmp_path / "animated.png"
    frames = [make_image(*SIZE, seed=seed) for seed in range(3)]
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a title")
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40, pnginfo=text)
    with ImageFile(path, keep_metadata=True) as file:
        for actual, expected in zip(file.frames(), frames, strict=True):
            assert_same(actual, expected)
        assert file.metadata.text == {"Title": "a title"}
        assert file.durations == [40, 40, 40]


def test_metadata_are_of_the_first_frame_and_read_on_request(tmp_path):
    path = tmp_path / "pages.tif"
    with path.open("wb+") as file, TiffImagePlugin.AppendingTiffWriter(file) as writer:
        for artist in ("first", "second"):
            make_image(*SIZE).save(writer, "TIFF", exif=exif_block(Artist=artist))
            writer.newFrame()
    for keep in (False, True):
        with ImageFile(path, keep_metadata=keep) as file:
            assert file.metadata is None
            list(file.frames())
            assert (b"first" in file.metadata.exif) if keep else (file.metadata is None)


@pytest.mark.parametrize("name", ["animated.gif", "animated.webp", "animated.png", "pages.tif"])
def test_damage_in_a_later_frame_is_refused_by_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(sample_files()[name][: int(0.9 * len(sample_files()[name]))])
    with pytest.raises(ImageError) as caught, ImageFile(path) as file:
        list(file.frames())
    assert str(caught.value).startswith(str(path))


def test_too_many_frames_are_refused(tmp_path):
    path = tmp_path / "animated.gif"
    path.write_bytes(sample_files()["animated.gif"])
    with pytest.raises(ImageError, match=r"animated\.gif: has more frames than the limit of 2"):
        ImageFile(path, max_frames=2)
    with ImageFile(path, max_frames=3) as file:
        assert file.frame_count == 3


def test_size_is_that_of_the_file(tmp_path):
    path = tmp_path / "image.jpg"
    make_image(*SIZE).save(path, exif=exif_block(6))
    with ImageFile(path) as file:
        assert (file.width, file.height) == SIZE
        assert next(file.frames()).size == SIZE[::-1]
