"""What all `evaluate` modules of the package share: how they load, and what images they take."""

import math
import re
import sys
from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image

import scsnet_hf.metrics
from helpers.images import make_image
from scsnet_hf.metrics import NAMES, metric
from scsnet_hf.metrics.images import select_channels, to_rgb

PAIRS = ("psnr", "ssim")  # what compares pairs and needs no weights


@pytest.fixture
def load(tmp_path):
    """A metric whose cache is the test's own."""
    return lambda name, **arguments: metric(name, cache_dir=str(tmp_path), **arguments)


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    return [make_image(40 + 8 * index, 32, seed=index) for index in range(4)]


@pytest.fixture(scope="module")
def others(images) -> list[Image.Image]:
    return [make_image(*image.size, seed=9) for image in images]


@pytest.mark.parametrize("name", NAMES)
def test_folders_are_evaluate_modules(name, tmp_path):
    folder = Path(scsnet_hf.metrics.__file__).parent / name
    loaded = evaluate.load(str(folder), cache_dir=str(tmp_path))
    assert isinstance(loaded, evaluate.Metric)
    assert loaded.name == name
    assert loaded.description
    assert "Returns:" in loaded.inputs_description
    assert re.search(r": .*\d{4}", loaded.citation)
    card = ModelCard.load(folder / "README.md")
    assert card.data.tags == ["evaluate", "metric"]
    assert card.data.description
    assert f'metric("{name}")' in card.text
    assert loaded.citation.rpartition(": ")[2] in " ".join(card.text.split())


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "evaluate", None)
    with pytest.raises(ImportError, match=r"pip install 'scsnet_hf\[eval\]'"):
        metric("psnr")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="accepted are psnr, ssim, fid"):
        metric("cn")


@pytest.mark.parametrize("keep_in_memory", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_batches_of_any_size_add_up_to_one_call(load, images, others, name, keep_in_memory):
    one = load(name)
    whole = one.compute(predictions=images, references=others, per_image=True)
    assert len(whole["scores"]) == 4
    assert whole[name] == pytest.approx(np.mean(whole["scores"]), rel=1e-12)
    streaming = load(name, keep_in_memory=keep_in_memory)
    streaming.add(prediction=images[0], reference=others[0])
    streaming.add_batch(predictions=images[1:], references=iter(others[1:]))
    assert streaming.compute(per_image=True) == whole
    assert one.compute(predictions=images, references=others, per_image=True) == whole


def test_two_processes_add_to_one_number(load, images, others):
    first, second = (
        load("psnr", num_process=2, process_id=process, experiment_id="shared")
        for process in range(2)
    )
    expected = load("psnr").compute(predictions=images, references=others)
    # Each waits for the other in reality; one thread has to write the second's file by itself.
    first._check_all_processes_locks = second._check_rendez_vous = lambda: None
    first.add_batch(predictions=images[:1], references=others[:1])
    second.add_batch(predictions=images[1:], references=others[1:])
    assert second.compute() is None
    assert first.compute() == expected


def test_metrics_combine(images, others, load):
    combined = evaluate.combine([load(name) for name in (*PAIRS, "colorfulness")])
    result = combined.compute(predictions=images, references=others)
    assert set(result) == {*PAIRS, "colorfulness"}
    for prediction, reference in zip(images, others, strict=True):
        combined.add(prediction, reference)
    assert combined.compute() == result
    for prediction, reference in zip(images, others, strict=True):
        combined.add(predictions=prediction, references=reference)
    assert combined.compute() == result


class TestImages:
    def given(self, folder: Path) -> dict:
        """One image in all forms, which are not to differ."""
        image = make_image(24, 16)
        image.save(folder / "image.png")
        array = np.array(image)
        return {
            "PIL": image,
            "path": folder / "image.png",
            "name": str(folder / "image.png"),
            "bytes": (folder / "image.png").read_bytes(),
            "array": array,
            "tensor": torch.tensor(array).permute(2, 0, 1),
        }

    def test_come_in_many_forms(self, tmp_path, load):
        forms = list(self.given(tmp_path).values())
        loaded = load("psnr")
        result = loaded.compute(predictions=forms, references=[forms[0]] * len(forms))
        assert result["psnr"] == math.inf

    def test_come_as_one_array_or_tensor(self, load):
        array = np.stack([np.array(make_image(24, 16, seed=seed)) for seed in range(3)])
        tensor = torch.tensor(array).permute(0, 3, 1, 2)
        assert load("psnr").compute(predictions=array, references=tensor)["psnr"] == math.inf

    def test_are_stored_without_loss(self, load):
        noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        changed = noise.copy()
        changed[0, 0, 0] ^= 1
        result = load("psnr").compute(predictions=[changed], references=[noise])
        assert result["psnr"] == pytest.approx(10 * math.log10(255**2 * noise.size))

    def test_of_gray_have_equal_channels(self):
        gray = make_image(20, 16, mode="L")
        for image in (gray, np.array(gray), torch.tensor(np.array(gray))[None]):
            rgb = to_rgb(image)
            assert rgb.shape == (16, 20, 3)
            assert (rgb == np.array(gray)[..., None]).all()

    @pytest.mark.parametrize(
        ("image", "message"),
        [
            (np.zeros((16, 16, 3)), r"predictions\[1\]: pixels are float64; accepted are uint8"),
            (torch.zeros(3, 16, 16), r"pixels are torch.float32; accepted are uint8"),
            (Image.new("RGBA", (16, 16)), r"predictions\[1\]: has transparency"),
            (np.zeros((3, 16, 16), np.uint8), r"accepted are \(H, W\) and \(H, W, C\)"),
            ("absent.png", r"predictions\[1\]: absent.png: no such file"),
            (3, "an image must be"),
        ],
    )
    def test_of_other_kinds_are_refused_and_nothing_is_added(self, load, image, message):
        loaded, good = load("psnr"), make_image(16, 16)
        with pytest.raises(ValueError, match=message):
            loaded.add_batch(predictions=[good, image], references=[good, good])
        assert len(loaded) == 0
        assert loaded.compute(predictions=[good], references=[good]) == {"psnr": math.inf}

    @pytest.mark.parametrize("alone", ["a.png", np.zeros((16, 16, 3), np.uint8), b"", 3])
    def test_alone_are_to_be_put_into_a_list(self, load, alone):
        with pytest.raises(ValueError, match="put a single image into a list"):
            load("psnr").add_batch(predictions=alone, references=alone)

    @pytest.mark.parametrize("name", [*PAIRS, "perceptual"])
    def test_of_two_sizes_are_no_pair(self, load, images, name):
        with pytest.raises(ValueError, match=r"predictions\[1\] has 48x32 pixels and ref.*40x32"):
            load(name).add_batch(predictions=images[:2], references=[images[0]] * 2)

    @pytest.mark.parametrize("name", [*PAIRS, "perceptual"])
    def test_without_references_are_no_pair(self, load, images, name):
        with pytest.raises(ValueError, match=f"{name} compares pairs; got 4 predictions and 3"):
            load(name).add_batch(predictions=images, references=images[:3])
        with pytest.raises(ValueError, match="got 4 predictions and 0 references"):
            load(name).compute(predictions=images)


class TestChannels:
    def test_luma_is_that_of_bt_601(self):
        colors = np.array([[[0] * 3, [255] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
        expected = [16, 235, 81.481, 144.553, 40.966]
        assert select_channels(colors, "y").ravel().tolist() == pytest.approx(expected)

    def test_border_is_cut_off_at_all_sides(self):
        rgb = to_rgb(make_image(12, 8))
        assert (select_channels(rgb, border=3) == rgb[3:5, 3:9]).all()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"color": "lab"}, "accepted are 'rgb' and 'y'"),
            ({"border": 4}, "border is 4; accepted is 0 to 3 for an image of 12x8"),
            ({"border": -1}, "accepted is 0 to 3"),
        ],
    )
    def test_other_options_are_refused(self, load, options, message):
        loaded, images = load("psnr"), [make_image(12, 8)]
        with pytest.raises(ValueError, match=message):
            loaded.compute(predictions=images, references=images, **options)
        result = loaded.compute(predictions=images, references=images)  # and it still works
        assert result == {"psnr": math.inf}
