"""SCSNet: simultaneous image colorization and super-resolution for Hugging Face transformers.

Importing the package registers the model, the image processor and the task `scs-colorize-sr` with
transformers. Its classes are imported on first use.

Example:
    >>> import scsnet_hf
    >>> from transformers import pipeline
    >>> pipe = pipeline("scs-colorize-sr")
    >>> pipe("old.jpg", scale=2.7).save("new.png")
"""

from importlib import import_module

from .registration import register

__version__ = "0.1.0"

_MODULES = {
    "SCSNetConfig": "configuration_scsnet",
    "SCSNetForImageToImage": "modeling_scsnet",
    "SCSNetOutput": "modeling_scsnet",
    "SCSNetImageProcessor": "image_processing_scsnet",
    "ScsColorizeSrPipeline": "pipeline_scsnet",
    "ImageError": "decoding",
    "Series": "video.series",
    "colorize_video": "video.colorize",
    "AttentionMaps": "guidance.attention_maps",
    "ReferenceGallery": "guidance.reference_gallery",
    "ReferenceFromTextPipeline": "guidance.reference_from_text",
    "ZoomView": "guidance.zoom",
    "embedded_checkpoint": "registration",
    "load_pipeline": "registration",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


register()
