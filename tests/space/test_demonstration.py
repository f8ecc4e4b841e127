"""The limits of the Space and its use of ZeroGPU, without a browser."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from demonstration import read_image, read_source
from scsnet_hf import ImageError

SPACE = Path(__file__).parents[2] / "space"


@pytest.mark.parametrize("read", [read_image, read_source])
@pytest.mark.parametrize("size", [(1, 1_900_000), (1, 2_500_000), (2_500_000, 1)])
def test_an_image_too_thin_is_refused_by_its_size(tmp_path, size, read):
    Image.new("L", size).save(tmp_path / "thin.png")
    with pytest.raises(ImageError, match=f"{size[0]}x{size[1]} is too thin"):
        read(str(tmp_path / "thin.png"))


def test_a_long_panorama_is_taken(tmp_path):
    Image.new("L", (10_000, 100)).save(tmp_path / "panorama.png")
    assert read_source(str(tmp_path / "panorama.png")).size == (10_000, 100)


@pytest.mark.slow
def test_everything_that_computes_runs_on_zero_gpu(tmp_path):
    module = "import sys\nassert 'torch' not in sys.modules\n"
    module += "def GPU(function): print('GPU:', function.__name__); return function\n"
    (tmp_path / "spaces.py").write_text(module)
    program = "import app; app.build(app.Demonstration.from_environment())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=SPACE, env=environment, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    names = {line.split()[1] for line in finished.stdout.splitlines() if "GPU:" in line}
    assert names >= {"colorize", "look_inside", "zoom", "batch", "propose_references"}
