"""The settings of scripts/train.py."""

import pytest

from scsnet_hf import SCSNetConfig
from scsnet_hf.training import PRESETS
from scsnet_hf.training.losses import LossWeights


class TestPaper:
    """Sec. 4.1."""

    paper = PRESETS["paper"]

    def test_sources_and_references_have_128_pixels_and_outputs_512(self):
        pairs = self.paper.pairs
        assert (pairs.source_size, pairs.reference_size, pairs.label_size) == (128, 128, 512)
        assert pairs.scale_range == (4, 4)

    def test_the_weights_are_those_of_equation_4(self):
        assert self.paper.loss_weights == LossWeights(10, 5, 1)
        assert self.paper.loss_weights.color_readout == 0

    def test_batches_of_4_at_a_constant_rate_of_1e_4(self):
        assert (self.paper.batch_size, self.paper.learning_rate) == (4, 1e-4)
        assert self.paper.schedule == "constant"

    def test_50_epochs_of_407041_images(self):
        assert self.paper.steps(batch_size=4, images=407_041) == 5_088_013
        assert self.paper.steps(batch_size=32, images=407_041) == 636_002

    def test_nothing_is_added(self):
        pairs = self.paper.pairs
        assert pairs.degradation is None
        assert not pairs.mirror
        assert not pairs.other_reference_probability
        assert not self.paper.vertical_flips
        assert self.paper.max_grad_norm == 0
        assert self.paper.ema_decay == 0

    def test_the_network_is_the_papers(self):
        network = SCSNetConfig.from_preset(self.paper.network)
        assert network.to_dict() == SCSNetConfig().to_dict()


@pytest.mark.parametrize("name", ["continuous", "finetune"])
def test_magnification_is_drawn(name):
    low, high = PRESETS[name].pairs.scale_range
    assert low < high


def test_color_trains_the_color_branch_alone():
    assert not PRESETS["color"].loss_weights.sees_result


def test_reference_trains_what_only_a_reference_needs():
    assert PRESETS["reference"].branch == "reference"
    assert PRESETS["reference"].loss_weights.sees_result  # the pixel mapping reads its colors


@pytest.mark.parametrize("name", ["texture", "joint", "adversarial"])
def test_the_stages_after_it_leave_the_color_branch_alone(name):
    assert PRESETS[name].branch == "texture"
    assert PRESETS[name].loss_weights.sees_result


def test_only_finetune_starts_from_a_model():
    assert [name for name, preset in PRESETS.items() if preset.init_from] == ["finetune"]


def test_smoke_needs_no_download():
    assert PRESETS["smoke"].loss_weights.perceptual == 0


@pytest.mark.parametrize(("batch_size", "steps"), [(8, 200), (1600, 1), (1000, 2)])
def test_steps_cover_all_samples(batch_size, steps):
    assert PRESETS["smoke"].samples == 1600
    assert PRESETS["smoke"].steps(batch_size) == steps
