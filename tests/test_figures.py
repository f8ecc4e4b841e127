"""scripts/figures.py."""

import runpy
import sys
from pathlib import Path

import pytest
from conftest import make_picture
from PIL import Image
from test_curves import make_run

SCRIPT = Path(__file__).parent.parent / "scripts" / "figures.py"


@pytest.fixture
def figures(monkeypatch):
    """The script as a function of its arguments."""

    def call(*arguments) -> None:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")

    return call


@pytest.mark.parametrize(
    ("command", "mentioned"), [("pictures", "PICTURE[=REFERENCE]"), ("curves", "RUN")]
)
def test_help(figures, capsys, command, mentioned):
    with pytest.raises(SystemExit) as stop:
        figures(command, "--help")
    assert stop.value.code == 0
    assert mentioned in capsys.readouterr().out


def test_pictures_stand_side_by_side(figures, tmp_path, tiny_checkpoint):
    picture, reference = tmp_path / "gray.png", tmp_path / "color.png"
    make_picture(24, 16, "L").save(picture)
    make_picture(24, 16).save(reference)
    sizes = []
    for number, given in enumerate((picture, f"{picture}={reference}")):
        output = tmp_path / f"{number}.png"
        figures("pictures", output, given, "--model", tiny_checkpoint, "--scale", 2, "--width", 48)
        with Image.open(output) as figure:
            sizes.append(figure.size)
    (two, height), (four, same_height) = sizes
    assert 2 * 48 < two < 3 * 48 < 4 * 48 < four < 5 * 48
    assert height == same_height


def test_the_truth_is_the_last_column(figures, tmp_path, tiny_checkpoint):
    Image.new("RGB", (24, 16), "red").save(tmp_path / "color.png")
    arguments = ("--model", tiny_checkpoint, "--scale", 1, "--width", 48, "--truth")
    figures("pictures", tmp_path / "figure.png", tmp_path / "color.png", *arguments)
    with Image.open(tmp_path / "figure.png") as figure:
        assert figure.width > 3 * 48
        assert figure.getpixel((figure.width - 24, figure.height - 16)) == (255, 0, 0)
        assert figure.getpixel((24, figure.height - 16)) != (255, 0, 0)


def test_curves_of_runs(figures, tmp_path):
    runs = [make_run(tmp_path / name, 50) for name in ("content", "full")]
    figures("curves", tmp_path / "curves.png", *runs)
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width == 1000


def test_runs_are_told_apart_by_their_folders(figures, tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(
        "scsnet_hf.training.curves.draw_curves", lambda runs, path: names.extend(runs)
    )
    runs = [make_run(tmp_path / one / "run", 50) for one in ("content", "full")]
    figures("curves", tmp_path / "curves.png", *runs)
    assert names == ["content/run", "full/run"]


def test_a_folder_without_a_run_is_one_line(figures, tmp_path):
    with pytest.raises(SystemExit, match=r"^figures\.py: .*no complete checkpoint"):
        figures("curves", tmp_path / "curves.png", tmp_path / "none")
