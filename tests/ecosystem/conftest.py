"""transformers' own common tests, run on this package: `pytest -m ecosystem`.

They come from the source distribution of the installed version, which pip downloads into a
temporary folder that later runs use again, and are imported as the package `transformers_tests`.
"""

import os
import re
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from types import ModuleType

import numpy as np
import transformers
from PIL import Image

PACKAGE = "transformers_tests"


def pytest_configure(config):
    if not _is_selected(config):
        return
    os.environ["RUN_SLOW"] = "1"  # upstream's mark for what takes a second or two
    from transformers import testing_utils

    folder = _downloaded_tests()
    for file in (Path(testing_utils.__file__), *folder.rglob("*.py")):
        for name in set(re.findall(r"\bmark\.(\w+)", file.read_text())):
            config.addinivalue_line("markers", f"{name}: of transformers")
    sys.path.insert(0, str(folder))
    _add_what_the_distribution_lacks()


def pytest_ignore_collect(collection_path, config):
    return None if _is_selected(config) else True


def _is_selected(config) -> bool:
    return config.option.markexpr == "ecosystem"


def _downloaded_tests() -> Path:
    """Return a folder that holds the package of upstream's tests."""
    version = transformers.__version__
    folder = Path(gettempdir()) / f"{PACKAGE}-{version}"
    if not folder.exists():
        with TemporaryDirectory() as temporary:
            made = _download(version, Path(temporary))
            with suppress(OSError):  # another process was quicker
                made.rename(folder)
    return folder


def _download(version: str, folder: Path) -> Path:
    options = "--quiet --no-deps --no-binary transformers".split()
    pip = [sys.executable, "-m", "pip", "download", *options, f"transformers=={version}"]
    subprocess.run([*pip, "--dest", str(folder)], check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        inside = f"transformers-{version}/tests/"
        tests = [file for file in archive.getmembers() if file.name.startswith(inside)]
        archive.extractall(folder, tests, filter="data")
    made = folder / "made"
    made.mkdir()
    (folder / inside).rename(made / PACKAGE)
    (made / PACKAGE / "__init__.py").touch()
    return made


def _add_what_the_distribution_lacks() -> None:
    """Stand in for modules of transformers' repository that its distribution leaves out."""
    for name, contents in {
        f"{PACKAGE}.generation": {"__path__": []},
        f"{PACKAGE}.generation.test_utils": {"GenerationTesterMixin": type("Generation", (), {})},
        f"{PACKAGE}.exporters": {"__path__": []},
        f"{PACKAGE}.exporters.test_export": {"ExportTesterMixin": type("Export", (), {})},
        f"{PACKAGE}.utils": {"__path__": []},
        f"{PACKAGE}.utils.test_configuration_utils": {"config_common_kwargs": COMMON_FIELDS},
        "fetch_hub_objects_for_ci": {"url_to_local_path": _image_for_any_url},
    }.items():
        sys.modules[name] = module = ModuleType(name)
        vars(module).update(contents)


COMMON_FIELDS = {  # of every configuration, none at its default
    "return_dict": False,
    "output_hidden_states": True,
    "output_attentions": True,
    "dtype": "float16",
    "chunk_size_feed_forward": 5,
    "architectures": ["BertModel"],
    "id2label": {0: "label"},
    "label2id": {"label": 0},
    "problem_type": "regression",
}


def _image_for_any_url(url: str, *args, **kwargs) -> str:
    path = Path(gettempdir()) / f"{PACKAGE}.png"
    levels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(levels).resize((640, 480)).save(path)
    return str(path)
