"""A run resumes only with the settings that it was started with."""

import json

import pytest

from scsnet_hf.io.run_settings import check_same_settings, write_json


def test_a_run_resumes_with_the_same_settings(tmp_path):
    path = tmp_path / "new" / "settings.json"
    for _ in range(2):
        check_same_settings(path, {"scale": 2, "size": (3, 4)})
    assert json.loads(path.read_text()) == {"scale": 2, "size": [3, 4]}


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({"scale": 3}, "scale 2, now 3"),
        ({}, "scale 2, now None"),
        ({"scale": 2, "size": 4}, "size None, now 4"),
    ],
)
def test_other_settings_are_refused_and_named(tmp_path, settings, change):
    path = tmp_path / "settings.json"
    check_same_settings(path, {"scale": 2})
    with pytest.raises(ValueError, match=f"{tmp_path}: .*{change}"):
        check_same_settings(path, settings)
    assert json.loads(path.read_text()) == {"scale": 2}


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path):
    path = tmp_path / "numbers.json"
    write_json(path, [1, 2])
    with pytest.raises(TypeError):
        write_json(path, object())
    assert json.loads(path.read_text()) == [1, 2]
    assert list(tmp_path.iterdir()) == [path]
