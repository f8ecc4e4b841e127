"""Shared pieces: a tiny network with random weights, and pictures made on the spot."""

import os
from copy import deepcopy
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import pipeline

from scsnet_hf import SCSNetConfig, SCSNetForImageToImage, SCSNetImageProcessor
from scsnet_hf.vgg import VGG16Features


def build_tiny_model(seed: int = 0, **config) -> SCSNetForImageToImage:
    """A tiny network whose layers all carry random weights, also those that start at zero."""
    torch.manual_seed(seed)
    model = SCSNetForImageToImage(SCSNetConfig.from_preset("tiny", **config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="session")
def tiny_model() -> SCSNetForImageToImage:
    return build_tiny_model()


@pytest.fixture(scope="session")
def tiny_pipe(tiny_model):
    # A copy: a pipeline stores its model's weights in another order. Others take this pipeline's.
    return pipeline(
        "scs-colorize-sr",
        model=deepcopy(tiny_model),
        image_processor=SCSNetImageProcessor(),
        device="cpu",
    )


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory):
    """Random weights do for a perceptual loss that only has to have gradients."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("vgg") / "vgg.safetensors"
    save_file({name: value.half() for name, value in VGG16Features().state_dict().items()}, path)
    return path


def save_checkpoint(model: SCSNetForImageToImage, folder: Path) -> Path:
    """Make a folder that `from_pretrained` and `scsnet --model` take."""
    model.save_pretrained(folder)
    SCSNetImageProcessor().save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_checkpoint(tmp_path, tiny_model):
    """A checkpoint of the tiny network, for a test to damage."""
    return save_checkpoint(tiny_model, tmp_path / "checkpoint")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, tiny_model):
    """A checkpoint of the tiny network, for tests that leave it as it is."""
    return save_checkpoint(tiny_model, tmp_path_factory.mktemp("checkpoint"))


def make_picture(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """A smooth random picture: noise of an eighth of the size, enlarged."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).convert(mode)
