"""Ablations: their rows, training and tables."""

import dataclasses
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers.images import make_image
from research.ablation import (
    TABLES,
    Budget,
    Variant,
    ablation_table,
    train_variant,
)
from scsnet_hf import SCSNetConfig

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "ablate.py"
BUDGET = Budget(network="tiny", source_size=16, label_size=16, steps=4, batch_size=2)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    folder = tmp_path_factory.mktemp("album")
    for index in range(4):
        make_image(64, 64, seed=index).save(folder / f"{index}.png")
    return folder


def test_the_papers_model_is_the_last_row_of_both_tables():
    whole = Variant("full", "pyramid_valve", "cpm")
    assert [list(TABLES[name].values())[-1] for name in ("losses", "components")] == [whole, whole]


def test_loss_rows_differ_in_losses_only_and_components_in_the_network_only():
    losses, components = (list(TABLES[name].values()) for name in ("losses", "components"))
    assert {(one.cross_attention, one.upsampler) for one in losses} == {("pyramid_valve", "cpm")}
    assert {one.losses for one in components} == {"full"}
    assert len({one.key for one in (*losses, *components)}) == 8  # trained once each


def test_deviations_lead_from_the_papers_network_to_base():
    """`base` is narrower late in the pixel mapping; color_size only matters above 128 pixels."""
    letter, *_, ours = (one.config("base").to_dict() for one in TABLES["deviations"].values())
    paper, base = (SCSNetConfig.from_preset(name).to_dict() for name in ("paper", "base"))
    assert {name for name in letter if letter[name] != paper[name]} == {"color_size"}
    assert ours == base


def test_each_deviation_changes_one_field_of_the_papers_network():
    letter, *others, _ = (one.config("small").to_dict() for one in TABLES["deviations"].values())
    changed = [{name for name in one if one[name] != letter[name]} for one in others]
    assert all(len(fields) == 1 for fields in changed)
    keys = {variant.key for variant in TABLES["deviations"].values()}
    assert len(keys) == len(TABLES["deviations"])


@pytest.mark.parametrize(
    "variant",
    [Variant("content"), Variant("content", "none", "pixelshuffle"), Variant("content", "basic")],
)
def test_a_variant_is_trained_as_it_says(album, tmp_path, variant):
    model = train_variant(variant, BUDGET, str(album), tmp_path, vgg=None)
    assert model.config.cross_attention == variant.cross_attention
    assert model.config.upsampler == variant.upsampler
    assert not model.training


def test_the_seed_alone_determines_the_weights(album, tmp_path):
    def weights(folder: str, seed: int) -> torch.Tensor:
        model = train_variant(
            Variant("content"), BUDGET, str(album), tmp_path / folder, vgg=None, seed=seed
        )
        return torch.cat([values.flatten() for values in model.parameters()])

    first, again, other = weights("first", 0), weights("again", 0), weights("other", 1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_table_has_means_and_deviations_over_seeds():
    variants = {"a": Variant(), "b": Variant("content")}
    rows = {
        Variant().key: [{"PSNR": 20.0, "SSIM": 0.5}, {"PSNR": 22.0, "SSIM": 0.5}],
        Variant("content").key: [{"PSNR": 19.0, "SSIM": 0.25}],
    }
    assert ablation_table(variants, rows).splitlines() == [
        "| | PSNR | SSIM |",
        "|---|---:|---:|",
        "| a | 21.00 ± 1.41 | 0.500 ± 0.000 |",
        "| b | 19.00 | 0.250 |",
    ]


def test_two_processes_make_the_table_of_one(album, vgg_file, tmp_path):
    options = {
        **{"--data": album, "--validation": album, "--seeds": 0, "--images": 2, "--workers": 0},
        **{"--vgg": vgg_file, "--fid": f"vgg16={vgg_file}", "--tables": "losses"},
        **{"--network": "tiny", "--source-size": 16, "--label-size": 16, "--steps": 2},
    }
    words = [str(word) for pair in options.items() for word in pair]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    for name, command in (("one", [sys.executable]), ("two", torchrun)):
        command = [*command, str(SCRIPT), *words, "--output", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.count("Table 4") == 1
    one, two = ((tmp_path / name / "tables.md").read_text() for name in ("one", "two"))
    assert one == two


def test_the_script_trains_once_and_prints_all(album, vgg_file, tmp_path, monkeypatch, capsys):
    arguments = {
        "--data": album,
        "--validation": album,
        "--output": tmp_path,
        "--seeds": 0,
        "--images": 2,
        "--workers": 0,
        "--vgg": vgg_file,
        "--fid": f"vgg16={vgg_file}",
        "--tables": "losses",
        **{
            f"--{name.replace('_', '-')}": value
            for name, value in dataclasses.asdict(BUDGET).items()
        },
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    printed = capsys.readouterr().out
    table = printed[printed.index("Table 4") :].splitlines()[4:]
    assert [line.split(" | ")[0] for line in table] == [
        "| L_C",
        "| L_C + L_P",
        "| L_C + L_Adv",
        "| L_C + L_P + L_Adv",
    ]
    rows = sorted(tmp_path.glob("*/seed-0/row.json"))
    assert len(rows) == 4
    row = json.loads(rows[0].read_text())
    rows[0].write_text(json.dumps({**row, "SSIM": 0.123}))  # not made again
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert "| 0.123 |" in capsys.readouterr().out
