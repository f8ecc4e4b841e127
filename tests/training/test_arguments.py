"""The command line of scripts/train.py: the preset decides what is not given."""

import pytest

from helpers.images import make_image
from scsnet_hf.data.preparation import Preparation, prepare
from scsnet_hf.training import PRESETS
from scsnet_hf.training.arguments import (
    RunArguments,
    SCSNetTrainingArguments,
    parse_arguments,
)

NEEDED = ["--data", "photos", "--output", "run", "--use_cpu"]


def test_the_preset_decides_what_is_not_given():
    _, args = parse_arguments([*NEEDED, "--preset", "paper", "--images", "1001"])
    preset = PRESETS["paper"]
    assert args.learning_rate == preset.learning_rate
    assert args.per_device_train_batch_size == preset.batch_size
    assert args.lr_scheduler_type.value == preset.schedule
    assert args.max_grad_norm == preset.max_grad_norm
    assert args.max_steps == preset.steps(preset.batch_size, images=1001) == 12_513


def test_epochs_need_the_number_of_images(capsys):
    with pytest.raises(SystemExit):
        parse_arguments([*NEEDED, "--preset", "paper"])
    assert "--images" in capsys.readouterr().err


def test_epochs_are_those_of_the_selection_that_was_prepared(tmp_path):
    (tmp_path / "photographs").mkdir()
    for seed in range(5):
        make_image(24, 20, seed=seed).save(tmp_path / "photographs" / f"{seed}.png")
    prepare(Preparation(str(tmp_path / "photographs"), limit=3), tmp_path / "copy")
    given = ["--data", str(tmp_path / "copy"), "--output", "run", "--use_cpu", "--preset", "paper"]
    _, args = parse_arguments(given)
    assert args.max_steps == PRESETS["paper"].steps(4, images=3)


def test_imagenet_c_has_the_papers_number_of_images():
    given = ["--data", "imagenet-c", "--output", "run", "--use_cpu", "--preset", "paper"]
    assert parse_arguments(given)[1].max_steps == 5_088_013


@pytest.mark.parametrize(("processes", "per_process", "steps"), [(1, 8, 200), (4, 2, 200)])
def test_a_batch_of_all_processes_is_divided_among_them(monkeypatch, processes, per_process, steps):
    monkeypatch.setattr(SCSNetTrainingArguments, "world_size", processes)
    _, args = parse_arguments([*NEEDED, "--preset", "smoke", "--total-batch-size", "8"])
    assert (args.per_device_train_batch_size, args.max_steps) == (per_process, steps)


def test_a_batch_that_cannot_be_divided_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(SCSNetTrainingArguments, "world_size", 8)
    with pytest.raises(SystemExit):
        parse_arguments([*NEEDED, "--preset", "smoke", "--total-batch-size", "4"])
    assert "--total-batch-size 4 is no multiple of 8" in capsys.readouterr().err


def test_options_replace_the_settings_of_the_preset():
    given = "--preset smoke --learning-rate 0.5 --batch-size 3 --accumulation 2".split()
    _, args = parse_arguments([*NEEDED, *given])
    assert (args.learning_rate, args.per_device_train_batch_size) == (0.5, 3)
    assert args.max_steps == PRESETS["smoke"].steps(6)


@pytest.mark.parametrize(
    ("short", "name", "value"),
    [
        ("--steps", "max_steps", 7),
        ("--workers", "dataloader_num_workers", 3),
        ("--weight-decay", "weight_decay", 2),
        ("--seed", "seed", 5),
    ],
)
def test_options_of_transformers_have_short_names(short, name, value):
    for option in (short, f"--{name}"):
        _, args = parse_arguments([*NEEDED, option, str(value)])
        assert getattr(args, name) == value


def test_a_smaller_source_comes_with_smaller_labels_and_references():
    pairs = RunArguments(data=["photos"], source_size=32).resolve_preset().pairs
    assert (pairs.source_size, pairs.label_size, pairs.reference_size) == (32, 32, 32)


def test_another_start_brings_its_own_network():
    preset = RunArguments(data=["photos"], init_from="mine").resolve_preset()
    assert (preset.network, preset.init_from) == (None, "mine")


def test_fields_of_the_network_are_numbers_lists_or_words():
    given = ["trunk_width=1.1", "hidden_sizes=[8, 8, 16]", "upsampler=meta"]
    fields = RunArguments(data=["photos"], config=given).config_fields()
    assert fields == {"trunk_width": 1.1, "hidden_sizes": [8, 8, 16], "upsampler": "meta"}


def test_losses_choose_among_the_terms_of_the_preset():
    preset = RunArguments(data=["photos"], losses="content").resolve_preset()
    weights = preset.loss_weights
    assert (weights.perceptual, weights.adversarial) == (0, 0)
    assert weights.color_readout == PRESETS["continuous"].loss_weights.color_readout


@pytest.mark.parametrize(
    "given", [["--scale-range", "1", "2", "3"], ["--preset", "no"], ["--no_such_option"]]
)
def test_wrong_arguments_end_with_their_name(given, capsys):
    with pytest.raises(SystemExit):
        parse_arguments([*NEEDED, *given])
    assert given[0].strip("-").replace("-", "_") in capsys.readouterr().err.replace("-", "_")
