"""`SCSNetTrainer` and scripts/train.py on a tiny network."""

import random
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import make_picture
from torch.utils.data import Dataset
from transformers import TrainingArguments

from scsnet_hf import SCSNetConfig, SCSNetForImageToImage, SCSNetImageProcessor
from scsnet_hf.data import PairMaker, collate
from scsnet_hf.training import LossWeights, SCSNetTrainer

REPOSITORY = Path(__file__).parent.parent
SCRIPT = REPOSITORY / "scripts" / "train.py"
PAIRS = PairMaker(source_size=16, label_size=16, reference_size=16)


class Samples(Dataset):
    """Samples of so many pictures, repeated."""

    def __init__(self, pictures: int = 1, length: int = 400):
        self.length = length
        self.samples = [
            PAIRS(make_picture(64, 64, seed=seed), random.Random(seed)) for seed in range(pictures)
        ]

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return self.samples[index % len(self.samples)]


def make_trainer(folder, steps: int, pictures: int = 4, config=None, **arguments) -> SCSNetTrainer:
    torch.manual_seed(0)
    return SCSNetTrainer(
        model=SCSNetForImageToImage(SCSNetConfig.from_preset("tiny", **(config or {}))),
        args=TrainingArguments(
            output_dir=str(folder),
            max_steps=steps,
            per_device_train_batch_size=2,
            learning_rate=3e-3,
            lr_scheduler_type="constant",
            use_cpu=True,
            remove_unused_columns=False,
            dataloader_num_workers=0,
            logging_steps=1,
            save_steps=2,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Samples(pictures),
        processing_class=SCSNetImageProcessor(),
        **arguments,
    )


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trainer after four steps, which has saved at steps 2 and 4."""
    trainer = make_trainer(tmp_path_factory.mktemp("run"), steps=4)
    trainer.train()
    return trainer


@pytest.fixture(scope="module")
def run(trained):
    return Path(trained.args.output_dir)


@pytest.fixture
def batch():
    return collate([Samples(2)[index] for index in range(2)])


class TestSteps:
    def test_the_loss_falls(self, tmp_path):
        trainer = make_trainer(tmp_path, steps=60, pictures=1)
        trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        assert sum(losses[-4:]) < 0.6 * sum(losses[:4])

    @pytest.mark.parametrize("step", range(4))
    def test_only_odd_steps_have_a_reference(self, trained, batch, monkeypatch, step):
        monkeypatch.setattr(trained.state, "global_step", step)
        inputs = trained.network_inputs(batch)
        assert ("reference_pixel_values" in inputs) == (step % 2 == 1)

    @pytest.mark.parametrize("step", [0, 1])
    def test_a_batch_becomes_normalized_lab(self, trained, batch, monkeypatch, step):
        monkeypatch.setattr(trained.state, "global_step", step)
        inputs = trained.network_inputs(batch)
        assert inputs["pixel_values"].shape == (2, 1, 16, 16)
        assert inputs["labels"].shape == (2, 3, 16, 16)
        assert inputs["pixel_values"].abs().max() <= 1.001

    def test_the_content_weight_scales_the_loss(self, trained, batch, monkeypatch):
        losses = []
        for content in (1.0, 10.0):
            monkeypatch.setattr(trained, "loss_weights", LossWeights(content=content, color=0.0))
            losses.append(trained.compute_loss(trained.model, batch).item())
        assert losses[1] == pytest.approx(10 * losses[0], rel=1e-4)

    def test_the_color_readout_learns_from_every_step_anew(self, trained):
        untrained = make_trainer(trained.args.output_dir, steps=1).color_readout
        assert not torch.equal(trained.color_readout.weight, untrained.weight)
        assert all(p.grad is None or not p.grad.any() for p in trained.color_readout.parameters())

    def test_a_referential_step_trains_the_reference_encoder(self, trained, batch, monkeypatch):
        monkeypatch.setattr(trained.state, "global_step", 1)
        trained.model.zero_grad()
        trained.compute_loss(trained.model, batch).backward()
        gradients = [p.grad for p in trained.model.reference_encoder.parameters()]
        trained.model.zero_grad()
        assert any(gradient is not None and gradient.any() for gradient in gradients)

    def test_a_network_without_cross_attention_trains(self, tmp_path):
        trainer = make_trainer(tmp_path, steps=3, config={"cross_attention": "none"})
        before = weights(trainer.model)
        trainer.train()
        assert trainer.state.global_step == 3
        assert not equal(weights(trainer.model), before)


class TestCheckpoints:
    def test_a_checkpoint_is_the_model_being_trained(self, trained, run):
        loaded = SCSNetForImageToImage.from_pretrained(run / "checkpoint-4")
        assert equal(weights(loaded), weights(trained.model))

    def test_a_checkpoint_has_its_image_processor(self, run):
        SCSNetImageProcessor.from_pretrained(run / "checkpoint-2")

    def test_the_average_is_another_model(self, trained, tmp_path):
        trained.save_average(tmp_path)
        average = SCSNetForImageToImage.from_pretrained(tmp_path)
        assert not equal(weights(average), weights(trained.model))

    def test_an_average_without_memory_is_the_last_model(self, tmp_path):
        trainer = make_trainer(tmp_path, steps=2, ema_decay=0.0)
        trainer.train()
        trainer.save_average(tmp_path / "average")
        average = SCSNetForImageToImage.from_pretrained(tmp_path / "average")
        assert equal(weights(average), weights(trainer.model))

    def test_the_average_comes_with_its_image_processor(self, trained, tmp_path):
        trained.save_average(tmp_path)
        SCSNetImageProcessor.from_pretrained(tmp_path)

    def test_saving_the_average_leaves_the_training_alone(self, trained, tmp_path):
        before = weights(trained.model)
        trained.save_average(tmp_path)
        assert equal(weights(trained.model), before)


class TestResuming:
    @pytest.fixture(scope="class")
    @classmethod
    def resumed(cls, tmp_path_factory, run):
        trainer = make_trainer(tmp_path_factory.mktemp("resumed"), steps=4)
        trainer.train(resume_from_checkpoint=str(run / "checkpoint-2"))
        return trainer

    def test_it_goes_on_at_the_step_of_the_checkpoint(self, resumed):
        steps = [entry["step"] for entry in resumed.state.log_history if "loss" in entry]
        assert resumed.state.global_step == 4
        assert steps == [1, 2, 3, 4]

    def test_it_ends_at_the_weights_of_an_unbroken_run(self, resumed, trained):
        assert equal(weights(resumed.model), weights(trained.model))

    def test_it_ends_at_the_average_of_an_unbroken_run(self, resumed, trained):
        averages = zip(resumed.average.shadow_params, trained.average.shadow_params, strict=True)
        assert all(torch.equal(*pair) for pair in averages)

    def test_a_finished_run_takes_no_further_step(self, tmp_path, trained, run):
        trainer = make_trainer(tmp_path, steps=4)
        trainer.train(resume_from_checkpoint=str(run / "checkpoint-4"))
        assert trainer.state.global_step == 4
        assert equal(weights(trainer.model), weights(trained.model))


class TestScript:
    @pytest.fixture(scope="class")
    @classmethod
    def output(cls, tmp_path_factory):
        """What two steps on three pictures leave behind."""
        folder = tmp_path_factory.mktemp("script")
        (folder / "photos").mkdir()
        for seed in range(3):
            make_picture(48, 40, seed=seed).save(folder / "photos" / f"{seed}.png")
        options = (
            "--data photos --output run --preset tiny --steps 2 --batch-size 2 --source-size 16 "
            "--label-size 16 --workers 0 --cpu"
        )
        finished = subprocess.run(
            [sys.executable, SCRIPT, *options.split()],
            cwd=folder,
            env={"PYTHONPATH": str(REPOSITORY), "HF_HOME": str(folder / "home"), "PATH": ""},
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 0, finished.stderr[-3000:]
        return folder / "run"

    def test_its_output_is_a_model(self, output):
        model = SCSNetForImageToImage.from_pretrained(output)
        assert model(torch.zeros(1, 1, 8, 8), scale=2).reconstruction.shape == (1, 3, 16, 16)

    def test_its_output_has_an_image_processor(self, output):
        SCSNetImageProcessor.from_pretrained(output)

    def test_it_has_help(self, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["train.py", "--help"])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        assert end.value.code == 0
        assert "--data" in capsys.readouterr().out
