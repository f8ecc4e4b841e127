"""scripts/figures.py."""

import json
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

from helpers.images import make_image

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "figures.py"


@pytest.fixture
def figures(monkeypatch):
    """The script as a function of its arguments."""

    def call(*arguments) -> None:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")

    return call


@pytest.mark.parametrize(
    ("command", "mentioned"),
    [
        ("images", "IMAGE[=REFERENCE]"),
        ("comparison", "--numbers"),
        ("attention", "--point"),
        ("zoom", "--frames"),
        ("efficiency", "RECORD"),
        ("sizes", "RECORD"),
    ],
)
def test_help(figures, capsys, command, mentioned):
    with pytest.raises(SystemExit) as stop:
        figures(command, "--help")
    assert stop.value.code == 0
    assert mentioned in capsys.readouterr().out


def test_images_stand_side_by_side(figures, tmp_path, tiny_checkpoint):
    image, reference = tmp_path / "gray.png", tmp_path / "color.png"
    make_image(24, 16, "L").save(image)
    make_image(24, 16).save(reference)
    sizes = []
    for number, given in enumerate((image, f"{image}={reference}")):
        output = tmp_path / f"{number}.png"
        figures("images", output, given, "--model", tiny_checkpoint, "--scale", 2, "--width", 48)
        with Image.open(output) as figure:
            sizes.append(figure.size)
    (two, height), (four, same_height) = sizes
    assert 2 * 48 < two < 3 * 48 < 4 * 48 < four < 5 * 48
    assert height == same_height


class TestComparison:
    """Of a run whose methods made plain images."""

    COLORS = {"automatic": (255, 0, 0), "cascade": (0, 255, 0), "truth": (0, 0, 255)}

    @pytest.fixture
    def run(self, tmp_path):
        folder = tmp_path / "run"
        for name, color in self.COLORS.items():
            for number in range(2):
                path = folder / "images" / name / f"{number:05}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (40, 30), color).save(path)
        (folder / "results.json").write_text('{"counts": {"automatic": 2, "cascade": 2}}')
        return folder

    def colors_of(self, path: Path) -> set[tuple[int, ...]]:
        """Colors of the panels."""
        with Image.open(path) as figure:
            return {color for _, color in figure.getcolors(1 << 16)} & set(self.COLORS.values())

    def test_a_row_has_all_methods_and_the_truth(self, figures, run, tmp_path):
        one, two = tmp_path / "one.png", tmp_path / "two.png"
        figures("comparison", one, run, "--numbers", 1, "--width", 40)
        figures("comparison", two, run, "--numbers", 0, 1, "--width", 40)
        assert self.colors_of(one) == set(self.COLORS.values())
        with Image.open(one) as first, Image.open(two) as second:
            assert first.width == second.width >= 3 * 40
            assert second.height > 1.8 * first.height

    def test_methods_can_be_chosen(self, figures, run, tmp_path):
        output = tmp_path / "figure.png"
        figures("comparison", output, run, "--numbers", 0, "--methods", "cascade")
        assert self.colors_of(output) == {self.COLORS["cascade"], self.COLORS["truth"]}

    def test_a_missing_image_is_told(self, figures, run, tmp_path):
        with pytest.raises(SystemExit, match="has no image 7"):
            figures("comparison", tmp_path / "figure.png", run, "--numbers", 7)


@pytest.fixture
def gray(tmp_path):
    make_image(64, 48, "L").save(tmp_path / "gray.png")
    return tmp_path / "gray.png"


def test_attention_has_a_row_for_every_point_and_both_valves(
    figures, tmp_path, gray, tiny_checkpoint
):
    make_image(48, 48).save(tmp_path / "color.png")
    heights = []
    for points in (["25,60"], ["25,60", "70,40"]):
        given = [word for place in points for word in ("--point", place)]
        arguments = (gray, tmp_path / "color.png", *given, "--model", tiny_checkpoint)
        figures("attention", tmp_path / "figure.png", *arguments, "--width", 48)
        with Image.open(tmp_path / "figure.png") as figure:
            assert 4 * 48 < figure.width < 5 * 48  # the image and three levels
            heights.append(figure.height)
    one, two = heights
    assert 1.2 < two / one < 1.5  # three rows and four


@pytest.mark.parametrize("place", ["25", "a,b", "25,101", "-1,5"])
def test_a_point_that_is_none_is_refused(figures, capsys, place):
    with pytest.raises(SystemExit) as stop:
        figures("zoom", "zoom.webp", "gray.png", f"--point={place}")
    assert stop.value.code == 2
    assert place in capsys.readouterr().err


def test_zoom_is_an_animation_or_a_strip(figures, tmp_path, gray, tiny_checkpoint):
    arguments = (gray, "--model", tiny_checkpoint, "--scale", 4, "--width", 64)
    figures("zoom", tmp_path / "zoom.webp", *arguments, "--frames", 3)
    with Image.open(tmp_path / "zoom.webp") as animation:
        assert (animation.n_frames, animation.size) == (3, (64, 48))
    figures("zoom", tmp_path / "strip.png", *arguments)
    with Image.open(tmp_path / "strip.png") as strip:
        assert 3 * 64 < strip.width < 4 * 64  # at 1, 2 and 4


def test_the_truth_is_the_last_column(figures, tmp_path, tiny_checkpoint):
    Image.new("RGB", (24, 16), "red").save(tmp_path / "color.png")
    arguments = ("--model", tiny_checkpoint, "--scale", 1, "--width", 48, "--truth")
    figures("images", tmp_path / "figure.png", tmp_path / "color.png", *arguments)
    with Image.open(tmp_path / "figure.png") as figure:
        assert figure.width > 3 * 48
        assert figure.getpixel((figure.width - 24, figure.height - 16)) == (255, 0, 0)
        assert figure.getpixel((24, figure.height - 16)) != (255, 0, 0)


def test_efficiency_of_a_record(figures, tmp_path):
    pytest.importorskip("matplotlib")
    rows = {"medium": [1.0], "ddcolor-tiny@512+rrdbnet": [9.0]}
    values = dict.fromkeys(("cpu", "wall", "memory", "parameters"), rows)
    record = {"command": "networks", "measurements": values}
    (tmp_path / "networks.json").write_text(json.dumps(record))
    figures("efficiency", tmp_path / "efficiency.png", tmp_path / "networks.json")
    with Image.open(tmp_path / "efficiency.png") as image:
        assert image.width == 1000


def test_sizes_of_records_are_named_after_their_files(figures, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from research.figures import sizes

    monkeypatch.chdir(tmp_path)
    rows, names, draw = {"512x512": [1.0], "2048x2048": [9.0]}, [], sizes.size_figure
    monkeypatch.setattr(sizes, "size_figure", lambda costs: names.extend(costs) or draw(costs))
    for model in ("medium", "small"):
        record = {"command": "sizes", "measurements": {"wall": rows, "memory": rows}}
        Path(f"{model}.json").write_text(json.dumps(record))
    figures("sizes", "sizes.png", "medium.json", "small.json")
    with Image.open("sizes.png") as image:
        assert image.width == 1000
    assert names == ["medium", "small"]


@pytest.mark.parametrize("command", ["efficiency", "sizes"])
def test_a_record_of_something_else_is_one_line(figures, tmp_path, command):
    (tmp_path / "loader.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"^figures\.py: .*loader\.json: not a record"):
        figures(command, tmp_path / "figure.png", tmp_path / "loader.json")
