"""Put a trained model into the package: float16 weights, no code files.

    python scripts/embed_checkpoint.py run small

writes scsnet_hf/checkpoints/small, which `pip install .` then carries along.
"""

import argparse
import json
from pathlib import Path

import scsnet_hf
from scsnet_hf import SCSNetForImageToImage, SCSNetImageProcessor


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="folder or Hub id")
    parser.add_argument("name", help="name of the embedded checkpoint")
    args = parser.parse_args()
    folder = Path(scsnet_hf.__file__).parent / "checkpoints" / args.name
    model = SCSNetForImageToImage.from_pretrained(args.model, dtype="float16")
    processor = SCSNetImageProcessor.from_pretrained(args.model)
    model.save_pretrained(folder)
    # The file is float16; the network runs in float32 unless the user says otherwise.
    model.config.dtype = "float32"
    model.config.save_pretrained(folder)
    processor.save_pretrained(folder)
    strip_code(folder)


def strip_code(folder: Path) -> None:
    """Remove the code files and the references to them: the package itself is the code."""
    for file in folder.glob("*.py"):
        file.unlink()
    for file in folder.glob("*.json"):
        content = json.loads(file.read_text())
        content.pop("auto_map", None)
        file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
