"""SCSNet: simultaneous image colorization and super-resolution for Hugging Face transformers.

Importing it registers the model, the image processor and the task `scs-colorize-sr`; classes are
loaded on first use.
"""

from importlib import import_module

from .registration import register

__version__ = "0.1.0"

_HOMES = {
    "SCSNetConfig": "configuration_scsnet",
    "SCSNetForImageToImage": "modeling_scsnet",
    "SCSNetOutput": "modeling_scsnet",
    "SCSNetImageProcessor": "image_processing_scsnet",
    "ScsColorizeSrPipeline": "pipeline_scsnet",
    "ImageError": "image_io",
    "Series": "video.series",
    "colorize_video": "video.colorize",
    "AttentionMaps": "guidance.attention_maps",
    "ReferenceGallery": "guidance.reference_gallery",
    "ReferenceFromTextPipeline": "guidance.reference_from_text",
    "ZoomView": "guidance.zoom",
    "embedded_checkpoint": "registration",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]


register()
