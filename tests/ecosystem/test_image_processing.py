"""The image processor in transformers' common tests of image processors."""

import subprocess
import unittest
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from transformers_tests.test_image_processing_common import (
    ImageProcessingTester,
    ImageProcessingTestMixin,
)

from scsnet_hf import SCSNetImageProcessor

pytestmark = pytest.mark.ecosystem


class ProcessorTester(ImageProcessingTester):
    def __init__(self, parent, **kwargs):
        sizes = {"reference_size": 64, "min_resolution": 30, "max_resolution": 80}
        super().__init__(parent, batch_size=4, **(sizes | kwargs))

    def _get_image_processing_classes(self):
        return {"pil": SCSNetImageProcessor}

    def prepare_image_processor_dict(self):
        return {"reference_size": self.reference_size}

    def prepare_image_inputs(self, *args, equal_resolution=False, **kwargs):
        """Images of one size, since the processor does not resize sources."""
        return super().prepare_image_inputs(*args, equal_resolution=True, **kwargs)

    def expected_output_image_shape(self, images):
        (image, *_) = images
        if isinstance(image, Image.Image):
            return 1, image.height, image.width
        return 1, *(image.shape[:2] if isinstance(image, np.ndarray) else image.shape[-2:])


class SCSNetImageProcessingTest(ImageProcessingTestMixin, unittest.TestCase):
    image_processor_tester_class = ProcessorTester
    test_cast_dtype = True

    def test_pil_can_run_without_torchvision(self):
        """Upstream's own, in a process that knows this package."""
        run = subprocess.run

        def run_with_package(command, **kwargs):
            *python, program = command[:3]
            return run([*python, f"import scsnet_hf\n{program}", *command[3:]], **kwargs)

        with mock.patch("subprocess.run", run_with_package):
            super().test_pil_can_run_without_torchvision()

    @unittest.skip("a rule for the folders of transformers' repository")
    def test_new_models_require_torchvision_backend(self):
        pass

    @unittest.skip("channels are not free: the fourth is alpha, and nothing is normalized by means")
    def test_call_numpy_4_channels(self):
        pass

    @unittest.skip("there is no do_convert_rgb: colors always become lightness")
    def test_image_processor_from_dict_with_kwargs_has_attributes(self):
        pass
