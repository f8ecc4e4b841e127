"""The embedded checkpoint with quantized weights, adapters, and weights on disk."""

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torchao.quantization import Int8WeightOnlyConfig
from transformers import BitsAndBytesConfig, TorchAoConfig, pipeline

from helpers.tiny_models import build_tiny_model
from scsnet_hf import SCSNetForImageToImage, SCSNetImageProcessor, embedded_checkpoint

pytestmark = pytest.mark.ecosystem

SPACE = Path(__file__).parents[2] / "space"
QUANTIZATIONS = {  # and decibels that their images keep at least
    "bitsandbytes 8 bits": (BitsAndBytesConfig(load_in_8bit=True), 50),
    "bitsandbytes 4 bits": (BitsAndBytesConfig(load_in_4bit=True), 35),
    "torchao 8 bits": (TorchAoConfig(Int8WeightOnlyConfig()), 50),
}


def colorized(**options) -> np.ndarray:
    """A photograph in the colors of another, by a model loaded with `options`."""
    model = SCSNetForImageToImage.from_pretrained(embedded_checkpoint(), **options)
    pipe = pipeline("scs-colorize-sr", model=model, image_processor=SCSNetImageProcessor())
    photo, reference = SPACE / "examples/black-canyon.jpg", SPACE / "references/coffee.jpg"
    return np.asarray(pipe(photo, reference=reference, scale=1), dtype=float)


@pytest.fixture(scope="module")
def expected():
    return colorized(dtype=torch.float32)


@pytest.mark.parametrize("name", QUANTIZATIONS)
def test_quantized_weights_give_nearly_the_same(name, expected, monkeypatch):
    # On processors with these instructions it packs four bits only for multiples of 32 outputs.
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)
    config, decibels = QUANTIZATIONS[name]
    actual = colorized(dtype=torch.float32, device_map="cpu", quantization_config=config)
    error = np.square(actual - expected).mean()
    assert 0 < error < 255**2 / 10 ** (decibels / 10)


def test_weights_on_disk_give_the_same(expected, tmp_path):
    first, *others = (name for name, _ in build_tiny_model().named_children())
    on_disk = {first: "cpu", **dict.fromkeys(others, "disk")}
    actual = colorized(dtype=torch.float32, device_map=on_disk, offload_folder=tmp_path)
    assert np.abs(actual - expected).max() <= 1


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing")  # peft reads it
def test_an_adapter_of_all_linear_layers_learns_everywhere():
    lora = get_peft_model(build_tiny_model(), LoraConfig(r=2, target_modules="all-linear"))
    inputs = random_images(1, 3, 48), random_images(1, 1, 48), random_images(1, 3, 192)
    names = "reference_pixel_values", "pixel_values", "labels"
    lora(**dict(zip(names, inputs, strict=True))).loss.backward()
    added = {name: p.grad for name, p in lora.named_parameters() if "lora_B" in name}
    assert added
    assert [name for name, gradient in added.items() if not gradient.any()] == []


def random_images(batch: int, channels: int, size: int) -> torch.Tensor:
    return torch.rand(batch, channels, size, size) * 2 - 1
