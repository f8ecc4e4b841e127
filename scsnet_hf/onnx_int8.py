"""Exported graphs in int8: about two thirds of the time, for a loss that a picture hides."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from transformers import AutoImageProcessor

from .atomic_files import replacing
from .image_io import PictureSource
from .onnx_backend import SCSNetOnnxModel
from .onnx_export import quietly
from .pipeline_scsnet import ScsColorizeSrPipeline

# Where nearly all work is. What a picture's colours are is decided elsewhere, and stays float32.
_PARTS = ("texture", "pixels")
_OPERATORS = ["Conv", "MatMul", "Gemm"]
_SCALE = 2.0


class _RecordingModel(SCSNetOnnxModel):
    """Keeps what goes into the graphs that are to be quantized."""

    def __init__(self, *args):
        super().__init__(*args)
        self.recorded = {part: [] for part in _PARTS}

    def _run(self, part, inputs, outputs=None):
        if part in self.recorded:
            arrays = {name: np.array(value) for name, value in inputs.items()}
            self.recorded[part].append(arrays)
        return super()._run(part, inputs, outputs)


class _Recorded:
    """What the calibration of ONNX Runtime reads: recorded inputs, None after the last."""

    def __init__(self, inputs: list[dict[str, np.ndarray]]):
        self._inputs = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._inputs, None)


def quantize_onnx(folder: Path, pictures: Iterable[PictureSource]) -> Iterator[Path]:
    """Replace the texture and pixel graphs of an exported folder by int8 ones.

    Work is done while the result is iterated over.

    Args:
        folder: as `export_onnx` made it, with the image processor's file.
        pictures: a few typical ones, which decide on the ranges of values.

    Yields:
        Every file once it is written.
    """
    from onnxruntime.quantization import QuantType, quantize_static

    model = _RecordingModel.from_pretrained(folder)
    pipe = ScsColorizeSrPipeline(model, image_processor=AutoImageProcessor.from_pretrained(folder))
    for picture in pictures:
        pipe(picture, scale=_SCALE)
    for part, recorded in model.recorded.items():
        file = folder / f"{part}.onnx"
        with replacing(file) as temporary, quietly():
            quantize_static(
                file,
                temporary,
                _Recorded(recorded),
                op_types_to_quantize=_OPERATORS,
                per_channel=True,
                # 7 bits, so that sums do not overflow on processors without VNNI.
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        yield file
