"""scripts/research/embed_checkpoint.py from its command line."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

import scsnet_hf
from scsnet_hf import SCSNetConfig, SCSNetForImageToImage, SCSNetImageProcessor

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "research" / "embed_checkpoint.py"


@pytest.fixture
def run_folder(tmp_path, request):
    """A trained model, as scripts/train.py leaves it."""
    torch.manual_seed(0)
    config = SCSNetConfig.from_preset("tiny", upsampler=getattr(request, "param", "cpm"))
    model = SCSNetForImageToImage(config)
    torch.nn.init.normal_(model.upsampler.last.weight, std=0.3)
    model.save_pretrained(tmp_path / "run")
    SCSNetImageProcessor().save_pretrained(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def embed(run_folder, monkeypatch):
    """Embed the run in a package that lies beside it; the checkpoint's folder."""
    monkeypatch.setattr(scsnet_hf, "__file__", str(run_folder.parent / "__init__.py"))

    def call(*options):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(run_folder), "mine", *options])
        runpy.run_path(str(SCRIPT), run_name="__main__")
        return run_folder.parent / "checkpoints" / "mine"

    return call


def result_of(folder):
    model = SCSNetForImageToImage.from_pretrained(folder).eval()
    source = torch.linspace(-1, 1, 256).view(1, 1, 16, 16)
    with torch.inference_mode():
        return model(source, output_size=(32, 32)).reconstruction


def test_embeds_weights_of_half_the_bytes_and_no_code(run_folder, embed):
    folder = embed()
    names = {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert {path.name for path in folder.iterdir()} == names
    whole, half = (path / "model.safetensors" for path in (run_folder, folder))
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    torch.testing.assert_close(result_of(folder), result_of(run_folder), atol=5e-3, rtol=0)


def test_saturation_scales_colors_and_leaves_lightness(embed):
    before, after = result_of(embed()), result_of(embed("--saturation", "0.5"))
    assert before[:, 1:].abs().max() > 0.05
    torch.testing.assert_close(after[:, :1], before[:, :1])
    torch.testing.assert_close(after[:, 1:], before[:, 1:] / 2, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("run_folder", ["pixelshuffle", "meta"], indirect=True)
def test_saturation_of_other_heads_is_refused(embed, capsys):
    with pytest.raises(SystemExit):
        embed("--saturation", "0.5")
    assert "cpm" in capsys.readouterr().err
