"""What a run shows: averages of its terms, and images."""

import random
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import TrainerControl, TrainerState

from helpers.images import make_image
from scsnet_hf.data import PairMaker, collate
from scsnet_hf.training.monitoring import (
    RunningMeans,
    SampleGrids,
    draw_grid,
    sample_images,
    to_images,
)
from scsnet_hf.training.weight_average import WeightAverage


class Processes:
    """As many processes as there are terms given: the mean of their values is taken."""

    def __init__(self, *others: dict[str, float]):
        self.others, self.num_processes = others, 1 + len(others)

    def reduce(self, values: torch.Tensor, reduction: str) -> torch.Tensor:
        assert reduction == "mean"
        others = [torch.tensor([other[name] for name in sorted(other)]) for other in self.others]
        return torch.stack([values, *others]).mean(dim=0)


def terms(**values: float) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}


class TestRunningMeans:
    @pytest.fixture
    def means(self):
        return RunningMeans()

    def test_it_gives_the_means_over_the_steps(self, means):
        means.add(terms(content=1.0, adversarial=4.0), samples=8)
        means.add(terms(content=3.0, adversarial=5.0), samples=8)
        taken = means.take(Processes())
        assert taken["content"] == pytest.approx(2.0)
        assert taken["adversarial"] == pytest.approx(4.5)

    def test_they_are_numbers(self, means):
        means.add(terms(content=1.0), samples=8)
        assert all(isinstance(value, float) for value in means.take(Processes()).values())

    def test_a_term_counts_only_the_steps_that_have_it(self, means):
        means.add(terms(content=1.0), samples=8)
        means.add(terms(content=3.0, rare=7.0), samples=8)
        taken = means.take(Processes())
        assert (taken["content"], taken["rare"]) == (2.0, 7.0)

    def test_processes_are_averaged(self, means):
        means.add(terms(b=1.0, a=10.0), samples=8)
        taken = means.take(Processes({"a": 20.0, "b": 3.0}))
        assert taken["a"] == pytest.approx(15.0)
        assert taken["b"] == pytest.approx(2.0)

    def test_taking_resets_them(self, means):
        means.add(terms(content=100.0, gone=1.0), samples=8)
        means.take(Processes())
        means.add(terms(content=3.0), samples=8)
        taken = means.take(Processes())
        assert taken["content"] == pytest.approx(3.0)
        assert "gone" not in taken

    def test_without_a_step_there_is_only_the_rate(self, means):
        assert means.take(Processes()) == {"images_per_second": 0.0}

    @pytest.mark.parametrize("processes", [1, 2])
    def test_the_rate_counts_the_samples_of_all_processes(self, monkeypatch, processes):
        clock = iter((10.0, 14.0, 14.0))
        monkeypatch.setattr("time.perf_counter", lambda: next(clock))
        means = RunningMeans()
        for _ in range(5):
            means.add(terms(content=1.0), samples=8)
        others = [{"content": 1.0}] * (processes - 1)
        assert means.take(Processes(*others))["images_per_second"] == processes * 10

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_small_steps_are_not_lost_in_half_precision(self, means, dtype):
        for _ in range(1000):
            means.add({"content": torch.tensor(0.5, dtype=dtype)}, samples=1)
        assert means.take(Processes())["content"] == pytest.approx(0.5)

    def test_what_is_not_finite_shows(self, means):
        for value in (1.0, float("nan"), 2.0):
            means.add(terms(content=value), samples=1)
        assert np.isnan(means.take(Processes())["content"])

    def test_the_values_given_are_left_as_they_were(self, means):
        values = terms(content=1.0)
        for _ in range(2):
            means.add(values, samples=1)
        assert values["content"] == 1


def constant(lightness: float, a: float = 0, b: float = 0, size=(2, 3, 12, 16)) -> torch.Tensor:
    color = torch.tensor([lightness, a, b]).view(1, 3, 1, 1)
    return color.expand(size).contiguous()


class TestToImages:
    def test_each_sample_is_an_rgb_image_of_its_size(self):
        images = to_images(constant(0.0))
        assert [(image.mode, image.size) for image in images] == [("RGB", (16, 12))] * 2

    @pytest.mark.parametrize(("lightness", "brightness"), [(-1, 0), (1, 255)])
    def test_the_ends_of_lightness_are_black_and_white(self, lightness, brightness):
        assert set(np.unique(to_images(constant(lightness))[0])) == {brightness}

    @pytest.mark.parametrize("lightness", [-5, 5])
    def test_what_is_beyond_black_and_white_is_clipped(self, lightness):
        """An overflow would jump to the other end."""
        beyond, end = (to_images(constant(value))[0] for value in (lightness, lightness / 5))
        assert beyond.tobytes() == end.tobytes()

    def test_so_are_colors_out_of_gamut(self):
        red, _, blue = np.asarray(to_images(constant(0, a=5, b=5))[0])[0, 0]
        assert (red, blue) == (255, 0)

    def test_half_precision_is_taken(self):
        images = to_images(constant(0.0).bfloat16())
        assert images[0].tobytes() == to_images(constant(0.0))[0].tobytes()

    def test_a_result_of_training_is_taken(self):
        assert len(to_images(constant(0.0).requires_grad_())) == 2


class TestDrawGrid:
    def test_it_has_a_row_per_sample_and_a_column_per_caption(self):
        one = draw_grid({"input": constant(0, size=(1, 3, 64, 64))})
        columns = draw_grid({c: constant(0, size=(1, 3, 64, 64)) for c in ("input", "truth")})
        rows = draw_grid({"input": constant(0, size=(3, 3, 64, 64))})
        assert columns.width > 1.8 * one.width
        assert columns.height == one.height
        assert rows.height > 2.6 * one.height
        assert rows.width == one.width

    def test_columns_may_be_of_any_size(self):
        columns = {
            "input": constant(-1, size=(1, 3, 16, 16)),
            "automatic": constant(0, size=(1, 3, 200, 200)),
        }
        grid = np.asarray(draw_grid(columns))
        black = (grid == 0).all(axis=-1).any(axis=0).sum()
        assert black >= 200  # as wide as the widest

    @staticmethod
    def first_place(grid: Image.Image, sample: torch.Tensor) -> tuple[int, int]:
        """Row and column where the color of a constant sample (1, 3, H, W) begins."""
        color = to_images(sample)[0].getpixel((0, 0))
        rows, columns = (np.asarray(grid) == color).all(axis=-1).nonzero()
        return rows.min(), columns.min()

    def test_samples_and_columns_are_in_their_order(self):
        samples = [constant(value, size=(1, 3, 64, 64)) for value in (-1, -0.5, 0, 0.5)]
        grid = draw_grid({"": torch.cat(samples[:2]), " ": torch.cat(samples[2:])})
        first, below, beside, last = (self.first_place(grid, sample) for sample in samples)
        assert first[0] == beside[0] < below[0] == last[0]
        assert first[1] == below[1] < beside[1] == last[1]


@pytest.fixture(scope="module")
def batch():
    make_pair = PairMaker(16, 16, 16)
    return collate(
        [make_pair(make_image(48, 40, seed=seed), random.Random(seed)) for seed in range(2)]
    )


class TestSampleImages:
    def test_columns_are_input_automatic_reference_referential_truth(self, tiny_model, batch):
        columns = sample_images(tiny_model, batch)
        assert list(columns) == ["input", "automatic", "reference", "referential", "truth"]
        assert columns["automatic"].shape == columns["truth"].shape == (2, 3, 16, 16)
        assert not columns["input"][:, 1:].any()

    @pytest.mark.parametrize("training", [True, False])
    def test_it_leaves_the_mode_of_the_model_alone(self, tiny_model, batch, training):
        model = deepcopy(tiny_model).train(training)
        sample_images(model, batch)
        assert model.training == training


class TestSampleGrids:
    @pytest.fixture
    def written(self):
        """What TensorBoard is given: name, pixels and step."""
        return []

    @pytest.fixture
    def grids(self, written, tiny_model, batch):
        writer = SimpleNamespace(
            add_image=lambda *args, dataformats: written.append((*args, dataformats))
        )
        callbacks = [SimpleNamespace(), SimpleNamespace(tb_writer=writer)]
        trainer = SimpleNamespace(
            model=tiny_model,
            weight_average=WeightAverage(tiny_model, decay=0.999),
            callback_handler=SimpleNamespace(callbacks=callbacks),
        )
        return SampleGrids(trainer, batch, every=5)

    def run(self, grids, folder, steps: int, is_main: bool = True) -> list[str]:
        """The images' names after a run."""
        state = TrainerState(max_steps=steps, is_world_process_zero=is_main)
        for step in range(1, steps + 1):
            state.global_step = step
            grids.on_step_end(SimpleNamespace(output_dir=str(folder)), state, TrainerControl())
        return sorted(path.name for path in (folder / "samples").glob("*"))

    def test_every_so_many_steps_and_at_the_end_there_is_one(self, grids, tmp_path):
        names = self.run(grids, tmp_path, steps=12)
        assert names == ["step-000005.png", "step-000010.png", "step-000012.png"]

    def test_it_is_the_grid_of_the_sample_images(self, grids, tiny_model, batch, tmp_path):
        (name,) = self.run(grids, tmp_path, steps=5)
        expected = draw_grid(sample_images(tiny_model, batch))
        with Image.open(tmp_path / "samples" / name) as image:
            assert image.convert("RGB").tobytes() == expected.tobytes()

    def test_only_the_main_process_writes(self, grids, tmp_path):
        assert self.run(grids, tmp_path, steps=5, is_main=False) == []

    def test_tensorboard_gets_the_same_image(self, grids, tmp_path, written):
        self.run(grids, tmp_path, steps=5)
        ((name, pixels, step, layout),) = written
        assert (name, step, layout) == ("samples", 5, "HWC")
        with Image.open(tmp_path / "samples" / "step-000005.png") as image:
            assert np.array_equal(pixels, np.asarray(image.convert("RGB")))
