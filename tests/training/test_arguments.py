"""The command line of scripts/train.py: the preset decides what is not given."""

import pytest

from scsnet_hf.training import PRESETS
from scsnet_hf.training.arguments import RunArguments, parse_arguments

NEEDED = ["--data", "photos", "--output", "run", "--use_cpu"]


def test_the_preset_decides_what_is_not_given():
    _, args = parse_arguments([*NEEDED, "--preset", "paper"])
    preset = PRESETS["paper"]
    assert args.learning_rate == preset.learning_rate
    assert args.per_device_train_batch_size == preset.batch_size
    assert args.lr_scheduler_type.value == preset.schedule
    assert args.max_grad_norm == preset.max_grad_norm
    assert args.max_steps == preset.steps(preset.batch_size)


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
