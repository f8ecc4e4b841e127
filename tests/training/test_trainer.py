"""`SCSNetTrainer` on a tiny network."""

import errno
import json
from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import TrainingArguments

from helpers.images import make_image
from helpers.training_runs import ALL_TERMS, PAIRS, make_trainer, train
from scsnet_hf import SCSNetForImageToImage, SCSNetImageProcessor
from scsnet_hf.data import collate, stream_photographs, training_stream
from scsnet_hf.modeling_scsnet import REFERENCE_PARTS, SCSNetOutput
from scsnet_hf.training import last_complete_checkpoint
from scsnet_hf.training.losses import LOSS_PRESETS, LossWeights

CONTENT = LOSS_PRESETS["content"]
ACTIVATION_CHECKPOINTING = next(  # the second is its name before transformers 5.23
    name
    for name in ("activation_checkpointing", "gradient_checkpointing")
    if hasattr(TrainingArguments, name)
)
READOUT = LossWeights(content=0.0, perceptual=0.0, adversarial=0.0, color_readout=10.0)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(4):
        make_image(48, 40, seed=seed).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def batch(photographs):
    stream = training_stream(stream_photographs(str(photographs)), PAIRS, seed=5)
    return collate(list(islice(stream, 4)))


def weights(module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def leave_only_the_reference_branch_to_learn(model) -> None:
    for name, part in model.named_children():
        part.requires_grad_(name in REFERENCE_PARTS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, photographs, vgg_file):
    """A trainer after four steps with all terms, which has saved at steps 2 and 4."""
    folder = tmp_path_factory.mktemp("run")
    trainer = make_trainer(folder, photographs, 4, vgg=vgg_file, save_steps=2)
    trainer.train()
    return trainer


@pytest.fixture(scope="module")
def run(trained):
    return Path(trained.args.output_dir)


@pytest.fixture
def at_step(trained, monkeypatch):
    def set_step(step):
        monkeypatch.setattr(trained.state, "global_step", step)

    return set_step


class TestInputs:
    @pytest.mark.parametrize("step", range(4))
    def test_only_odd_steps_have_a_reference(self, trained, batch, at_step, step):
        at_step(step)
        inputs = trained.build_model_inputs(batch)
        assert ("reference_pixel_values" in inputs) == (step % 2 == 1)

    def test_every_step_has_a_reference_where_nothing_else_could_learn(
        self, tmp_path, photographs, batch
    ):
        trainer = make_trainer(tmp_path, photographs, 1, weights=CONTENT)
        leave_only_the_reference_branch_to_learn(trainer.model)
        for trainer.state.global_step in (0, 1):
            assert "reference_pixel_values" in trainer.build_model_inputs(batch)

    def test_half_of_the_steps_with_references_have_hints_instead(
        self, trained, batch, at_step, monkeypatch
    ):
        monkeypatch.setattr(trained, "hints", True)
        counts = []
        for step in range(64):
            at_step(step)
            inputs = trained.build_model_inputs(batch)
            is_hinted = "hint_positions" in inputs
            assert is_hinted == (step % 4 == 3)
            assert ("reference_pixel_values" in inputs) == (step % 4 == 1)
            if is_hinted:
                counts.append(inputs["hint_positions"].shape[1])
        assert 1 <= min(counts) < 4 and 16 < max(counts) <= 64

    def test_hints_show_the_colors_of_the_source(self, trained, batch, at_step, monkeypatch):
        monkeypatch.setattr(trained, "hints", True)
        at_step(3)
        plain = batch["source"][:, :, :1, :1].expand_as(batch["source"])
        inputs = trained.build_model_inputs({**batch, "source": plain})
        hints, side = inputs["hint_positions"], plain.shape[-1]
        assert hints.min() >= 0 and hints.max() < side
        own = inputs["source_colors"][..., :1, 0].transpose(1, 2)
        assert (inputs["hint_colors"] - own).abs().max() < 0.1

    @pytest.mark.parametrize("step", [0, 1])
    def test_a_batch_becomes_normalized_lab(self, trained, batch, at_step, step):
        at_step(step)
        inputs = trained.build_model_inputs(batch)
        assert inputs["pixel_values"].shape == (4, 1, 16, 16)
        assert inputs["labels"].shape == (4, 3, 16, 16)
        assert inputs["pixel_values"].abs().max() <= 1.001

    @pytest.mark.parametrize(("step", "flips"), [(0, True), (1, False), (1, True)])
    def test_only_referential_steps_flip_vertically(
        self, trained, batch, at_step, monkeypatch, step, flips
    ):
        at_step(step)
        monkeypatch.setattr(trained, "vertical_flips", flips)
        batch = {name: value.repeat(8, *[1] * (value.ndim - 1)) for name, value in batch.items()}
        batch["seed"] = torch.arange(32)
        result = trained.build_model_inputs(batch)["pixel_values"]
        monkeypatch.setattr(trained, "vertical_flips", False)
        expected = trained.build_model_inputs(batch)["pixel_values"]
        changed = (result != expected).flatten(1).any(dim=1).sum()
        assert changed > 8 if step and flips else changed == 0

    @pytest.mark.parametrize(("share", "step"), [(1.0, 0), (1.0, 1), (0.0, 1)])
    def test_recolored_are_truth_and_reference_of_referential_steps(
        self, trained, batch, at_step, monkeypatch, share, step
    ):
        at_step(step)
        monkeypatch.setattr(trained, "recolor_probability", 0.0)
        plain = trained.build_model_inputs(batch)
        monkeypatch.setattr(trained, "recolor_probability", share)
        result = trained.build_model_inputs(batch)
        names = {"labels", "source_colors", "reference_pixel_values"} & result.keys()
        differing = {name for name in names if not torch.equal(result[name], plain[name])}
        assert differing == (names if share and step else set())
        assert torch.equal(result["pixel_values"], plain["pixel_values"])

    def test_a_reference_of_another_image_is_not_recolored(
        self, trained, batch, at_step, monkeypatch
    ):
        at_step(1)
        others = {**batch, "own_reference": torch.zeros(4, dtype=torch.bool)}
        plain = trained.build_model_inputs(others)["labels"]
        monkeypatch.setattr(trained, "recolor_probability", 1.0)
        torch.testing.assert_close(trained.build_model_inputs(others)["labels"], plain)

    @pytest.mark.parametrize("step", [0, 1])
    def test_a_sample_does_not_depend_on_its_batch(self, trained, batch, at_step, step):
        at_step(step)
        whole = trained.build_model_inputs(batch)
        half = trained.build_model_inputs({name: value[2:] for name, value in batch.items()})
        for name, value in half.items():
            assert torch.allclose(value.float(), whole[name][2:].float(), atol=1e-6)


def test_what_does_not_learn_stays_as_it_is_bit_for_bit(tmp_path, photographs):
    trainer = make_trainer(tmp_path, photographs, 2)
    leave_only_the_reference_branch_to_learn(trainer.model)
    before = weights(trainer.model)
    trainer.train()
    trainer.weight_average.save_model(tmp_path / "average")
    after = weights(SCSNetForImageToImage.from_pretrained(tmp_path / "average"))
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == set(REFERENCE_PARTS) - {"color_transfer"}  # which this network lacks


class TestTerms:
    """The rows of Table 4, and which gradients there are."""

    @pytest.mark.parametrize("name", LOSS_PRESETS)
    def test_only_the_terms_of_the_row_are_computed(self, tmp_path, photographs, vgg_file, name):
        trainer = make_trainer(
            tmp_path, photographs, 2, vgg=vgg_file, weights=LOSS_PRESETS[name], save_strategy="no"
        )
        trainer.train()
        logged = trainer.state.log_history[0].keys()
        expected = {"content"}
        expected |= {"perceptual"} if "perceptual" in name or name == "full" else set()
        expected |= {"adversarial"} if "adversarial" in name or name == "full" else set()
        assert logged & {"content", "perceptual", "adversarial", "color_readout"} == expected
        assert ("d_real" in logged) == ("adversarial" in expected)

    @pytest.mark.parametrize("term", ["content", "perceptual", "adversarial", "color_readout"])
    def test_every_term_reaches_both_branches(self, trained, batch, at_step, term):
        at_step(1)
        terms = self.terms_of(trained, batch)
        gradients = torch.autograd.grad(
            terms[term], [*trained.model.parameters()], allow_unused=True, retain_graph=True
        )
        names = [name for name, _ in trained.model.named_parameters()]
        reached = {
            name.split(".")[0]
            for name, gradient in zip(names, gradients, strict=True)
            if gradient is not None and gradient.any()
        }
        assert {"source_encoder", "reference_encoder", "color_decoder"} <= reached
        # The readout looks at the color branch only.
        assert ("upsampler" in reached) == (term != "color_readout")

    @pytest.mark.parametrize("name", LOSS_PRESETS)
    def test_a_row_has_the_gradient_of_its_terms_and_no_other(
        self, tmp_path, photographs, vgg_file, batch, name, monkeypatch
    ):
        """What the step leaves in the network is the weighted sum over the row's terms alone."""
        row = LOSS_PRESETS[name]
        trainer = make_trainer(
            tmp_path, photographs, 1, vgg=vgg_file, weights=row, save_strategy="no"
        )
        trainer.train()
        trainer.current_gradient_accumulation_steps = 1
        parameter = trainer.model.stem.weight
        if trainer.adversary is not None:  # let it be the same before and after
            trainer.discriminator.eval()
            monkeypatch.setattr(trainer.adversary, "step", lambda *args: {})
        terms = self.terms_of(trainer, batch)
        expected = sum(
            getattr(row, term) * torch.autograd.grad(value, parameter, retain_graph=True)[0]
            for term, value in terms.items()
        )
        parameter.grad = None
        trainer.training_step(trainer.model, batch)
        assert torch.allclose(parameter.grad, expected, rtol=1e-3, atol=1e-4)

    @staticmethod
    def terms_of(trainer, batch):
        inputs = trainer.build_model_inputs(batch)
        colors = inputs.pop("source_colors")
        outputs = trainer.model(**inputs)
        return trainer.loss_terms(outputs, inputs["labels"], colors)

    def test_the_truth_gets_no_gradient_from_the_discriminator(self, trained):
        truth, result = (torch.rand(2, 3, 16, 16, requires_grad=True) for _ in range(2))
        trained.adversary.generator_loss(truth.detach(), result).backward()
        assert result.grad.any()
        assert all(p.grad is None or not p.grad.any() for p in trained.discriminator.parameters())

    def test_the_discriminator_learns_to_tell_truth_from_result(self, tmp_path, photographs):
        trainer = make_trainer(
            tmp_path, photographs, 1, weights=LOSS_PRESETS["content+adversarial"]
        )
        trainer.train()
        truth, result = torch.rand(4, 3, 16, 16), torch.zeros(4, 3, 16, 16)
        losses = [trainer.adversary.step(truth, result)["discriminator_loss"] for _ in range(20)]
        assert losses[-1] < 0.5 * losses[0]

    def test_with_the_readout_alone_only_the_color_branch_learns(self, tmp_path, photographs):
        trainer = make_trainer(tmp_path, photographs, 2, weights=READOUT, save_strategy="no")
        before = weights(trainer.model)
        trainer.train()
        changed = {
            name.split(".")[0]
            for name, value in weights(trainer.model).items()
            if not torch.equal(value, before[name])
        }
        assert {"source_encoder", "reference_encoder", "color_decoder"} <= changed
        assert not {"texture_encoder", "upsampler"} & changed

    def test_the_readout_starts_where_the_features_hold_colors(self, tmp_path, photographs):
        trainer = make_trainer(tmp_path, photographs, 1, weights=READOUT)
        trainer.create_optimizer()
        colors = torch.rand(2, 2, 16, 16) - 0.5
        mixing = torch.randn(8, 2)  # the tiny network has 8 color features
        features = torch.einsum("cd,bdhw->bchw", mixing, colors) + 3.0
        outputs = SCSNetOutput(color_features=features)
        terms = trainer.loss_terms(outputs, truth=None, colors=colors)
        assert terms["color_readout"] < 0.01 * colors.abs().mean()

    def test_colors_larger_than_the_color_branch_are_reduced(self, tmp_path, photographs):
        trainer = make_trainer(tmp_path, photographs, 2, config={"color_size": 8})
        trainer.train()
        assert trainer.state.log_history[0]["color_readout"] > 0

    def test_a_network_without_cross_attention_trains(self, tmp_path, photographs):
        trainer = make_trainer(tmp_path, photographs, 3, config={"cross_attention": "none"})
        before = weights(trainer.model)
        trainer.train()
        assert not equal(weights(trainer.model), before)

    def test_the_loss_falls(self, tmp_path):
        (tmp_path / "photographs").mkdir()
        make_image(18, 18, seed=1).save(tmp_path / "photographs" / "only.png")
        trainer = make_trainer(
            tmp_path / "run", tmp_path / "photographs", 100, weights=CONTENT, save_strategy="no"
        )
        trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        assert sum(losses[-4:]) < 0.6 * sum(losses[:4])


class TestLog:
    @pytest.mark.parametrize(
        "name",
        """loss content perceptual adversarial color_readout discriminator_loss d_real d_fake
        grad_norm discriminator_grad_norm colorfulness colorfulness_truth images_per_second
        learning_rate""".split(),
    )
    def test_it_holds(self, trained, name):
        assert all(name in entry for entry in trained.state.log_history if "loss" in entry)

    def test_the_loss_is_the_weighted_sum_of_the_terms(self, trained):
        given = trained.loss_weights
        for entry in trained.state.log_history[:4]:
            expected = sum(
                getattr(given, name) * entry[name]
                for name in ("content", "perceptual", "adversarial", "color_readout")
            )
            assert entry["loss"] == pytest.approx(expected, rel=1e-4)


class TestCheckpoints:
    def test_a_checkpoint_is_the_model_being_trained(self, trained, run):
        loaded = SCSNetForImageToImage.from_pretrained(run / "checkpoint-4")
        assert equal(weights(loaded), weights(trained.model))

    @pytest.mark.parametrize("folder", ["checkpoint-2", "checkpoint-2/average"])
    def test_a_checkpoint_has_its_image_processor(self, run, folder):
        SCSNetImageProcessor.from_pretrained(run / folder)

    def test_the_average_is_another_model(self, trained, run):
        average = SCSNetForImageToImage.from_pretrained(run / "checkpoint-4" / "average")
        assert not equal(weights(average), weights(trained.model))

    def test_an_average_without_memory_is_the_last_model(self, tmp_path, photographs):
        trainer = make_trainer(
            tmp_path, photographs, 2, weights=CONTENT, trainer={"ema_decay": 0.0}
        )
        trainer.train()
        trainer.weight_average.save_model(tmp_path / "average")
        average = SCSNetForImageToImage.from_pretrained(tmp_path / "average")
        assert equal(weights(average), weights(trainer.model))

    def test_saving_the_average_leaves_the_training_alone(self, trained, tmp_path):
        before = weights(trained.model)
        trained.weight_average.save_model(tmp_path)
        assert equal(weights(trained.model), before)

    def test_a_finished_run_takes_no_further_step(self, run, photographs, vgg_file, trained):
        trainer = make_trainer(run, photographs, 4, vgg=vgg_file)
        trainer.train(resume_from_checkpoint=True)
        assert trainer.state.global_step == 4
        assert equal(weights(trainer.model), weights(trained.model))

    def test_resuming_without_a_checkpoint_begins(self, tmp_path, photographs):
        trainer = make_trainer(tmp_path, photographs, 1, weights=CONTENT)
        trainer.train(resume_from_checkpoint=True)
        assert trainer.state.global_step == 1


class TestBadRuns:
    def test_a_term_that_is_not_finite_is_named(self, tmp_path, photographs, monkeypatch):
        trainer = make_trainer(tmp_path, photographs, 8, weights=ALL_TERMS_BUT_PERCEPTUAL)

        def broken(real, fake):
            return fake.mean() * (float("nan") if trainer.state.global_step == 4 else 1.0)

        monkeypatch.setattr("scsnet_hf.training.adversary.relativistic_generator_loss", broken)
        with pytest.raises(FloatingPointError, match=r"step 5: adversarial .*checkpoint-3"):
            trainer.train()
        assert last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-3"

    def test_weights_that_are_not_finite_are_not_saved(self, tmp_path, photographs):
        trainer = make_trainer(tmp_path, photographs, 3, weights=CONTENT)
        trainer.train()
        torch.nn.init.constant_(trainer.model.stem.weight, float("inf"))
        with pytest.raises(FloatingPointError, match="checkpoint-3"):
            trainer._save_checkpoint(trainer.model, None)

    def test_a_full_disk_keeps_what_was_saved(self, tmp_path, photographs, monkeypatch):
        trainer = make_trainer(tmp_path, photographs, 8, weights=CONTENT)
        save = trainer._save_optimizer_and_scheduler

        def full(folder):
            if trainer.state.global_step > 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            save(folder)

        monkeypatch.setattr(trainer, "_save_optimizer_and_scheduler", full)
        with pytest.raises(OSError, match=r"checkpoint-6.*No space left.*checkpoint-3"):
            trainer.train()
        assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-3"]

    def test_a_checkpoint_of_another_network_is_refused(self, run, photographs, vgg_file):
        trainer = make_trainer(run, photographs, 8, vgg=vgg_file, config={"texture_depth": 2})
        with pytest.raises(ValueError, match="texture_depth"):
            trainer.train(resume_from_checkpoint=True)

    def test_a_checkpoint_of_other_losses_is_refused(self, run, photographs):
        trainer = make_trainer(run, photographs, 8, weights=CONTENT)
        with pytest.raises(ValueError, match="other loss terms"):
            trainer.train(resume_from_checkpoint=True)

    def test_another_number_of_loader_workers_is_refused(self, run, photographs, vgg_file):
        trainer = make_trainer(run, photographs, 8, vgg=vgg_file, workers=1)
        with pytest.raises(ValueError, match="with 0 loader workers, this run has 1"):
            trainer.train(resume_from_checkpoint=True)

    def test_a_perceptual_loss_needs_its_features(self, tmp_path, photographs):
        with pytest.raises(ValueError, match="vgg"):
            make_trainer(tmp_path, photographs, 1, weights=ALL_TERMS)

    @pytest.mark.parametrize("arguments", [{"max_steps": -1}, {"save_total_limit": 1}])
    def test_arguments_that_cannot_work_are_refused(self, tmp_path, photographs, arguments):
        steps = arguments.pop("max_steps", 1)
        with pytest.raises(ValueError, match=r"max_steps|save_total_limit"):
            make_trainer(tmp_path, photographs, steps, weights=CONTENT, **arguments)


ALL_TERMS_BUT_PERCEPTUAL = LossWeights(perceptual=0.0, color_readout=10.0)


def test_the_pretrained_trunk_learns_at_its_own_rate(tmp_path, photographs):
    trainer = make_trainer(
        tmp_path,
        photographs,
        1,
        config={"source_encoder": "efficientnet_lite"},
        trainer={"trunk_learning_rate_factor": 0.1},
        save_strategy="no",
    )
    trainer.train()
    rest, trunk = trainer.optimizer.param_groups
    assert trunk["initial_lr"] == pytest.approx(0.1 * rest["initial_lr"])
    assert sum(map(torch.numel, trunk["params"])) == sum(
        parameter.numel() for parameter in trainer.model.source_encoder.trunk.parameters()
    )


class TestOptions:
    @pytest.mark.parametrize(
        "arguments",
        [
            {"bf16": True},
            {ACTIVATION_CHECKPOINTING: True},
            {"trainer": {"channels_last": True}},
            {"gradient_accumulation_steps": 2},
            {"max_grad_norm": 0.0},
            {"trainer": {"vertical_flips": True}},
            {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 2},
        ],
        ids=lambda arguments: "-".join(arguments),
    )
    def test_a_run_reaches_its_end(self, tmp_path, photographs, vgg_file, arguments):
        trainer = make_trainer(tmp_path, photographs, 2, vgg=vgg_file, **arguments)
        trainer.train()
        assert trainer.state.global_step == 2
        assert last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-2"

    def test_accumulated_batches_are_one_large_batch(self, tmp_path, photographs):
        """True of the terms that do not compare the samples of a batch."""
        logs = []
        for name, size, accumulation in (("whole", 4, 1), ("halves", 2, 2)):
            trainer = make_trainer(
                tmp_path / name,
                photographs,
                3,
                weights=CONTENT,
                per_device_train_batch_size=size,
                gradient_accumulation_steps=accumulation,
            )
            trainer.train()
            logs.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
        assert logs[0] == pytest.approx(logs[1], abs=1e-5)


def logged_losses(run: Path, step: int) -> list[dict[str, float]]:
    state = json.loads((run / f"checkpoint-{step}" / "trainer_state.json").read_text())
    names = ("loss", "content", "perceptual", "adversarial", "discriminator_loss", "color_readout")
    return [{name: entry[name] for name in names} for entry in state["log_history"]]


@pytest.mark.slow
class TestProcesses:
    def test_two_processes_with_half_the_batch_equal_one(self, tmp_path, vgg_file):
        make_image(48, 40, seed=1).save(tmp_path / "only.png")  # one shard: the same samples
        logs = []
        for processes, size in ((1, 4), (2, 2)):
            run = tmp_path / f"{processes}"
            codes = train(
                run, tmp_path, 3, processes, vgg=vgg_file, per_device_train_batch_size=size
            )
            assert codes == [0] * processes
            logs.append(logged_losses(run, 3))
        assert len(logs[0]) == 3
        for one, two in zip(*logs, strict=True):
            assert two == pytest.approx(one, abs=1e-5, rel=1e-5)

    def test_another_number_of_processes_is_refused(self, trained, run, monkeypatch):
        monkeypatch.setattr(type(trained.args), "world_size", property(lambda self: 2))
        with pytest.raises(ValueError, match="by 1 processes, this run has 2"):
            trained._check_resumable(run / "checkpoint-4")
