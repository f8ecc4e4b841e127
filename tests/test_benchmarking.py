"""What networks cost: counting exactly, and measuring on next to nothing."""

import json
import os
import sys
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from layers_as_rows import layers_of
from PIL import Image
from torch import nn

from scsnet_hf import SCSNetConfig
from scsnet_hf.benchmarking import cascades, heads
from scsnet_hf.benchmarking.chart import (
    Efficiency,
    draw_efficiency,
    efficiency_figure,
    read_efficiency,
)
from scsnet_hf.benchmarking.meters import Subject, clock, multiply_adds, peak_memory
from scsnet_hf.benchmarking.process import in_fresh_process
from scsnet_hf.benchmarking.rounds import add_up, measure
from scsnet_hf.benchmarking.tables import cost_table, ratios, spread
from scsnet_hf.pixel_mapping import ContinuousPixelMapping, PixelGrid


class TestFreshProcess:
    def test_threads_wait_without_spinning(self):
        assert in_fresh_process(os.getenv, key="OMP_WAIT_POLICY") == "passive"
        assert in_fresh_process(os.getenv, {"PAINT": "red"}, key="PAINT") == "red"

    def test_a_wrong_value_is_told(self):
        with pytest.raises(ValueError, match="Expecting value"):
            in_fresh_process(json.loads, s="no JSON")

    def test_a_crash_is_none(self, capfd):
        with pytest.raises(RuntimeError, match="loads: exit code 1"):
            in_fresh_process(json.loads, s=1)
        assert "TypeError" in capfd.readouterr().err


class TestMeters:
    def test_multiply_adds_of_a_convolution_and_of_attention(self):
        convolution = nn.Conv2d(8, 16, 3, padding=1)
        run = Subject.of(convolution, torch.rand(1, 8, 10, 20)).run
        assert multiply_adds(run) == pytest.approx(8 * 16 * 9 * 200 / 1e9)
        query, key = torch.rand(1, 2, 30, 4), torch.rand(1, 2, 50, 4)
        attention = nn.functional.scaled_dot_product_attention
        run = torch.inference_mode()(lambda: attention(query, key, key))
        assert multiply_adds(run) == pytest.approx(2 * 2 * 30 * 50 * 4 / 1e9)

    def test_a_subject_keeps_no_gradients_and_stores_by_pixel(self):
        seen = []
        network = nn.Conv2d(3, 4, 3)
        network.register_forward_hook(lambda module, inputs, made: seen.append((inputs[0], made)))
        subject = Subject.of(network, torch.rand(1, 3, 8, 8))
        subject.run()
        assert subject.parameters == 3 * 4 * 9 + 4
        for tensor in seen[0]:
            assert tensor.is_contiguous(memory_format=torch.channels_last)
            assert not tensor.requires_grad

    def test_sleep_is_wall_time_only(self):
        spent = clock(lambda: time.sleep(0.2))
        assert spent.wall >= 0.2
        assert spent.processor < 0.1

    @pytest.mark.skipif(sys.platform != "linux", reason="Linux alone")
    def test_peak_memory_is_what_is_held_at_once(self):
        def hold() -> None:
            for _ in range(3):
                np.ones(2**23)  # 64 MiB, let go before the next

        assert peak_memory(hold) == pytest.approx(64, abs=16)
        assert peak_memory(lambda: None) < 16


@pytest.fixture(scope="module")
def values():
    """What two layers cost, and both, in two rounds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        return measure(layers_of, ["a", "b", "ab"], 2, side=4)


class TestRounds:
    def test_every_quantity_of_every_row(self, values):
        assert set(values) == {"parameters", "gmacs", "processor", "wall", "memory"}
        for quantity in ("parameters", "gmacs", "processor", "wall"):
            assert list(values[quantity]) == ["a", "b", "ab"]

    def test_a_row_is_the_sum_of_its_stages_in_each_round(self, values):
        for quantity, rounds in (("parameters", 1), ("gmacs", 1), ("processor", 2), ("wall", 2)):
            of = values[quantity]
            assert len(of["ab"]) == rounds
            assert of["ab"] == pytest.approx([a + b for a, b in zip(of["a"], of["b"], strict=True)])

    def test_the_numbers_are_those_of_the_layers(self, values):
        assert values["parameters"] == {"a": [3], "b": [5], "ab": [8]}
        assert values["gmacs"]["ab"] == pytest.approx([8 * 16 / 1e9])
        assert min(values["wall"]["b"]) >= 0.1

    def test_sums_are_within_a_round(self):
        assert add_up({"a": [1, 2], "b": [10, 20], "c": [100, 200]}, ["a", "c"]) == [101, 202]


class TestTables:
    def test_a_ratio_is_to_the_first_row_in_the_same_round(self):
        seconds = {"ours": [1.0, 2.0, 4.0], "theirs": [3.0, 6.0, 12.0]}
        assert ratios(seconds, "theirs") == [3, 3, 3]
        assert ratios(seconds, "ours") == [1, 1, 1]

    def test_median_and_range(self):
        assert spread([3.0, 1.0, 2.0], 2) == "2.00 (1.00 to 3.00)"

    def test_rows_are_markdown(self):
        values = {
            "parameters": {"ours": [4_000_000], "theirs": [70_000_000]},
            "gmacs": {"ours": [5.55], "theirs": [390]},
            "processor": {"ours": [0.5], "theirs": [8.0]},
            "wall": {"ours": [0.25], "theirs": [5.0]},
            "memory": {"ours": [71.4]},
        }
        header, rule, ours, theirs = cost_table("network", values).split("\n")
        assert header.startswith("| network | parameters (M) | GMACs | processor s | wall s | ")
        assert rule.count("---") == header.count(" | ") + 1
        assert ours.startswith("| ours | 4.00 | 5.5 | 0.50 (0.50 to 0.50) | 0.25 (0.25 to 0.25) |")
        assert "| 4.00 | 71 | 1.00 (1.00 to 1.00) | 1.00 (1.00 to 1.00) |" in ours
        assert "| 0.20 | - | 16.00 (16.00 to 16.00) | 20.00 (20.00 to 20.00) |" in theirs


class TestCascades:
    SETTING = {"model": "medium", "size": 16, "device": "cpu"}

    def test_rows_of_the_model_the_other_presets_and_cascades(self):
        rows = cascades.default_rows("runs/small")
        assert rows[:4] == ["small", "small+reference", "base", "base+reference"]
        assert [row for row in rows if cascades.is_cascade(row)] == list(cascades.CASCADES)
        assert len(rows) == len(set(rows))

    def test_a_cascade_is_two_stages_which_rows_share(self):
        def names(row):
            return list(cascades.stages_of(row, **self.SETTING))

        assert names("ddcolor-tiny@512+rrdbnet") == ["ddcolor-tiny@512", "rrdbnet"]
        assert names("ddcolor-tiny@256+rrdbnet") == ["ddcolor-tiny@256", "rrdbnet"]
        assert names("medium") == ["medium"]

    @pytest.mark.parametrize(
        "row",
        [
            "huge",
            "medium+picture",
            "rrdbnet",
            "siggraph17+rrdbnet",
            "siggraph17@256+bicubic",
            "siggraph17@100+rrdbnet",
        ],
    )
    def test_a_row_that_is_none_is_refused(self, row):
        with pytest.raises(ValueError, match="no row"):
            cascades.measure_cascades(rows=[row], repeats=1, **self.SETTING)

    @pytest.mark.parametrize(("row", "millions"), [("base", 9.954), ("base+reference", 15.358)])
    def test_parameters_of_the_papers_size(self, row, millions):
        (build,) = cascades.stages_of(row, **self.SETTING).values()
        assert build().parameters / 1e6 == pytest.approx(millions, rel=0.01)

    @pytest.mark.parametrize("row", ["tiny", "tiny+reference"])
    def test_ours_is_enlarged_four_times(self, row):
        (build,) = cascades.stages_of(row, **self.SETTING).values()
        assert build().run().reconstruction.shape == (1, 3, 64, 64)

    def test_a_checkpoint_of_another_precision_runs_in_float32(self, tmp_path, tiny_model):
        deepcopy(tiny_model).half().save_pretrained(tmp_path / "half")
        setting = {**self.SETTING, "model": str(tmp_path / "half")}
        (build,) = cascades.stages_of("half", **setting).values()
        assert build().run().color_features.dtype == torch.float32

    def test_colorizers_have_a_size_of_their_own(self):
        colorizer, upscaler = (
            build().run()
            for build in cascades.stages_of("siggraph17@32+srvgg-16", **self.SETTING).values()
        )
        assert colorizer.shape == (1, 2, 32, 32)
        assert upscaler.shape == (1, 3, 64, 64)

    def test_a_model_that_is_not_there_is_told(self, tmp_path):
        setting = {**self.SETTING, "model": str(tmp_path / "none")}
        with pytest.raises(ValueError, match="none"):
            cascades.measure_cascades(rows=["none"], repeats=1, **setting)


class TestHeads:
    @pytest.mark.parametrize("row", heads.HEADS)
    @pytest.mark.parametrize(("scale", "side"), [(4.0, 24), (2.7, 16)])
    def test_pixels_of_any_magnification(self, row, scale, side):
        (build,) = heads.stages_of(row, scale, size=6, device="cpu").values()
        assert build().run().shape == (1, 3, side, side)

    @pytest.mark.parametrize(
        ("row", "millions"),
        [("cpm", 0.346), ("cpm-plain", 0.346), ("meta", 0.445), ("liif", 0.347)],
    )
    def test_parameters_are_the_papers(self, row, millions):
        (build,) = heads.stages_of(row, 4.0, size=6, device="cpu").values()
        assert build().parameters / 1e6 == pytest.approx(millions, rel=2e-3)

    @pytest.mark.parametrize(
        ("row", "gmacs"),  # with the convolution from 64 to 256 channels, 2.4 GMACs
        [("cpm", 35.6 + 2.4), ("cpm-plain", 51.9 + 2.4), ("meta", 116.6), ("liif", 362.7)],
    )
    def test_multiply_adds_grow_with_the_pixels(self, row, gmacs):
        """`gmacs` are from 128 to 512; a sixteenth is as much from 32 to 128."""
        with torch.device("meta"):
            (build,) = heads.stages_of(row, 4.0, size=32, device="meta").values()
            assert 16 * multiply_adds(build().run) == pytest.approx(gmacs, rel=0.01)

    def test_the_plain_form_gives_the_same_pixels(self):
        config = SCSNetConfig.from_preset("tiny")
        head, plain = ContinuousPixelMapping(config), heads.PlainPixelMapping(config)
        plain.load_state_dict(head.state_dict())
        features, grid = torch.rand(2, 8, 5, 7), PixelGrid.whole((5, 7), (13, 19))
        torch.testing.assert_close(plain(features, grid), head(features, grid), atol=1e-5, rtol=0)

    def test_a_head_that_is_none_is_refused(self):
        with pytest.raises(ValueError, match="no head 'nearest': choose one of cpm, "):
            heads.measure_heads(4.0, ["nearest"], repeats=1, size=6, device="cpu")


class TestChart:
    ROWS = {
        "ours": Efficiency(0.1, 70, 4_000_000, ours=True),
        "theirs@256+more": Efficiency(1.0, 500, 56_000_000, ours=False),
    }

    def colors(self, rows, tmp_path) -> dict[str, int]:
        """Pixels of each colour."""
        draw_efficiency(rows, tmp_path / "chart.png")
        with Image.open(tmp_path / "chart.png") as picture:
            assert picture.width == 1000
            hue, saturation, _ = np.moveaxis(np.asarray(picture.convert("HSV"), int), -1, 0)
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
        figure = efficiency_figure(rows)
        (axes,) = figure.axes
        names = {text.get_text(): text.get_window_extent() for text in axes.texts}
        assert names.keys() == {name.replace("+", " + ") for name in rows}
        boxes = list(names.values())
        for number, box in enumerate(boxes):
            assert box.count_overlaps(boxes[:number]) == 0
            assert not box.contains(*axes.transData.transform((1, 100)))

    def test_it_reads_what_the_benchmark_writes(self, tmp_path):
        repeats = {
            "parameters": {"medium": [4e6], "a@1+b": [7e7]},
            "processor": {"medium": [0.3, 0.1, 0.2], "a@1+b": [5, 6, 7]},
            "memory": {"medium": [71.0], "a@1+b": [500.0]},
        }
        record = tmp_path / "cascades.json"
        record.write_text(json.dumps({"repeats": repeats}))
        assert read_efficiency(record) == {
            "medium": (0.2, 71.0, 4e6, True),
            "a@1+b": (6, 500.0, 7e7, False),
        }

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"repeats": {"loader": {"0": [1.0]}}}'])
    def test_another_file_is_refused(self, tmp_path, text):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(ValueError, match=r"other\.json: not a record"):
            read_efficiency(tmp_path / "other.json")

    def test_nothing_to_draw(self, tmp_path):
        with pytest.raises(ValueError, match="nothing to draw"):
            draw_efficiency({}, tmp_path / "chart.png")
