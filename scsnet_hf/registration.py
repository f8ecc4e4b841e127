"""Registers the package with transformers, without importing more than the user does.

Importing torch and the Auto classes takes seconds. So each registration waits until the module of
transformers that it concerns is imported, and happens right after that.
"""

import importlib
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path

DEFAULT_CHECKPOINT = str(Path(__file__).parent / "checkpoints" / "small")


def _register_config() -> None:
    from transformers import AutoConfig

    from .configuration_scsnet import SCSNetConfig

    AutoConfig.register("scsnet", SCSNetConfig, exist_ok=True)


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

    for_the_hub = ScsColorizeSrPipeline._registered_impl
    PIPELINE_REGISTRY.register_pipeline(
        TASK,
        ScsColorizeSrPipeline,
        pt_model=AutoModelForImageToImage,
        default={"model": (DEFAULT_CHECKPOINT, None)},
        type="image",
    )
    ScsColorizeSrPipeline._registered_impl = for_the_hub


_REGISTRATIONS = {
    "transformers.models.auto.configuration_auto": _register_config,
    "transformers.models.auto.modeling_auto": _register_models,
    "transformers.models.auto.image_processing_auto": _register_image_processor,
    "transformers.pipelines": _register_pipeline,
}


class _AfterImport(MetaPathFinder):
    """Runs a registration when its module has been imported."""

    def find_spec(self, name, path=None, target=None):
        registration = _REGISTRATIONS.get(name)
        spec = PathFinder.find_spec(name, path, target) if registration else None
        if spec is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module):
            execute(module)
            # Not yet an attribute of its parent, where the registration will look for it.
            parent, _, child = name.rpartition(".")
            setattr(sys.modules[parent], child, module)
            registration()

        spec.loader.exec_module = execute_and_register
        return spec


def register() -> None:
    """Register now what transformers has imported already, and the rest when it does."""
    importlib.import_module("transformers")
    sys.meta_path.insert(0, _AfterImport())
    for name, registration in _REGISTRATIONS.items():
        if name in sys.modules:
            registration()
