"""scripts/train.py: a command and its results."""

import os
import runpy
import sys
from pathlib import Path

import datasets
import pytest
import torch
from PIL import Image
from transformers import ViTConfig

from helpers.images import make_image
from scsnet_hf import SCSNetForImageToImage, SCSNetImageProcessor

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "train.py"
TINY = """--preset smoke --cpu --workers 0 --batch-size 2 --source-size 16 --save-steps 2
    --logging-steps 1""".split()


def run(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def failure(monkeypatch, *arguments) -> str:
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, *arguments)
    return str(end.value.code)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(4):
        make_image(48, 40, seed=seed).save(folder / f"{seed}.png")
    (folder / "damaged.png").write_bytes(b"damaged")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory, photographs):
    """Folder of a run of four steps, and what it printed."""
    folder = tmp_path_factory.mktemp("script") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        run(monkeypatch, "--data", photographs, "--output", folder, "--steps", 4, *TINY)
    return folder


class TestRun:
    def test_its_output_is_a_model(self, finished):
        model = SCSNetForImageToImage.from_pretrained(finished)
        assert model(torch.zeros(1, 1, 8, 8), scale=2).reconstruction.shape == (1, 3, 16, 16)

    def test_its_output_has_an_image_processor(self, finished):
        SCSNetImageProcessor.from_pretrained(finished)

    def test_it_is_the_average(self, finished):
        model, average = (
            SCSNetForImageToImage.from_pretrained(folder).state_dict()
            for folder in (finished, finished / "checkpoint-4" / "average")
        )
        assert all(torch.equal(model[name], average[name]) for name in model)

    @pytest.mark.parametrize("step", [2, 4])
    def test_it_shows_images(self, finished, step):
        with Image.open(finished / "samples" / f"step-{step:06d}.png") as grid:
            assert grid.width > 5 * 100

    def test_it_writes_for_tensorboard(self, finished):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(finished / "runs"))
        [folder] = (finished / "runs").iterdir()
        events = EventAccumulator(str(folder)).Reload()
        assert "samples" in events.Tags()["images"]
        assert {"train/adversarial", "train/d_real"} <= set(events.Tags()["scalars"])

    def test_the_same_command_again_only_says_where_the_model_is(
        self, finished, photographs, monkeypatch, capsys
    ):
        files = [path for path in finished.glob("checkpoint-*/**/*") if path.is_file()]
        before = {path: path.stat().st_mtime_ns for path in files}
        run(monkeypatch, "--data", photographs, "--output", finished, "--steps", 4, *TINY)
        assert {path: path.stat().st_mtime_ns for path in files} == before
        assert f"scsnet colorize PHOTO --model {finished}" in capsys.readouterr().out

    def test_more_steps_resume_the_run(self, finished, photographs, tmp_path, monkeypatch):
        import shutil

        shutil.copytree(finished, tmp_path / "run")
        output = tmp_path / "run"
        run(monkeypatch, "--data", photographs, "--output", output, "--steps", 5, *TINY)
        assert (output / "checkpoint-5").exists()

    def test_images_that_could_not_be_used_are_listed(
        self, photographs, tmp_path, monkeypatch, capsys
    ):
        # More steps than good images, so that the damaged one is met.
        run(monkeypatch, "--data", photographs, "--output", tmp_path, "--steps", 4, *TINY)
        printed = capsys.readouterr().out
        assert "1 images could not be used" in printed
        assert "damaged.png" in printed


class TestErrors:
    """One line that says what was given and what to do; nothing is written."""

    def test_no_such_folder(self, tmp_path, monkeypatch):
        message = failure(monkeypatch, "--data", tmp_path / "no", "--output", tmp_path, *TINY)
        assert str(tmp_path / "no") in message
        assert message.count("\n") == 0

    def test_an_unknown_column(self, tmp_path, monkeypatch):
        path = tmp_path / "photographs.parquet"
        datasets.Dataset.from_dict({"title": ["a"]}).to_parquet(path)
        message = failure(
            monkeypatch, "--data", path, "--image-column", "photo", "--output", tmp_path, *TINY
        )
        assert "'photo'" in message
        assert "'title'" in message

    def test_a_gray_data_set(self, tmp_path, monkeypatch):
        for seed in range(2):
            make_image(24, 24, "L", seed=seed).save(tmp_path / f"{seed}.png")
        message = failure(
            monkeypatch,
            *("--data", tmp_path, "--output", tmp_path / "run", "--min-colorfulness", 5),
            *TINY,
        )
        assert "colorfulness" in message

    def test_a_shard_damaged_in_the_middle_is_named(self, tmp_path, monkeypatch):
        make_image(48, 40).save(tmp_path / "image.png")
        content = (tmp_path / "image.png").read_bytes()
        images = [{"bytes": content, "path": f"{index}.png"} for index in range(8)]
        features = datasets.Features({"image": datasets.Image(decode=False)})
        for name in ("good", "bad"):
            table = datasets.Dataset.from_dict({"image": images}, features=features)
            table.to_parquet(tmp_path / f"{name}.parquet")
        damaged = bytearray((tmp_path / "bad.parquet").read_bytes())
        damaged[4 : len(damaged) // 2] = bytes(len(damaged) // 2 - 4)
        (tmp_path / "bad.parquet").write_bytes(damaged)
        message = failure(
            monkeypatch,
            *("--data", tmp_path / "good.parquet", tmp_path / "bad.parquet"),
            *("--output", tmp_path / "run", "--steps", 20),
            *TINY,
        )
        assert f"{tmp_path / 'bad.parquet'} is damaged" in message
        assert "good.parquet" not in message

    def test_a_selection_that_leaves_nothing(self, photographs, tmp_path, monkeypatch):
        message = failure(
            monkeypatch,
            *("--data", photographs, "--output", tmp_path / "run", "--min-bytes", 10**6),
            *TINY,
        )
        assert "leaves no photograph" in message

    def test_a_hub_id_without_access(self, tmp_path, monkeypatch):
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        message = failure(
            monkeypatch, "--data", "nobody/nothing", "--output", tmp_path / "run", *TINY
        )
        assert "nobody/nothing" in message

    def test_a_model_of_another_kind(self, photographs, tmp_path, monkeypatch):
        ViTConfig().save_pretrained(tmp_path)
        message = failure(
            monkeypatch,
            *("--data", photographs, "--output", tmp_path / "run", "--init-from", tmp_path),
            *TINY,
        )
        assert "is a vit model, not scsnet" in message

    def test_a_run_of_another_network(self, finished, photographs, monkeypatch):
        message = failure(
            monkeypatch,
            *("--data", photographs, "--output", finished, "--network", "small", "--steps", 9),
            *TINY,
        )
        assert "another network" in message

    def test_a_vgg_file_that_is_not_there(self, photographs, tmp_path, monkeypatch):
        message = failure(
            monkeypatch,
            *("--data", photographs, "--output", tmp_path / "run", "--losses", "full"),
            *("--vgg", tmp_path / "vgg.safetensors"),
            *TINY,
        )
        assert "vgg.safetensors" in message

    def test_a_read_only_output(self, photographs, tmp_path, monkeypatch):
        if os.geteuid() == 0:
            pytest.skip("root may write anywhere")
        tmp_path.chmod(0o500)
        assert "Permission denied" in failure(
            monkeypatch, "--data", photographs, "--output", tmp_path / "run", *TINY
        )


def test_it_has_help(monkeypatch, capsys):
    assert failure(monkeypatch, "--help") == "0"
    printed = capsys.readouterr().out
    assert all(preset in printed for preset in ("paper", "continuous", "finetune", "smoke"))
