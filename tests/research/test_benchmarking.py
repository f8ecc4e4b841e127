"""What networks cost: exact counts, and measurements of tiny workloads."""

import json
import os
import sys
import time
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from helpers.layers_as_rows import plan_layers
from research.benchmark import call_profile, folder, networks, result_sizes, upsamplers
from research.benchmark.images import smooth_gray
from research.benchmark.interleaved import measure_rows, sum_runs
from research.benchmark.process import run_in_fresh_process
from research.benchmark.profiling import (
    Workload,
    clock,
    matrix_rate,
    multiply_adds,
    peak_memory,
)
from research.benchmark.tables import (
    call_profile_tables,
    folder_table,
    network_table,
    ratios,
    share_of_rate,
    size_table,
    spread,
)
from scsnet_hf import SCSNetConfig
from scsnet_hf.pixel_mapping import PixelGrid
from scsnet_hf.upsamplers import ContinuousPixelMapping


class TestFreshProcess:
    def test_threads_wait_without_spinning(self):
        before = dict(os.environ)
        assert run_in_fresh_process(os.getenv, "OMP_WAIT_POLICY") == "passive"
        assert run_in_fresh_process(os.getenv, "PAINT", environment={"PAINT": "red"}) == "red"
        assert dict(os.environ) == before

    def test_an_error_is_passed_on(self):
        with pytest.raises(ValueError, match="Expecting value"):
            run_in_fresh_process(json.loads, s="no JSON")

    def test_a_crash_is_an_error(self):
        with pytest.raises(RuntimeError, match="terminated abruptly"):
            run_in_fresh_process(os._exit, 1)


class TestProfiling:
    def test_multiply_adds_of_a_convolution_and_of_attention(self):
        convolution = nn.Conv2d(8, 16, 3, padding=1)
        run = Workload.from_network(convolution, torch.rand(1, 8, 10, 20)).run
        assert multiply_adds(run) == pytest.approx(8 * 16 * 9 * 200 / 1e9)
        query, key = torch.rand(1, 2, 30, 4), torch.rand(1, 2, 50, 4)
        attention = nn.functional.scaled_dot_product_attention
        run = torch.inference_mode()(lambda: attention(query, key, key))
        assert multiply_adds(run) == pytest.approx(2 * 2 * 30 * 50 * 4 / 1e9)

    def test_a_workload_keeps_no_gradients_and_is_channels_last(self):
        seen = []
        network = nn.Conv2d(3, 4, 3)
        network.register_forward_hook(
            lambda module, inputs, output: seen.append((inputs[0], output))
        )
        workload = Workload.from_network(network, torch.rand(1, 3, 8, 8))
        workload.run()
        assert workload.parameters == 3 * 4 * 9 + 4
        for tensor in seen[0]:
            assert tensor.is_contiguous(memory_format=torch.channels_last)
            assert not tensor.requires_grad

    def test_sleep_is_wall_time_only(self):
        spent = clock(lambda: time.sleep(0.2))
        assert spent.wall >= 0.2
        assert spent.cpu < 0.1

    def test_any_machine_multiplies_at_some_rate(self):
        assert 0.1 < matrix_rate() < 1e7  # GFLOP/s

    @pytest.mark.skipif(sys.platform != "linux", reason="Linux alone")
    def test_peak_memory_is_what_is_held_at_once(self):
        def hold() -> None:
            for _ in range(3):
                np.ones(2**23)  # 64 MiB, freed before the next

        assert peak_memory(hold) == pytest.approx(64, abs=16)
        assert peak_memory(lambda: None) < 16


@pytest.fixture(scope="module")
def values():
    """What two layers cost, and both, in two runs."""
    return measure_rows(plan_layers, ["a", "b", "ab"], 2, side=4)


class TestRows:
    def test_every_quantity_of_every_row(self, values):
        of_rows = {"parameters", "gmacs", "cpu", "wall", "memory"}
        assert set(values) == {*of_rows, "matrix_rate"}
        for quantity in ("parameters", "gmacs", "cpu", "wall"):
            assert list(values[quantity]) == ["a", "b", "ab"]

    def test_a_row_is_the_sum_of_its_parts_in_each_run(self, values):
        for quantity, runs in (("parameters", 1), ("gmacs", 1), ("cpu", 2), ("wall", 2)):
            rows = values[quantity]
            sums = [a + b for a, b in zip(rows["a"], rows["b"], strict=True)]
            assert len(rows["ab"]) == runs
            assert rows["ab"] == pytest.approx(sums)

    def test_the_numbers_are_those_of_the_layers(self, values):
        assert values["parameters"] == {"a": [3], "b": [5], "ab": [8]}
        assert values["gmacs"]["ab"] == pytest.approx([8 * 16 / 1e9])
        assert min(values["wall"]["b"]) >= 0.1

    def test_every_run_has_the_rate_of_the_machine(self, values):
        (rates,) = values["matrix_rate"].values()
        assert len(rates) == 2
        assert min(rates) > 0

    def test_sums_are_within_a_run(self):
        assert sum_runs({"a": [1, 2], "b": [10, 20], "c": [100, 200]}, ["a", "c"]) == [101, 202]


class TestTables:
    def test_a_ratio_is_to_the_first_row_in_the_same_run(self):
        seconds = {"ours": [1.0, 2.0, 4.0], "theirs": [3.0, 6.0, 12.0]}
        assert ratios(seconds, "theirs") == [3, 3, 3]
        assert ratios(seconds, "ours") == [1, 1, 1]

    def test_median_and_range(self):
        assert spread([3.0, 1.0, 2.0], 2) == "2.00 (1.00 to 3.00)"

    def test_rows_are_markdown(self):
        values = {
            "parameters": {"ours": [4_000_000], "theirs": [70_000_000]},
            "gmacs": {"ours": [5.55], "theirs": [390]},
            "cpu": {"ours": [0.5], "theirs": [8.0]},
            "wall": {"ours": [0.25], "theirs": [5.0]},
            "memory": {"ours": [71.4]},
            "matrix_rate": {"float32": [444.0]},
        }
        header, rule, ours, theirs = network_table(values).split("\n")
        assert header.startswith("| network | parameters (M) | GMACs | CPU s | wall s | ")
        assert rule.count("---") == header.count(" | ") + 1
        assert ours.startswith("| ours | 4.00 | 5.5 | 0.50 (0.50 to 0.50) | 0.25 (0.25 to 0.25) |")
        assert ours.endswith("| 4.00 | 71 | 1.00 (1.00 to 1.00) | 1.00 (1.00 to 1.00) | 10% |")
        assert "| 0.20 | - | 16.00 (16.00 to 16.00) | 20.00 (20.00 to 20.00) |" in theirs

    def test_a_machine_that_only_multiplied_would_reach_its_rate(self):
        values = {
            "gmacs": {"all": [50.0], "half": [50.0]},  # 100 GFLOP
            "wall": {"all": [1.0, 2.0, 4.0], "half": [2.0, 4.0, 8.0]},
            "matrix_rate": {"float32": [100.0, 50.0, 25.0]},  # as slow in the same runs
        }
        assert share_of_rate(values, "all") == "100%"
        assert share_of_rate(values, "half") == "50%"

    def test_sizes_are_per_megapixel_and_relative_to_the_first(self):
        values = {
            "gmacs": {"1000x1000": [10.0], "2000x1000": [40.0]},
            "wall": {"1000x1000": [1.0], "2000x1000": [4.0]},
            "memory": {"1000x1000": [100.0], "2000x1000": [150.0]},
            "matrix_rate": {"float32": [40.0]},
        }
        *_, large = size_table(values).split("\n")
        seconds = "4.00 (4.00 to 4.00) | 2.000 (2.000 to 2.000)"
        assert large == f"| 2000x1000 | 2.0 | {seconds} | 150 | 4.00 (4.00 to 4.00) | 50% |"

    def test_a_folder_has_images_per_second(self):
        values = {"images": {"calls": [10], "command": [10]}}
        values["wall"] = {"calls": [4.0, 5.0, 6.0], "command": [2.0, 2.5, 3.0]}
        *_, calls, command = folder_table(values).split("\n")
        assert calls == "| calls | 5.0 (4.0 to 6.0) | 2.00 | 1.00 (1.00 to 1.00) |"
        assert command == "| command | 2.5 (2.0 to 3.0) | 4.00 | 0.50 (0.50 to 0.50) |"

    def test_stages_are_in_shares_of_the_whole(self):
        of_size = {
            "wall": {"decode": [1.0, 3.0], "network": [3.0, 9.0], "whole": [4.0, 12.0]},
            "gmacs": {"decode": [0], "network": [60.0], "whole": [60.0]},
            "matrix_rate": {"float32": [80.0, 80.0 / 3]},
        }
        tables = call_profile_tables({"40x30": of_size, "80x60": of_size}).split("\n\n")
        assert [one.split(" |")[0] for one in tables] == ["| 40x30", "| 80x60"]
        *_, decode, network, whole = tables[0].split("\n")
        assert decode == "| decode | 2000.0 (1000.0 to 3000.0) | 25.0% | 0.0 | 0% |"
        assert network.endswith("| 75.0% | 60.0 | 50% |")
        assert whole.endswith("| 100.0% | 60.0 | 38% |")


class TestNetworks:
    SETTING = {"model": "medium", "size": 16, "device": "cpu"}

    def test_rows_of_the_model_the_other_presets_and_cascades(self):
        rows = networks.default_rows("runs/small")
        assert rows[:4] == ["small", "small+reference", "base", "base+reference"]
        assert rows[4] == "base+plain"
        assert [row for row in rows if networks.is_cascade(row)] == list(networks.CASCADES)
        assert len(rows) == len(set(rows))

    def test_a_cascade_has_two_parts_which_rows_share(self):
        def names(row):
            return list(networks.plan_network(row, **self.SETTING))

        assert names("ddcolor-tiny@512+rrdbnet") == ["ddcolor-tiny@512", "rrdbnet"]
        assert names("ddcolor-tiny@256+rrdbnet") == ["ddcolor-tiny@256", "rrdbnet"]
        assert names("medium") == ["medium"]

    @pytest.mark.parametrize(
        "row",
        [
            "huge",
            "medium+plain+reference",
            "rrdbnet",
            "siggraph17+rrdbnet",
            "siggraph17@256+bicubic",
            "siggraph17@100+rrdbnet",
        ],
    )
    def test_an_unknown_row_is_refused(self, row):
        with pytest.raises(ValueError, match="no row"):
            networks.measure_networks(rows=[row], runs=1, **self.SETTING)

    @pytest.mark.parametrize(("row", "millions"), [("base", 9.954), ("base+reference", 15.358)])
    def test_parameters_of_the_papers_size(self, row, millions):
        (build,) = networks.plan_network(row, **self.SETTING).values()
        assert build().parameters / 1e6 == pytest.approx(millions, rel=0.01)

    def test_the_papers_form_is_the_same_network_with_more_work(self):
        own, plain = (
            next(iter(networks.plan_network(row, **self.SETTING).values()))()
            for row in ("tiny", "tiny+plain")
        )
        assert own.parameters == plain.parameters
        assert multiply_adds(own.run) < multiply_adds(plain.run)

    @pytest.mark.parametrize("row", ["tiny", "tiny+reference", "tiny+plain"])
    def test_ours_is_enlarged_four_times(self, row):
        (build,) = networks.plan_network(row, **self.SETTING).values()
        assert build().run().reconstruction.shape == (1, 3, 64, 64)

    def test_a_checkpoint_of_another_precision_runs_in_float32(self, tmp_path, tiny_model):
        deepcopy(tiny_model).half().save_pretrained(tmp_path / "half")
        setting = {**self.SETTING, "model": str(tmp_path / "half")}
        (build,) = networks.plan_network("half", **setting).values()
        assert build().run().color_features.dtype == torch.float32

    def test_colorizers_have_a_size_of_their_own(self):
        colorizer, upscaler = (
            build().run()
            for build in networks.plan_network("siggraph17@32+srvgg-16", **self.SETTING).values()
        )
        assert colorizer.shape == (1, 2, 32, 32)
        assert upscaler.shape == (1, 3, 64, 64)

    def test_a_missing_model_is_reported(self, tmp_path):
        setting = {**self.SETTING, "model": str(tmp_path / "none")}
        (build,) = networks.plan_network("none", **setting).values()
        with pytest.raises((OSError, ValueError), match="none"):
            build()


class TestUpsamplers:
    @pytest.mark.parametrize("row", upsamplers.UPSAMPLERS)
    @pytest.mark.parametrize(("scale", "side"), [(4.0, 24), (2.7, 16)])
    def test_pixels_of_any_magnification(self, row, scale, side):
        (build,) = upsamplers.plan_upsampler(row, scale, size=6, device="cpu").values()
        assert build().run().shape == (1, 3, side, side)

    @pytest.mark.parametrize(
        ("row", "millions"),
        [("cpm", 0.346), ("cpm-plain", 0.346), ("meta", 0.445), ("liif", 0.347)],
    )
    def test_parameters_are_the_papers(self, row, millions):
        (build,) = upsamplers.plan_upsampler(row, 4.0, size=6, device="cpu").values()
        assert build().parameters / 1e6 == pytest.approx(millions, rel=2e-3)

    @pytest.mark.parametrize(
        ("row", "size", "gmacs"),  # per pixel meta and liif cost the same at any size, and run long
        [
            # with the convolution from 64 to 256 channels
            ("cpm", 128, 34.6 + 2.4),
            ("cpm-base", 128, 21.1 + 2.4),
            ("cpm-plain", 128, 51.9 + 2.4),
            ("meta", 32, 116.6 / 16),
            ("liif", 32, 362.7 / 16),
        ],
    )
    def test_multiply_adds_from_128_to_512(self, row, size, gmacs):
        with torch.device("meta"):
            (build,) = upsamplers.plan_upsampler(row, 4.0, size, device="meta").values()
            assert multiply_adds(build().run) == pytest.approx(gmacs, rel=0.01)

    def test_the_plain_form_gives_the_same_pixels(self):
        config = SCSNetConfig.from_preset("tiny")
        head, plain = ContinuousPixelMapping(config), upsamplers.PlainPixelMapping(config)
        plain.load_state_dict(head.state_dict())
        features, grid = torch.rand(2, 8, 5, 7), PixelGrid.whole((5, 7), (13, 19))
        torch.testing.assert_close(plain(features, grid), head(features, grid), atol=1e-5, rtol=0)

    def test_an_unknown_upsampler_is_refused(self):
        with pytest.raises(ValueError, match="no upsampler 'nearest': choose one of cpm, "):
            upsamplers.measure_upsamplers(4.0, ["nearest"], runs=1, size=6, device="cpu")


class TestResultSizes:
    def size_of_result(self, checkpoint, row, **setting) -> tuple[int, int]:
        setting = {"model": str(checkpoint), "scale": 4.0, "device": "cpu", **setting}
        (build,) = result_sizes.plan_size(row, **setting).values()
        return build().run().size

    def test_results_have_the_size_of_their_row(self, checkpoint):
        assert self.size_of_result(checkpoint, "40x30") == (40, 30)
        assert self.size_of_result(checkpoint, "40x30", source="16x20") == (40, 30)

    def test_all_results_of_one_source_have_its_features(self, checkpoint):
        def gmacs(row, **setting):
            setting = {"model": str(checkpoint), "scale": 4.0, "device": "cpu", **setting}
            (build,) = result_sizes.plan_size(row, **setting).values()
            return multiply_adds(build().run)

        small, large = (gmacs(row, source="32x32") for row in ("48x48", "128x128"))
        assert small > gmacs("48x48")  # of 12x12 pixels
        assert large == gmacs("128x128")

    @pytest.mark.parametrize("wrong", [{"rows": ["40"]}, {"rows": ["40x30"], "source": "0x30"}])
    def test_what_is_no_size_is_refused(self, wrong):
        with pytest.raises(ValueError, match="is no size; give WIDTHxHEIGHT"):
            result_sizes.measure_result_sizes("medium", runs=1, scale=4.0, device="cpu", **wrong)

    def test_images_are_gray_and_differ_by_their_seed(self):
        one, same, other = (smooth_gray((40, 30), seed) for seed in (0, 0, 1))
        assert (one.size, one.mode) == ((40, 30), "L")
        assert one == same != other


class TestStageProfile:
    def costs(self, outer) -> dict[str, float]:
        """Costs that count the calls of `step`."""
        steps = []
        profile = call_profile.StageProfile()

        def count_steps(run) -> int:
            before = len(steps)
            run()
            return len(steps) - before

        return profile.costs_of(lambda: outer(profile, lambda: steps.append(1)), count_steps)

    def test_calls_of_a_stage_sum_runs(self):
        def outer(profile, step):
            step()  # outside of every stage
            once = profile.instrument("stage", step)
            once()
            once()

        assert self.costs(outer) == {"stage": 2}

    def test_a_stage_inside_another_does_not_count_twice(self):
        def outer(profile, step):
            inner = profile.instrument("inner", step)
            profile.instrument("outer", lambda: (step(), inner(), inner()))()
            inner()

        assert self.costs(outer) == {"outer": 1, "inner": 3}

    def test_results_and_arguments_pass_through(self):
        profile = call_profile.StageProfile()
        double = profile.instrument("stage", lambda number, times: number * times)
        assert double(3, times=2) == 6


@pytest.fixture(scope="module")
def of_sizes(checkpoint):
    """Stages of calls for two sizes of results, in two runs."""
    rows = ["64x48", "120x120"]
    return call_profile.profile_calls(str(checkpoint), rows, runs=2, scale=2.0, device="cpu")


class TestCallProfile:
    def test_every_stage_takes_time_in_every_run(self, of_sizes):
        assert list(of_sizes) == ["64x48", "120x120"]
        for values in of_sizes.values():
            assert set(values["wall"]) == {*call_profile.STAGES, *call_profile.SUMS}
            for seconds in values["wall"].values():
                assert len(seconds) == 2
                assert min(seconds) > 0

    def test_stages_add_up_to_the_whole(self, of_sizes):
        wall = of_sizes["64x48"]["wall"]
        whole = np.array(wall["whole"])
        assert whole == pytest.approx(sum(np.array(wall[stage]) for stage in call_profile.STAGES))
        assert whole == pytest.approx(
            np.array(wall["network"]) + np.array(wall["all but the network"])
        )

    def test_the_network_multiplies_and_files_do_not(self, of_sizes):
        gmacs = of_sizes["120x120"]["gmacs"]
        assert gmacs["decode"] == gmacs["encode"] == [0]
        assert min(gmacs[stage][0] for stage in call_profile.NETWORK) > 0
        assert gmacs["network"][0] > 0.8 * gmacs["whole"][0]

    def test_multiply_adds_are_those_of_the_network_alone(self, of_sizes, tiny_model):
        def run():
            with torch.inference_mode():
                tiny_model(torch.rand(1, 1, 60, 60), scale=2.0)

        assert of_sizes["120x120"]["gmacs"]["network"] == pytest.approx([multiply_adds(run)])

    def test_what_is_no_size_is_refused(self):
        with pytest.raises(ValueError, match="'large' is no size"):
            call_profile.measure_call_profile("medium", ["large"], 1, 4.0, "cpu")


class TestFolder:
    SETTING = {"runs": 1, "images": 4, "size": 8, "scale": 2.0, "device": "cpu"}

    def test_both_ways_color_all_images(self, checkpoint, in_this_process):
        values = folder.measure_folder(str(checkpoint), [], **self.SETTING)
        assert list(values["wall"]) == ["calls", "command"]
        assert values["images"] == {"calls": [4], "command": [4]}
        for seconds in values["wall"].values():
            assert len(seconds) == 1
            assert seconds[0] > 0

    def test_options_reach_the_command(self, checkpoint, capsys, in_this_process):
        rows = ["command --no-such-option"]
        with pytest.raises(ValueError, match="command --no-such-option: exit code 2"):
            folder.measure_folder(str(checkpoint), rows, **self.SETTING)
        assert "unrecognized arguments" in capsys.readouterr().err

    @pytest.mark.parametrize("row", ["", "calls --saturation 0"])
    def test_an_unknown_row_is_refused(self, row):
        with pytest.raises(ValueError, match="no row"):
            folder.measure_folder("medium", [row], **self.SETTING)
