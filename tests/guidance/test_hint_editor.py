"""The list of hints that a person edits, and its file."""

import json

import pytest

from scsnet_hf.guidance.hint_editor import HintEditor, hints_from_json

SIZE = (400, 300)


@pytest.fixture
def editor():
    return HintEditor(SIZE).add(10, 20, "#b03020").add(30.5, 40, "teal")


def test_hints_are_added_in_order(editor):
    assert editor.hints == ((10, 20, "#b03020"), (30.5, 40, "#008080"))


def test_one_is_moved_recolored_or_deleted_and_the_others_stay(editor):
    first, second = editor.hints
    assert editor.move(0, 50, 60).hints == ((50, 60, first.color), second)
    assert editor.recolor(1, "navy").hints == (first, (30.5, 40, "#000080"))
    assert editor.delete(0).hints == (second,)
    assert editor.clear().hints == ()


def test_undo_takes_back_one_change_after_the_other(editor):
    changes = [
        lambda one: one.move(0, 50, 60),
        lambda one: one.delete(1),
        lambda one: one.clear(),
        lambda one: one.add(1, 2, "red"),
        lambda one: one.load(editor.to_json()),
    ]
    versions = [editor]
    for change in changes:
        versions.append(change(versions[-1]))
    last = versions[-1]
    for version in reversed(versions[:-1]):
        last = last.undo()
        assert last.hints == version.hints
    assert editor.undo().undo().undo().hints == ()


def test_an_editor_itself_does_not_change(editor):
    before = editor.hints
    editor.clear()
    assert editor.hints == before


def test_json_brings_the_same_hints_back(editor):
    assert HintEditor(SIZE).load(editor.to_json()).hints == editor.hints
    assert json.loads(editor.to_json()) == {
        "size": [400, 300],
        "hints": [
            {"x": 10, "y": 20, "color": "#b03020"},
            {"x": 30.5, "y": 40, "color": "#008080"},
        ],
    }


def test_positions_are_scaled_to_another_size_of_the_same_image(editor):
    assert hints_from_json(editor.to_json(), (200, 150))[0] == (5, 10, "#b03020")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "these are no hints"),
        ("[]", "these are no hints"),
        ('{"size": [0, 3], "hints": []}', "these are no hints"),
        ('{"size": [400, 300], "hints": 7}', "these are no hints"),
        ('{"size": [300, 400], "hints": []}', "for an image of 300x400, which 400x300 is no"),
        ('{"size": [400, 300], "hints": [{"x": 1, "y": 2}]}', "None is no color"),
        ('{"size": [400, 300], "hints": [{"x": 400, "y": 2, "color": "red"}]}', "outside"),
    ],
)
def test_what_is_no_file_of_hints_for_the_image_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        hints_from_json(text, SIZE)


def test_a_wrong_place_or_color_is_refused(editor):
    with pytest.raises(ValueError, match="outside"):
        editor.add(400, 0, "red")
    with pytest.raises(ValueError, match="is no color"):
        editor.recolor(0, "mauvish")
