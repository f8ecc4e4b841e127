"""Register the package with transformers, and load its pipeline.

`import scsnet_hf` takes effect before and after `from transformers import pipeline`, and imports
neither torch nor the Auto classes, which take seconds. Since transformers registers classes only,
not their names, a hook registers each one when the module of transformers that it belongs to has
been imported.
"""

import logging
import sys
import threading
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from .pipeline_scsnet import ScsColorizeSrPipeline

_CHECKPOINTS = Path(__file__).parent / "checkpoints"
DEFAULT_CHECKPOINT = str(_CHECKPOINTS / "medium")
DTYPES = "float32 bfloat16 float16".split()


def embedded_checkpoints() -> list[str]:
    """Return the names of the checkpoints in the package."""
    return sorted(folder.name for folder in _CHECKPOINTS.iterdir())


def embedded_checkpoint(name: str = "medium") -> str:
    """Return the folder of a checkpoint in the package, for `from_pretrained` and `pipeline`.

    Args:
        name: `"medium"`, the default of the task, or `"small"`, lighter and weaker in color.

    Raises:
        ValueError: if the package has no checkpoint of that name.
    """
    names = embedded_checkpoints()
    if name not in names:
        raise ValueError(f"no checkpoint {name!r} in the package: choose one of {', '.join(names)}")
    return str(_CHECKPOINTS / name)


def find_checkpoint(name: str) -> str:
    """Return the folder for the name of an embedded checkpoint, anything else unchanged."""
    if Path(name).exists():
        return name
    try:
        return embedded_checkpoint(name)
    except ValueError:
        return name


def load_pipeline(
    name: str = DEFAULT_CHECKPOINT,
    device: "str | int | torch.device | None" = None,
    dtype: str | None = None,
) -> "ScsColorizeSrPipeline":
    """Load the pipeline of a model with the code of this package.

    Args:
        name: name of an embedded checkpoint, a folder or a Hub id.
        device: as in `transformers.pipeline`; the best one available if None.
        dtype: number format of the network, one of `DTYPES`; the model's own if None.

    Example:
        >>> import scsnet_hf
        >>> pipe = scsnet_hf.load_pipeline("small")
    """
    from transformers import pipeline

    from .pipeline_scsnet import TASK, ScsColorizeSrPipeline

    return pipeline(
        TASK,
        model=find_checkpoint(name),
        device=device,
        pipeline_class=ScsColorizeSrPipeline,
        dtype=dtype or "auto",
    )


@cache
def _register_config() -> None:
    from transformers import AutoConfig

    from .configuration_scsnet import SCSNetConfig

    AutoConfig.register(SCSNetConfig.model_type, SCSNetConfig, exist_ok=True)


@cache
def _register_models() -> None:
    from transformers import AutoModel, AutoModelForImageToImage

    from .configuration_scsnet import SCSNetConfig
    from .modeling_scsnet import SCSNetForImageToImage

    for auto_class in (AutoModel, AutoModelForImageToImage):
        auto_class.register(SCSNetConfig, SCSNetForImageToImage, exist_ok=True)


@cache
def _register_image_processor() -> None:
    from transformers import AutoImageProcessor

    from .configuration_scsnet import SCSNetConfig
    from .image_processing_scsnet import SCSNetImageProcessor

    # One class for both, or transformers warns where torchvision, its first choice, is installed.
    backends = dict.fromkeys(("pil", "torchvision"), SCSNetImageProcessor)
    AutoImageProcessor.register(SCSNetConfig, image_processor_classes=backends, exist_ok=True)


@cache
def _register_pipeline() -> None:
    from transformers import AutoModelForImageToImage
    from transformers.pipelines import PIPELINE_REGISTRY

    from .pipeline_scsnet import TASK, ScsColorizeSrPipeline

    if TASK in PIPELINE_REGISTRY.supported_tasks:
        return
    PIPELINE_REGISTRY.register_pipeline(
        TASK,
        ScsColorizeSrPipeline,
        pt_model=AutoModelForImageToImage,
        default={"model": (DEFAULT_CHECKPOINT, None)},
        type="image",
    )
    # transformers advises against a task's default model, which is a moving one on the Hub; ours is
    # a folder of this package.
    logging.getLogger("transformers.pipelines").addFilter(
        lambda record: f"defaulted to {DEFAULT_CHECKPOINT} " not in record.getMessage()
    )


_REGISTRATIONS = {
    "transformers.models.auto.configuration_auto": _register_config,
    "transformers.models.auto.modeling_auto": _register_models,
    "transformers.models.auto.image_processing_auto": _register_image_processor,
    "transformers.pipelines": _register_pipeline,
}


class _RegisterAfterImports(MetaPathFinder):
    """Registers what is possible whenever an import of transformers or of this package ends.

    Only the outermost import counts, because during it modules may still be incomplete.
    """

    def __init__(self):
        self._imports = threading.local()  # `depth`: number of nested ones in this thread

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ("transformers", __package__):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module):
            self._imports.depth = depth = getattr(self._imports, "depth", 0) + 1
            try:
                execute(module)
            finally:
                self._imports.depth -= 1
            if depth == 1:
                _register_possible()

        spec.loader.exec_module = execute_and_register
        return spec


def _register_possible() -> None:
    """Register with every module of transformers that has been imported."""
    for module, registration in _REGISTRATIONS.items():
        if module in sys.modules:
            registration()


def register() -> None:
    """Register now with what transformers has imported already, and later with the rest."""
    sys.meta_path.insert(0, _RegisterAfterImports())
    _register_possible()
