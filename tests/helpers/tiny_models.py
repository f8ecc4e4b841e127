"""Tiny networks with random weights."""

from pathlib import Path

import torch

from scsnet_hf import SCSNetConfig, SCSNetForImageToImage, SCSNetImageProcessor


def build_tiny_model(seed: int = 0, **config) -> SCSNetForImageToImage:
    """A tiny network whose layers all carry random weights, also those that start at zero."""
    torch.manual_seed(seed)
    model = SCSNetForImageToImage(SCSNetConfig.from_preset("tiny", **config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def save_checkpoint(model: SCSNetForImageToImage, folder: Path) -> Path:
    """Make a folder that `from_pretrained` and `scsnet --model` take."""
    model.save_pretrained(folder)
    SCSNetImageProcessor().save_pretrained(folder)
    return folder
