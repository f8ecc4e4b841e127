"""What transformers' tests/pipelines/test_pipelines_common.py asks of every pipeline.

Its distribution leaves that file out; these are its cases that other tests here do not have.
"""

import numpy as np
import pytest
from transformers import AutoModelForImageToImage, pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from helpers.images import make_image
from scsnet_hf import ScsColorizeSrPipeline, SCSNetImageProcessor

pytestmark = pytest.mark.ecosystem

TASK = "scs-colorize-sr"


@pytest.fixture(scope="module")
def images():
    return [make_image(12, 10, "L", seed) for seed in range(5)]


def test_it_iterates_with_loader_processes(tiny_pipe, images):
    assert len(list(tiny_pipe((image for image in images), num_workers=2))) == len(images)


def test_batch_size_and_workers_are_kept(tiny_model):
    processor = SCSNetImageProcessor()
    made = {"model": tiny_model, "image_processor": processor, "device": "cpu"}
    pipe = pipeline(TASK, **made, batch_size=2, num_workers=1)
    assert (pipe._batch_size, pipe._num_workers) == (2, 1)


def test_scikit_learn_s_methods_call_it(tiny_pipe, images):
    assert tiny_pipe.transform(images)[0].size == tiny_pipe.predict(images)[0].size == (48, 40)


def test_another_class_may_be_given(tiny_model):
    class Mine(ScsColorizeSrPipeline):
        pass

    processor = SCSNetImageProcessor()
    made = pipeline(TASK, model=tiny_model, image_processor=processor, pipeline_class=Mine)
    assert isinstance(made, Mine)


def test_the_task_is_registered():
    _, task, _ = PIPELINE_REGISTRY.check_task(TASK)
    assert TASK in PIPELINE_REGISTRY.get_supported_tasks()
    assert (task["impl"], task["type"]) == (ScsColorizeSrPipeline, "image")
    assert task["pt"] == (AutoModelForImageToImage,)
    assert len(task["default"]["model"]) == 2


def test_a_folder_names_its_pipeline_whichever_part_saved_it(tiny_pipe, images, tmp_path):
    tiny_pipe.save_pretrained(tmp_path / "pipeline")
    loaded = pipeline(model=str(tmp_path / "pipeline"), trust_remote_code=True)
    assert loaded.task == TASK
    assert np.array_equal(loaded(images[0]), tiny_pipe(images[0]))
    loaded.model.save_pretrained(tmp_path / "parts")
    loaded.image_processor.save_pretrained(tmp_path / "parts")
    assert pipeline(model=str(tmp_path / "parts"), trust_remote_code=True).task == TASK
