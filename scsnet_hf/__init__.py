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
    "SCSNetOnnxConfig": "configuration_scsnet",
    "SCSNetOnnxModel": "onnx_backend",
    "SCSNetImageProcessor": "image_processing_scsnet",
    "ScsColorizeSrPipeline": "pipeline_scsnet",
    "PictureError": "image_io",
    "Series": "film.series",
    "colorize_video": "film.video",
    "AttentionMaps": "attention_maps",
    "ReferenceGallery": "reference_gallery",
    "ReferenceFromTextPipeline": "reference_from_text",
    "ZoomView": "zoom",
    "export_onnx": "onnx_export",
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
