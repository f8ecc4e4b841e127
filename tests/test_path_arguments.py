"""A path may be a string wherever a public function takes one."""

import av
import pytest
from PIL import Image

import scsnet_hf
from helpers.images import make_image
from scsnet_hf.bulk import FolderOutput, ParquetOutput
from scsnet_hf.guidance.zoom import save_animation
from scsnet_hf.io.folders import images_in
from scsnet_hf.io.image_colorizer import ImageColorizer
from scsnet_hf.io.image_file import ImageFile
from scsnet_hf.io.saving import save_image
from scsnet_hf.metrics import compute_statistics
from scsnet_hf.registration import load_pipeline


def colorize_video(pipe) -> None:
    with av.open("video.mkv", "w") as container:
        stream = container.add_stream("libx264", rate=25, width=32, height=24)
        container.mux(stream.encode(av.VideoFrame.from_image(make_image(32, 24))))
        container.mux(stream.encode(None))
    scsnet_hf.colorize_video("video.mkv", "result.mkv", scsnet_hf.Series(pipe, scale=1))


def colorize_image_file(pipe) -> None:
    with ImageFile("image.png") as source:
        ImageColorizer(pipe.strips, lambda: pipe.strips)(source, "result.png")


def start_job(kind) -> None:
    kind("result").start({})


CALLS = {
    "pipeline": lambda pipe: pipe("image.png", reference="image.png").save("result.png"),
    "save_pretrained": lambda pipe: pipe.save_pretrained("result"),
    "load_pipeline": lambda pipe: load_pipeline("model", "cpu").save_pretrained("result"),
    "save_image": lambda pipe: save_image(Image.open("image.png"), "result.png"),
    "image_file": colorize_image_file,
    "video": colorize_video,
    "folder": lambda pipe: next(images_in(".")).rename("result"),
    "gallery": lambda pipe: (
        scsnet_hf.ReferenceGallery.from_folder(pipe, ".").paths[0].rename("result")
    ),
    "animation": lambda pipe: save_animation([make_image(8, 8)] * 2, "result.gif"),
    "bulk_folder": lambda pipe: start_job(FolderOutput),
    "bulk_parquet": lambda pipe: start_job(ParquetOutput),
    "statistics": lambda pipe: compute_statistics([[[0.0], [1.0]]]).save("result"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch, checkpoint):
    monkeypatch.chdir(tmp_path)
    make_image(24, 16).save("image.png")
    (tmp_path / "model").symlink_to(checkpoint, target_is_directory=True)
    return tmp_path


@pytest.mark.parametrize("name", CALLS)
def test_a_path_may_be_a_string(folder, tiny_pipe, name):
    CALLS[name](tiny_pipe)
    assert list(folder.glob("result*"))
