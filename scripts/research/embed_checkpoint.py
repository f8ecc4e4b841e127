"""Embed a trained model into the package: float16 weights, no code files.

    python scripts/research/embed_checkpoint.py run small

writes scsnet_hf/checkpoints/small, which is package data.
"""

import argparse
import json
from pathlib import Path

import torch

import scsnet_hf
from scsnet_hf import SCSNetConfig, SCSNetForImageToImage, SCSNetImageProcessor


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="folder or Hub id")
    parser.add_argument("name", help="name of the embedded checkpoint")
    parser.add_argument("--saturation", type=float, default=1.0, help="factor of all colors")
    args = parser.parse_args()
    if args.saturation != 1 and SCSNetConfig.from_pretrained(args.model).upsampler != "cpm":
        parser.error("--saturation: only networks with continuous pixel mapping (cpm) can")
    folder = Path(scsnet_hf.__file__).parent / "checkpoints" / args.name
    model = SCSNetForImageToImage.from_pretrained(args.model, dtype="float16")
    processor = SCSNetImageProcessor.from_pretrained(args.model)
    scale_colors(model, args.saturation)
    model.save_pretrained(folder)
    # The file is float16; the network runs in float32 unless the user says otherwise.
    model.config.dtype = "float32"
    model.config.save_pretrained(folder)
    processor.save_pretrained(folder)
    strip_code(folder)
    (folder / "model.safetensors").chmod(0o644)  # transformers writes it for its owner alone


@torch.no_grad()
def scale_colors(model: SCSNetForImageToImage, saturation: float) -> None:
    """Multiply a and b of all results through the weights of the last layer of pixel mapping.

    Adversarial training may exaggerate colors; this compensates for it.
    """
    for parameter in model.upsampler.last.parameters():
        parameter[1:] *= saturation  # L, a, b


def strip_code(folder: Path) -> None:
    """Remove the code files and the references to them: the package has the code."""
    for file in folder.glob("*.py"):
        file.unlink()
    for file in folder.glob("*.json"):
        content = json.loads(file.read_text())
        for name in ("auto_map", "custom_pipelines"):
            content.pop(name, None)
        file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
