"""Charts of benchmarks."""

import json

import numpy as np
import pytest
from PIL import Image

from research.figures.efficiency import Efficiency, efficiency_figure, read_efficiency
from research.figures.sizes import SizeCost, read_sizes, size_figure

pytest.importorskip("matplotlib")


class TestChart:
    ROWS = {
        "ours": Efficiency(0.1, 70, 4_000_000, ours=True),
        "theirs@256+more": Efficiency(1.0, 500, 56_000_000, ours=False),
    }

    def colors(self, rows, tmp_path) -> dict[str, int]:
        """Pixels of each color."""
        efficiency_figure(rows).savefig(tmp_path / "chart.png")
        with Image.open(tmp_path / "chart.png") as image:
            assert image.width == 1000
            hue, saturation, _ = np.moveaxis(np.asarray(image.convert("HSV"), int), -1, 0)
        strong = saturation > 60
        red = strong & ((hue < 16) | (hue > 240))
        return {"red": int(red.sum()), "blue": int((strong & (abs(hue - 146) < 16)).sum())}

    def test_only_ours_is_red(self, tmp_path):
        both = self.colors(self.ROWS, tmp_path)
        theirs = self.colors({"theirs@256+more": self.ROWS["theirs@256+more"]}, tmp_path)
        assert min(both.values()) > 100
        assert theirs["red"] == 0

    def test_the_area_of_a_circle_is_its_parameters(self, tmp_path):
        def area(millions):
            row = self.ROWS["theirs@256+more"]._replace(parameters=millions * 1_000_000)
            return self.colors({"a@1+b": row}, tmp_path)["blue"]

        assert area(40) / area(10) == pytest.approx(4, rel=0.05)

    def test_names_of_circles_in_one_place_cover_neither_each_other_nor_a_circle(self):
        rows = {
            f"name {number}@1+x": Efficiency(1 + number / 1000, 100, 10**7, ours=False)
            for number in range(6)
        }
        rows["far away@1+x"] = Efficiency(3, 300, 10**7, ours=False)
        from matplotlib.text import Text  # its extent is without the line to the circle

        figure = efficiency_figure(rows)
        (axes,) = figure.axes
        names = {text.get_text(): Text.get_window_extent(text) for text in axes.texts}
        assert names.keys() == {name.replace("+", " + ") for name in rows}
        boxes = list(names.values())
        for number, box in enumerate(boxes):
            assert box.count_overlaps(boxes[:number]) == 0
            assert not box.contains(*axes.transData.transform((1, 100)))

    def test_it_reads_what_the_benchmark_writes(self, tmp_path):
        values = {
            "wall": {"medium": [0.3], "a@1+b": [7]},
            "parameters": {"medium": [4e6], "a@1+b": [7e7]},
            "cpu": {"medium": [0.3, 0.1, 0.2], "a@1+b": [5, 6, 7]},
            "memory": {"medium": [71.0], "a@1+b": [500.0]},
        }
        record = tmp_path / "networks.json"
        record.write_text(json.dumps({"command": "networks", "measurements": values}))
        assert read_efficiency(record) == {
            "medium": (0.2, 71.0, 4e6, True),
            "a@1+b": (6, 500.0, 7e7, False),
        }

    @pytest.mark.parametrize("text", ["", "[]", '{"command": "loader", "measurements": {}}'])
    def test_another_file_is_refused(self, tmp_path, text):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(ValueError, match=r"other\.json: not a record"):
            read_efficiency(tmp_path / "other.json")


class TestSizeChart:
    COSTS = (SizeCost(0.25, 0.6, 200), SizeCost(1.0, 0.5, 300), SizeCost(16.0, 0.7, 800))

    def test_it_reads_what_the_benchmark_writes(self, tmp_path):
        values = {
            "wall": {"2000x1000": [4.0, 1.0, 2.0], "500x500": [0.5]},
            "memory": {"2000x1000": [300.0], "500x500": [200.0]},
        }
        record = tmp_path / "sizes.json"
        record.write_text(json.dumps({"command": "sizes", "measurements": values}))
        assert read_sizes(record) == [(0.25, 2.0, 200.0), (2.0, 1.0, 300.0)]

    @pytest.mark.parametrize(
        "record",
        [
            {"command": "sizes", "measurements": {"wall": {"40x30": [1.0]}, "memory": {}}},
            {"command": "sizes", "measurements": {"wall": {}, "memory": {}}},
            {"command": "networks", "measurements": {"wall": {"a": [1]}, "memory": {"a": [1]}}},
        ],
    )
    def test_another_file_is_refused(self, tmp_path, record):
        (tmp_path / "other.json").write_text(json.dumps(record))
        with pytest.raises(ValueError, match=r"other\.json: not a record of .* sizes"):
            read_sizes(tmp_path / "other.json")

    def test_both_quantities_are_plotted_over_the_size(self):
        time, memory = size_figure({"medium": self.COSTS}).axes
        for axes, quantity in ((time, "seconds"), (memory, "memory")):
            (line,) = axes.lines
            assert line.get_xydata().tolist() == [
                [cost.megapixels, getattr(cost, quantity)] for cost in self.COSTS
            ]
            assert axes.get_xscale() == "log"
            assert axes.get_ylim()[0] == 0

    def test_several_records_have_a_legend(self):
        time, _ = size_figure({"medium": self.COSTS, "small": self.COSTS[:2]}).axes
        assert [text.get_text() for text in time.get_legend().get_texts()] == ["medium", "small"]
        assert len({line.get_color() for line in time.lines}) == 2
