"""The calls and commands that a new user gets wrong most easily, each with its whole error."""

import pytest

from helpers.images import make_image
from scsnet_hf import cli, embedded_checkpoint

CALLS = {
    'pipe("")': "the path of the image is empty: give a path or an http(s) URL",
    'pipe("missing.jpg")': "missing.jpg: no such file or directory",
    'pipe("notes.txt")': "notes.txt: is not an image that can be read (JPEG, PNG, TIFF, ...)",
    'pipe("old.jpg", size=512)': (
        "size=512: give (width, height) in pixels, such as size=(512, 384), or long_side=512 for "
        "the longer side alone"
    ),
    'pipe("old.jpg", scale=2, size=(512, 384))': (
        "give only one of scale, size and long_side, not scale and size"
    ),
    'pipe("old.jpg", scale=100)': "scale=100: must be a number from 0.5 to 16",
    'pipe("old.jpg", batch_size=0)': "batch_size: 0 must be a whole number, 1 or more",
    'pipe("old.jpg", references="new.jpg")': (
        "ScsColorizeSrPipeline.__call__() got an unexpected keyword argument 'references'"
    ),
    'pipe(["old.jpg", "new.jpg"], reference=["new.jpg"])': (
        "1 references for 2 images: give one for all, or a list with one for each"
    ),
    'embedded_checkpoint("large")': (
        "no checkpoint 'large' in the package: choose one of medium, small"
    ),
}
COMMANDS = {
    "missing.jpg": "missing.jpg: no such file or directory",
    "notes.txt": "notes.txt: is not an image that can be read (JPEG, PNG, TIFF, ...)",
    "empty/": (
        "no images or videos in empty/; they are found by their suffixes, such as .jpg, .png, .tif "
        "or .mp4"
    ),
    "old.jpg new.jpg -o out.png": (
        "-o out.png: is the name of one file, but several inputs need a folder; give a folder (-o "
        "out)"
    ),
    "old.jpg --scale 100": "--scale 100.0: must be a number from 0.5 to 16",
    "old.jpg --size 512": ("argument --size: '512' is not WIDTHxHEIGHT, for example 1920x1080"),
    "old.jpg --scale 2 --size 512x384": "argument --size: not allowed with argument --scale",
    "old.jpg --tile-size 1": (
        "--tile-size 1: must be 16 or more; without the option, tiles are as large as free memory "
        "allows"
    ),
    "old.jpg --device banana": "--device banana: is not available; this machine has cpu",
    "old.jpg --model smal": (
        "--model smal: is neither a folder, nor one of medium, small, nor a Hub id (user/name)"
    ),
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_photographs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("old.jpg", "new.jpg"):
        make_image(24, 16).save(name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_call_says_what_to_give(call, tiny_pipe):
    with pytest.raises((ValueError, TypeError, OSError)) as error:
        eval(call, {"pipe": tiny_pipe, "embedded_checkpoint": embedded_checkpoint})
    assert str(error.value) == CALLS[call]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_wrong_command_says_what_to_give(arguments, capsys):
    try:
        code = cli.main(["colorize", *arguments.split()])
    except SystemExit as error:
        code = error.code
    assert code == 2
    lines = capsys.readouterr().err.splitlines()
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
    assert len(errors) == 1
    assert errors[0].startswith(COMMANDS[arguments])
