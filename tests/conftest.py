"""Shared fixtures: a tiny network with random weights, its pipeline, its checkpoint, a browser."""

import os
from copy import deepcopy

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from safetensors.torch import save_file
from transformers import pipeline

from helpers.tiny_models import build_tiny_model, save_checkpoint
from scsnet_hf import SCSNetForImageToImage, SCSNetImageProcessor
from scsnet_hf.training.vgg import VGG16Features


@pytest.fixture(scope="session")
def tiny_model() -> SCSNetForImageToImage:
    return build_tiny_model()


@pytest.fixture(scope="session")
def tiny_pipe(tiny_model):
    # A copy, because a pipeline changes the memory format of its model.
    return pipeline(
        "scs-colorize-sr",
        model=deepcopy(tiny_model),
        image_processor=SCSNetImageProcessor(),
        device="cpu",
    )


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory):
    """Weights of VGG16, random ones, which suffice for a loss that only needs gradients."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("vgg") / "vgg.safetensors"
    save_file({name: value.half() for name, value in VGG16Features().state_dict().items()}, path)
    return path


@pytest.fixture
def tiny_checkpoint(tmp_path, tiny_model):
    """A checkpoint of the tiny network, for a test to damage."""
    return save_checkpoint(tiny_model, tmp_path / "checkpoint")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, tiny_model):
    """A checkpoint of the tiny network, for tests that do not modify it."""
    return save_checkpoint(tiny_model, tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; where there is none, the test is skipped."""
    from helpers.space_server import running_browser

    with running_browser() as browser:
        yield browser
