"""What users of other pipelines of transformers expect of `scs-colorize-sr`, and its errors."""

import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import datasets
import pytest
import torch
from transformers import AutoImageProcessor, pipeline
from transformers.models.auto import image_processing_auto

from helpers.images import make_image
from scsnet_hf import ImageError, ScsColorizeSrPipeline, SCSNetImageProcessor

REFERENCE = make_image(20, 20, seed=5)


@pytest.fixture(scope="module")
def image():
    return make_image(24, 16)


def build(tiny_pipe, **arguments) -> ScsColorizeSrPipeline:
    """Build a pipeline with defaults of its own."""
    processor = SCSNetImageProcessor()
    model = tiny_pipe.model
    return pipeline(
        "scs-colorize-sr", model=model, image_processor=processor, device="cpu", **arguments
    )


def equal(one, other) -> bool:
    return one.size == other.size and one.tobytes() == other.tobytes()


class TestDefaultsOfAPipeline:
    def test_a_reference_is_used_in_every_call(self, tiny_pipe, image):
        pipe = build(tiny_pipe, reference=REFERENCE, scale=2)
        assert equal(pipe(image), tiny_pipe(image, reference=REFERENCE, scale=2))
        assert equal(pipe.strips(image).to_image(), pipe(image))

    def test_a_call_can_have_another_or_none(self, tiny_pipe, image):
        pipe = build(tiny_pipe, reference=REFERENCE)
        assert equal(pipe(image, reference=image), tiny_pipe(image, reference=image))
        assert equal(pipe(image, reference_strength=0), tiny_pipe(image))

    def test_every_argument_of_a_call_is_one(self, tiny_pipe, image):
        tokens = tiny_pipe.encode_reference(REFERENCE)
        arguments = {
            "reference_tokens": tokens,
            "reference_strength": 0.5,
            "long_side": 50,
            "saturation": 0.5,
            "luminance": "source",
            "tile_size": 20,
            "return_attention": True,
            "depth": 16,
        }
        pipe = build(tiny_pipe, batch_size=2, num_workers=0, timeout=5, **arguments)
        result, expected = pipe(image), tiny_pipe(image, **arguments)
        assert (result["image"] == expected["image"]).all()

    def test_a_reference_and_tokens_together_are_refused(self, tiny_pipe):
        tokens = tiny_pipe.encode_reference(REFERENCE)
        with pytest.raises(ValueError, match="only one of reference and reference_tokens"):
            build(tiny_pipe, reference=REFERENCE, reference_tokens=tokens)


def test_a_column_of_a_data_set_is_many_images(tiny_pipe, image):
    table = datasets.Dataset.from_dict(
        {"photo": [image, image]}, features=datasets.Features(photo=datasets.Image())
    )
    assert [one.size for one in tiny_pipe(table["photo"], scale=2)] == [(48, 32)] * 2


@pytest.fixture
def silent_url():
    """A server that accepts a request and never answers."""
    done = threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self):
            done.wait(10)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/image.png"
    done.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("silent", ["images", "reference", "row"])
def test_a_download_ends_after_the_timeout(tiny_pipe, image, silent_url, silent):
    arguments = {
        "images": {"images": silent_url},
        "reference": {"images": image, "reference": silent_url},
        "row": {"images": [{"image": image, "reference": silent_url}]},
    }[silent]
    start = time.monotonic()
    with pytest.raises(ImageError, match="timed out"):
        tiny_pipe(**arguments, timeout=0.2)
    assert time.monotonic() - start < 5


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"size": 512}, r"size=512: give \(width, height\).*size=\(512, 384\), or long_side="),
            ({"size": "512x512"}, r"size='512x512': give \(width, height\)"),
            ({"batch_size": 0}, "batch_size: 0 must be a whole number, 1 or more"),
            ({"num_workers": -1}, "num_workers: -1 must be a whole number, 0 or more"),
            ({"timeout": 0}, "timeout=0: must be a number from"),
        ],
    )
    def test_they_say_what_is_accepted(self, tiny_pipe, image, arguments, message):
        with pytest.raises(ValueError, match=message):
            tiny_pipe(image, **arguments)
        with pytest.raises(ValueError, match=message):
            build(tiny_pipe, **arguments)

    def test_an_empty_path_is_named(self, tiny_pipe):
        with pytest.raises(ImageError, match="path of the image is empty: give a path or"):
            tiny_pipe("")

    def test_an_unknown_number_format_is_named(self, tiny_checkpoint):
        with pytest.raises(AttributeError, match="dtype='bf16': choose one of float32, bfloat16"):
            pipeline("scs-colorize-sr", model=str(tiny_checkpoint), dtype="bf16")


class TestWarnings:
    @pytest.fixture
    def all_messages(self, caplog):
        """What transformers logs, whose loggers do not pass it on."""
        logger = logging.getLogger("transformers")
        logger.addHandler(caplog.handler)
        yield
        logger.removeHandler(caplog.handler)

    def test_the_default_checkpoint_causes_none(self, caplog, all_messages):
        assert pipeline("scs-colorize-sr", device="cpu").model.dtype == torch.float32
        assert caplog.messages == []

    def test_torchvision_causes_none(self, tiny_checkpoint, caplog, all_messages, monkeypatch):
        monkeypatch.setattr(image_processing_auto, "is_torchvision_available", lambda: True)
        processor = AutoImageProcessor.from_pretrained(tiny_checkpoint, reference_size=64)
        assert isinstance(processor, SCSNetImageProcessor)
        assert processor.reference_size == 64
        assert caplog.messages == []
