"""Runs that are interrupted and resumed: the same bits as an uninterrupted run."""

import hashlib
from pathlib import Path

import datasets
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from helpers.images import make_image
from helpers.training_runs import make_trainer, train

STEPS = 26
# What the process is doing when it dies, in ten different steps of one run.
KILLS = [
    (1, "on_step_begin"),
    (4, "on_step_end"),
    (6, "writing"),
    (7, "on_pre_optimizer_step"),
    (10, "on_step_end"),
    (12, "writing"),
    (14, "on_optimizer_step"),
    (17, "on_step_begin"),
    (19, "on_pre_optimizer_step"),
    (24, "writing"),
]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Four parquet files of five images, one of them damaged; fewer than a run needs."""
    folder = tmp_path_factory.mktemp("photographs")
    for shard in range(4):
        paths = []
        for index in range(5):
            paths.append(folder / f"{shard}-{index}.png")
            make_image(48, 40, seed=5 * shard + index).save(paths[-1])
        if shard == 1:
            paths[2].write_bytes(b"damaged")
        images = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
        table = datasets.Dataset.from_dict(
            {"image": images}, features=datasets.Features({"image": datasets.Image(decode=False)})
        )
        table.to_parquet(folder / f"photographs-{shard}.parquet")
        for path in paths:
            path.unlink()
    return folder


def digests(checkpoint: Path) -> dict[str, str]:
    """Of all weights, both optimizers and schedules."""
    parts = {
        "generator": load_file(checkpoint / "model.safetensors"),
        "average": load_file(checkpoint / "average" / "model.safetensors"),
    }
    # One position in the stream can be written in several ways.
    for file in set(checkpoint.glob("*.pt")) - set(checkpoint.glob("loader-*.pt")):
        parts[file.name] = torch.load(file, weights_only=True)
    return {
        name: hashlib.sha256(repr_of(part).encode()).hexdigest() for name, part in parts.items()
    }


def repr_of(value) -> str:
    if isinstance(value, torch.Tensor):
        content = value.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        return f"{value.dtype}{tuple(value.shape)}{hashlib.sha256(content).hexdigest()}"
    if isinstance(value, dict):
        return (
            "{" + ",".join(f"{key}:{repr_of(value[key])}" for key in sorted(value, key=str)) + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(repr_of, value)) + "]"
    return repr(value)


class Interrupted(Exception):  # noqa: N818
    pass


class Interruption(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 5:
            raise Interrupted


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, photographs, vgg_file):
    """In this process, resumed after the checkpoint of step 3; all of its state is compared."""
    for name in ("whole", "resumed"):
        trainer = make_trainer(tmp_path / name, photographs, 6, vgg=vgg_file)
        if name == "resumed":
            trainer.add_callback(Interruption())
            with pytest.raises(Interrupted):
                trainer.train()
            trainer = make_trainer(tmp_path / name, photographs, 6, vgg=vgg_file)
        trainer.train(resume_from_checkpoint=True)
    expected, resumed = (digests(tmp_path / name / "checkpoint-6") for name in ("whole", "resumed"))
    assert {"generator", "average", "optimizer.pt", "discriminator.pt", "color_readout.pt"} <= (
        expected.keys()
    )
    assert resumed == expected


SETTINGS = {
    "no worker": {"workers": 0},
    "two workers": {"workers": 2},
    "two processes": {"processes": 2, "workers": 0},
    "two processes with workers": {"processes": 2, "workers": 2, "gradient_accumulation_steps": 2},
}


@pytest.mark.slow
class TestKilledRuns:
    @pytest.fixture(scope="class", params=SETTINGS)
    @classmethod
    def runs(cls, request, tmp_path_factory, photographs, vgg_file):
        """Folders of an uninterrupted run and of one that was killed ten times."""
        options = {"vgg": vgg_file, **SETTINGS[request.param]}
        processes = options.get("processes", 1)
        uninterrupted, killed = (
            tmp_path_factory.mktemp(name) for name in ("uninterrupted", "killed")
        )
        assert train(uninterrupted, photographs, STEPS, **options) == [0] * processes
        for kill in KILLS:
            codes = train(killed, photographs, STEPS, kill=kill, **options)
            assert -9 in codes
        assert train(killed, photographs, STEPS, **options) == [0] * processes
        return uninterrupted, killed

    def test_all_of_the_state_is_bit_equal(self, runs):
        expected, resumed = (digests(run / f"checkpoint-{STEPS}") for run in runs)
        assert {"generator", "average", "optimizer.pt", "discriminator.pt"} <= expected.keys()
        assert resumed == expected

    def test_the_skipped_images_are_the_same(self, runs):
        noted = [set((run / "skipped.jsonl").read_text().splitlines()) for run in runs]
        assert noted[0] == noted[1]
        assert len(noted[0]) == 1
