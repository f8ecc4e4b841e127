"""transformers' exporters: a whole model, exported, saved, loaded, and run at another size."""

import pytest
import torch
from transformers.exporters import (
    DynamoConfig,
    DynamoExporter,
    ExportedModel,
    OnnxConfig,
    OnnxExporter,
)

from helpers.tiny_models import build_tiny_model

pytestmark = pytest.mark.ecosystem

EXPORTERS = {
    "torch": (DynamoExporter, DynamoConfig),
    "onnx": (OnnxExporter, OnnxConfig),
}


def random_inputs(size, reference_size) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "pixel_values": torch.rand(3, 1, *size) * 2 - 1,
        "reference_pixel_values": torch.rand(3, 3, *reference_size) * 2 - 1,
    }


@pytest.fixture(scope="module")
def model():
    return build_tiny_model(color_size=64)


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("kind", EXPORTERS)
def test_a_saved_export_gives_the_same(model, kind, dynamic, tmp_path):
    exporter, config = EXPORTERS[kind]
    inputs = random_inputs((40, 36), (36, 44))
    exported = exporter().export(model, inputs, config(dynamic=dynamic))
    exported.save_pretrained(tmp_path)
    loaded = ExportedModel.from_pretrained(tmp_path, trust_remote_code=True)
    sizes = [inputs, random_inputs((44, 52), (60, 40))] if dynamic else [inputs]
    for other in sizes:
        with torch.no_grad():
            expected = model(**other).reconstruction
        actual = loaded(**other)["reconstruction"]
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)
