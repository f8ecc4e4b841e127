"""scripts/benchmark.py on tiny workloads: that it measures, not what."""

import json
import runpy
import sys
from pathlib import Path

import pytest
from transformers.utils import logging

from helpers.images import make_image
from research.benchmark import startup

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "benchmark.py"


@pytest.fixture
def benchmark(monkeypatch):
    """The script as a function of its arguments."""

    def call(*arguments) -> None:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")

    verbosity = logging.get_verbosity()
    yield call
    logging.set_verbosity(verbosity)


@pytest.fixture
def photographs(tmp_path) -> Path:
    """Three that can be used, and one that is too small."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for seed, side in enumerate((40, 40, 40, 8)):
        make_image(side, side, seed=seed).save(folder / f"{seed}.png")
    return folder


@pytest.mark.parametrize(
    ("command", "mentioned"),
    [
        ([], "loader"),
        (["loader"], "--data"),
        (["networks"], "--rows"),
        (["folder"], "--images"),
    ],
)
def test_help(benchmark, capsys, command, mentioned):
    with pytest.raises(SystemExit) as stop:
        benchmark(*command, "--help")
    assert stop.value.code == 0
    assert mentioned in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--runs", "--batches"])
def test_numbers_that_cannot_be_are_refused(benchmark, capsys, photographs, option):
    with pytest.raises(SystemExit) as stop:
        benchmark("loader", "--data", photographs, option, 0)
    assert stop.value.code == 2
    assert "must be at least 1" in capsys.readouterr().err


def test_a_missing_browser_is_one_line(benchmark):
    with pytest.raises(SystemExit, match=r"^benchmark\.py: --browser none: not found"):
        benchmark("space", "--browser", "none")


def test_missing_data_are_one_line(benchmark, tmp_path):
    with pytest.raises(SystemExit, match=r"^benchmark\.py: .*none"):
        benchmark("loader", "--data", tmp_path / "none")


def test_loader(benchmark, capsys, photographs, tmp_path):
    output = tmp_path / "loader.json"
    sizes = ["--network", "tiny", "--batch-size", 2, "--source-size", 16]
    once = ["--runs", 1, "--batches", 1, "--workers", 0, 1, "--cpu"]
    benchmark("loader", "--data", photographs, *sizes, *once, "--output", output)
    record = json.loads(output.read_text())
    assert {"versions", "cpu", "threads", "accelerator", "arguments"} <= record.keys()
    values = record["measurements"]
    assert {group: set(of_group) for group, of_group in values.items()} == {
        "loader": {"0", "1"},
        "sample": {"read", "decode", "cut", "collate", "stream"},
        "step": {"content", "all"},
    }
    for of_group in values.values():
        for (value,) in of_group.values():
            assert value > 0
    tables = capsys.readouterr().out.strip().split("\n\n")
    assert [table.split(" |")[0] for table in tables] == [
        "| loader processes",
        "| training step",
        "| a sample, in one process",
    ]


def test_loader_makes_the_samples_of_a_preset(benchmark, capsys, photographs):
    once = ["--runs", 1, "--batches", 1, "--workers", 0, "--loader-only"]
    benchmark("loader", "--data", photographs, "--preset", "paper", *once)
    assert "training step" not in capsys.readouterr().out


def test_networks(benchmark, capsys, tmp_path):
    output, rows = tmp_path / "networks.json", ["tiny", "siggraph17@32+srvgg-16"]
    benchmark("networks", "--rows", *rows, "--size", 16, "--runs", 2, "--output", output)
    record = json.loads(output.read_text())
    assert {"versions", "cpu", "threads", "arguments"} <= record.keys()
    for quantity in ("cpu", "wall"):
        assert [len(record["measurements"][quantity][row]) for row in rows] == [2, 2]
    header, _, ours, cascade = capsys.readouterr().out.strip().split("\n")
    assert header.startswith("| network | parameters (M) | GMACs |")
    assert ours.startswith("| tiny | 0.0")
    assert cascade.startswith("| siggraph17@32+srvgg-16 | 34.81 |")  # 34.19 and 0.62


def test_upsamplers(benchmark, capsys, in_this_process):
    benchmark("upsamplers", "--rows", "meta", "--scale", 2.7, "--size", 8, "--runs", 1)
    header, _, row = capsys.readouterr().out.strip().split("\n")
    assert header.startswith("| network |")
    assert row.startswith("| meta | 0.45 |")


def test_models(benchmark, capsys, tiny_checkpoint):
    arguments = ("--size", 16, "--scale", 2, "--runs", 2)
    benchmark("models", tiny_checkpoint, "small", *arguments)
    header, _, first, other = capsys.readouterr().out.strip().split("\n")
    assert header.startswith("| model | wall s per call | ratio |")
    assert first.startswith(f"| {tiny_checkpoint} | 0.")
    assert first.endswith("| 1.00 (1.00 to 1.00) | inf |")  # the same image
    assert other.startswith("| small | 0.")
    assert float(other.split("|")[-2]) < 100


def test_models_in_another_number_format(benchmark, capsys, tiny_checkpoint):
    models = (tiny_checkpoint, f"{tiny_checkpoint}@bfloat16")
    benchmark("models", *models, "--size", 16, "--scale", 2, "--runs", 1)
    *_, other = capsys.readouterr().out.strip().split("\n")
    assert other.startswith(f"| {tiny_checkpoint}@bfloat16 | 0.")
    assert 20 < float(other.split("|")[-2]) < 80  # nearly the same image


def test_sizes(benchmark, capsys, in_this_process, tiny_checkpoint):
    arguments = ("--rows", "40x30", "200x100", "--source", "20x20", "--runs", 2)
    benchmark("sizes", "--model", tiny_checkpoint, *arguments)
    header, _, small, large = capsys.readouterr().out.strip().split("\n")
    assert header.startswith("| result | megapixels |")
    assert small.startswith("| 40x30 | 0.0 |")
    assert large.startswith("| 200x100 | 0.0 |")


def test_profile(benchmark, capsys, in_this_process, tiny_checkpoint):
    benchmark("profile", "--model", tiny_checkpoint, "--rows", "40x30", "80x60", "--runs", 1)
    small, large = capsys.readouterr().out.strip().split("\n\n")
    for size, table in (("40x30", small), ("80x60", large)):
        header, _, *stages, whole = table.split("\n")
        assert header.startswith(f"| {size} | ms | share of the call |")
        assert stages[0].startswith("| decode |")
        assert "| 100.0% |" in whole


def test_folder(benchmark, capsys, in_this_process, tiny_checkpoint, tmp_path):
    output, rows = tmp_path / "folder.json", ["command", "command --saturation 0"]
    few = ("--images", 4, "--size", 8, "--scale", 2, "--runs", 1, "--rows", *rows)
    benchmark("folder", "--model", tiny_checkpoint, *few, "--output", output)
    assert list(json.loads(output.read_text())["measurements"]["wall"]) == rows
    header, _, first, second = capsys.readouterr().out.strip().split("\n")
    assert header.startswith("| a folder | wall s | images/s |")
    assert first.startswith("| command |")
    assert second.startswith("| command --saturation 0 |")


def test_files(benchmark, capsys, in_this_process, tiny_checkpoint):
    rows = ["40x30", "48x32 video 2"]
    benchmark("files", "--model", tiny_checkpoint, "--runs", 1, "--rows", *rows)
    lines = capsys.readouterr().out.strip().split("\n")[2:]
    assert [line.split(" | ")[0] for line in lines] == [f"| {row}" for row in rows]


@pytest.mark.parametrize("row", ["40x30 video", "40x30 deoldify", "large video 1"])
def test_files_that_are_none_are_one_line(benchmark, row):
    with pytest.raises(SystemExit, match=r"^benchmark\.py: .*(no row|no size)"):
        benchmark("files", "--rows", row)


def test_startup(benchmark, capsys, tmp_path):
    make_image(8, 8).save(tmp_path / "image.png")
    benchmark("startup", "--image", tmp_path / "image.png", "--scale", 1, "--runs", 1)
    header, _, row = capsys.readouterr().out.strip().split("\n")
    assert header.startswith("| one small photograph | CPU s | wall s |")
    assert row.startswith(f"| {startup.REPOSITORY} |")


def test_a_size_that_is_none_is_one_line(benchmark):
    with pytest.raises(SystemExit, match=r"^benchmark\.py: 'large' is no size"):
        benchmark("sizes", "--rows", "large")


def test_a_row_that_is_none_is_one_line(benchmark):
    with pytest.raises(SystemExit, match=r"^benchmark\.py: no row 'huge'"):
        benchmark("networks", "--rows", "huge")
