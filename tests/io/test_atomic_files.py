"""Files appear complete or not at all."""

import pytest

from scsnet_hf.io.atomic_files import replacing


def test_the_file_appears_at_the_end_of_the_block(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert (temporary.parent, temporary.suffix) == (path.parent, path.suffix)
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_it_may_be_read_as_other_files(tmp_path):
    plain, path = tmp_path / "plain", tmp_path / "file"
    plain.touch()
    with replacing(path) as temporary:
        temporary.touch()
    assert path.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("name", ["写真 一.png", "a" * 200 + ".png"])
def test_names_may_be_of_any_script_and_long(tmp_path, name):
    with replacing(tmp_path / name) as temporary:
        temporary.write_text("whole")
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_two_at_once_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "file.txt"
    with replacing(path) as first:
        with replacing(path) as second:
            first.write_text("first")
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]
