"""Registers the package with transformers, without importing more than the user does.

Importing torch and the Auto classes takes seconds. So each registration waits until the module of
transformers that it concerns is imported, and happens right after that.
"""

import sys
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


def embedded_checkpoint(name: str = "medium") -> str:
    """Folder of a checkpoint that lies in the package, for `from_pretrained` and `pipeline`.

    Args:
        name: `"medium"`, what the task uses by default, or `"small"`, lighter and weaker in color.

    Raises:
        ValueError: for another name.
    """
    names = sorted(folder.name for folder in _CHECKPOINTS.iterdir())
    if name not in names:
        raise ValueError(f"no checkpoint {name!r} in the package: choose one of {', '.join(names)}")
    return str(_CHECKPOINTS / name)


def find_checkpoint(name: str) -> str:
    """A folder or Hub id as it is, or the folder of the embedded checkpoint of that name."""
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
    """The pipeline of a model, with the code of this package.

    Args:
        name: an embedded checkpoint, a folder or a Hub id.
        device: as for `transformers.pipeline`; the best there is if None.
        dtype: number format of the network, such as "bfloat16"; the model's own if None.
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


def _register_config() -> None:
    from transformers import AutoConfig

    from .configuration_scsnet import SCSNetConfig

    AutoConfig.register(SCSNetConfig.model_type, SCSNetConfig, exist_ok=True)


def _register_models() -> None:
    from transformers import AutoModel, AutoModelForImageToImage

    from .configuration_scsnet import SCSNetConfig
    from .modeling_scsnet import SCSNetForImageToImage

    for auto_class in (AutoModel, AutoModelForImageToImage):
        auto_class.register(SCSNetConfig, SCSNetForImageToImage, exist_ok=True)


def _register_image_processor() -> None:
    from transformers import AutoImageProcessor

    from .configuration_scsnet import SCSNetConfig
    from .image_processing_scsnet import SCSNetImageProcessor

    AutoImageProcessor.register(
        SCSNetConfig, image_processor_classes={"pil": SCSNetImageProcessor}, exist_ok=True
    )


def _register_pipeline() -> None:
    from transformers import AutoModelForImageToImage
    from transformers.pipelines import PIPELINE_REGISTRY

    from .pipeline_scsnet import TASK, ScsColorizeSrPipeline

    if TASK in PIPELINE_REGISTRY.supported_tasks:
        return
    for_the_hub = ScsColorizeSrPipeline._registered_impl
    PIPELINE_REGISTRY.register_pipeline(
        TASK,
        ScsColorizeSrPipeline,
        pt_model=AutoModelForImageToImage,
        default={"model": (DEFAULT_CHECKPOINT, None)},
        type="image",
    )
    ScsColorizeSrPipeline._registered_impl = for_the_hub


_OF_THE_NETWORK = ("transformers.modeling_layers", "efficientnet", "modeling_scsnet")
# A registration concerns a module of transformers and some that it imports: ours, by their short
# names, and others of transformers that these need.
_REGISTRATIONS = (
    ("transformers.models.auto.configuration_auto", ("configuration_scsnet",), _register_config),
    ("transformers.models.auto.modeling_auto", _OF_THE_NETWORK, _register_models),
    (
        "transformers.models.auto.image_processing_auto",
        ("image_processing_scsnet",),
        _register_image_processor,
    ),
    ("transformers.pipelines", ("pipeline_scsnet",), _register_pipeline),
)


def _register_ready(just_imported: str | None = None) -> None:
    """Run every registration whose module of transformers is there, and no other half-way in."""
    for theirs, imported, registration in _REGISTRATIONS:
        names = _names(theirs, imported)
        concerned = just_imported in (None, *names)
        half_way = {name for name in names if _is_half_way(name)} - {just_imported}
        if concerned and theirs in sys.modules and not half_way:
            registration()


def _names(theirs: str, imported: tuple[str, ...]) -> list[str]:
    return [theirs, *(name if "." in name else f"{__package__}.{name}" for name in imported)]


def _is_half_way(name: str) -> bool:
    module = sys.modules.get(name)
    return module is not None and getattr(module.__spec__, "_initializing", False)


class _AfterImport(MetaPathFinder):
    """Registers what became possible when a module of either side has been imported."""

    names = frozenset(
        name for theirs, imported, _ in _REGISTRATIONS for name in _names(theirs, imported)
    )

    def find_spec(self, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path, target) if name in self.names else None
        if spec is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module):
            execute(module)
            # Not yet an attribute of its parent, where a registration may look for it.
            parent, _, child = name.rpartition(".")
            setattr(sys.modules[parent], child, module)
            _register_ready(name)

        spec.loader.exec_module = execute_and_register
        return spec


def register() -> None:
    """Register now what transformers has imported already, and the rest when it does."""
    sys.meta_path.insert(0, _AfterImport())
    _register_ready()
