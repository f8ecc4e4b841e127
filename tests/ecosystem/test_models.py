"""The network in transformers' common tests of models, as a contributor would add it there."""

import unittest

import pytest
import torch
from transformers_tests.test_configuration_common import ConfigTester
from transformers_tests.test_modeling_common import ModelTesterMixin, floats_tensor

from scsnet_hf import SCSNetConfig, SCSNetForImageToImage

pytestmark = pytest.mark.ecosystem

EVERY_PART = {
    "source_encoder": "efficientnet_lite",
    "trunk_width": 0.1,
    "trunk_depth": 0.1,
    "source_enlargement": 2,
    "matched_references": True,
    "luminance_skip": True,
    "encoder_depths": (0, 0, 1),
}


class ModelTester:
    """Makes what the common tests ask for: a tiny configuration and its inputs."""

    batch_size, is_training = 3, True

    def __init__(self, parent: unittest.TestCase, with_reference: bool, **config):
        self.parent, self.with_reference = parent, with_reference
        self.config = {"color_size": 64, **config}

    def get_config(self) -> SCSNetConfig:
        return SCSNetConfig.from_preset("tiny", **self.config)

    def prepare_config_and_inputs_for_common(self):
        inputs = {"pixel_values": floats_tensor([self.batch_size, 1, 40, 36]) * 2 - 1}
        if self.with_reference:
            inputs["reference_pixel_values"] = floats_tensor([self.batch_size, 3, 36, 44]) * 2 - 1
        return self.get_config(), inputs


class SCSNetModelTest(ModelTesterMixin, unittest.TestCase):
    """The parts that the paper has."""

    all_model_classes = (SCSNetForImageToImage,)
    test_resize_embeddings = False
    has_attentions = True
    with_reference, config = True, {}

    def setUp(self):
        self.model_tester = ModelTester(self, self.with_reference, **self.config)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = super()._prepare_for_class(inputs_dict, model_class)
        if return_labels:
            batch, _, height, width = inputs["pixel_values"].shape
            labels = torch.linspace(-1, 1, batch * 3 * 16 * height * width)
            inputs["labels"] = labels.view(batch, 3, 4 * height, 4 * width)
        return inputs

    def outputs(self, **options):
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        with torch.no_grad():
            return SCSNetForImageToImage(config).eval()(**inputs, **options)

    def test_config(self):
        common = {"hidden_sizes": [8, 8, 16]}
        ConfigTester(
            self,
            config_class=SCSNetConfig,
            has_text_modality=False,
            common_properties=["hidden_sizes", "encoder_depths", "initializer_range"],
            **common,
        ).run_common_tests()

    def test_attention_outputs(self):
        """Upstream's asks for one length of a sequence; ours differ from level to level."""
        if not self.has_attentions:
            self.skipTest("it has no cross attention")
        for attention in self.outputs(output_attentions=True).attentions:
            assert attention.ndim == 4
            assert attention.shape[:2] == (3, 1)
            torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:3]))

    def test_hidden_states_output(self):
        """Upstream's asks for (B, N, C) of one size; ours are the feature maps of four stages."""
        states = self.outputs(output_hidden_states=True).hidden_states
        assert [state.ndim for state in states] == [4, 4, 4, 4]

    def test_model_get_set_embeddings(self):
        """Upstream's asks for `nn.Embedding`, which a network for images does not have."""
        model = SCSNetForImageToImage(self.model_tester.get_config())
        assert isinstance(model.get_input_embeddings(), torch.nn.Conv2d)


class EveryPartTest(SCSNetModelTest):
    """What the embedded `medium` has and the paper does not."""

    config = EVERY_PART


class AutomaticTest(SCSNetModelTest):
    has_attentions = False
    with_reference, config = False, {"cross_attention": "none"}


class PixelShuffleTest(SCSNetModelTest):
    config = {"cross_attention": "basic", "upsampler": "pixelshuffle"}


class MetaTest(SCSNetModelTest):
    config = {"upsampler": "meta", "align_corners": True}
