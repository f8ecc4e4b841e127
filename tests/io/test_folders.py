"""Which files of a folder concern us."""

import os

import pytest

from scsnet_hf.image_io import READABLE_SUFFIXES
from scsnet_hf.io.atomic_files import replacing
from scsnet_hf.io.folders import files_in, images_in


def found(folder, suffixes=READABLE_SUFFIXES) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in files_in(folder, suffixes)]


def make(folder, *names: str) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def test_files_are_found_in_depth_and_in_order(tmp_path):
    make(tmp_path, "b.png", "a/z.png", "a/b/c.png", "c.png", "a.png")
    assert found(tmp_path) == ["a/b/c.png", "a/z.png", "a.png", "b.png", "c.png"]


@pytest.mark.parametrize("suffix", sorted(READABLE_SUFFIXES))
def test_every_readable_suffix_is_found_in_any_case(tmp_path, suffix):
    make(tmp_path, f"a{suffix}", f"b{suffix.upper()}")
    assert [file.name for file in images_in(tmp_path)] == [f"a{suffix}", f"b{suffix.upper()}"]


def test_other_files_and_folders_are_left_out(tmp_path):
    make(tmp_path, "notes.txt", "png", ".png", "a.png.bak", "Thumbs.db", "inner.png/real.png")
    assert found(tmp_path) == ["inner.png/real.png"]


@pytest.mark.parametrize("name", ["Grüße aus Köln.png", "写真 一.png", "снимок.png", "a'b\"c*.png"])
def test_names_may_hold_any_letters(tmp_path, name):
    make(tmp_path, name)
    assert found(tmp_path) == [name]


def test_files_that_are_being_written_are_left_out(tmp_path):
    with replacing(tmp_path / "a.png") as temporary:
        assert temporary.is_file()
        assert found(tmp_path) == []
    assert found(tmp_path) == ["a.png"]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no symbolic links here")
def test_links_are_found_only_where_they_lead_to_files(tmp_path):
    make(tmp_path, "a.png")
    (tmp_path / "good.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "nothing.png")
    assert found(tmp_path) == ["a.png", "good.png"]


def test_suffixes_may_be_others(tmp_path):
    make(tmp_path, "a.mp4", "b.png")
    assert found(tmp_path, frozenset({".mp4"})) == ["a.mp4"]


def test_empty_folder_has_none(tmp_path):
    assert found(tmp_path) == []
