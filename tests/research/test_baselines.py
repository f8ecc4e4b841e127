"""Networks of other papers: their published sizes, and what their papers say."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from research.baselines import (
    COLORIZERS,
    UPSCALERS,
    LIIFHead,
    SRVGGNetCompact,
    find_baseline,
)
from research.baselines.ddcolor import sine_positions
from research.baselines.rrdbnet import RRDBNet
from research.benchmark.profiling import Workload, multiply_adds


def workload(name: str, side: int) -> Workload:
    """Without memory or arithmetic."""
    with torch.device("meta"):
        baseline = find_baseline(name)
        return Workload.from_network(
            baseline.build(), torch.empty(1, baseline.channels, side, side)
        )


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("siggraph17", 34.187),
        ("ddcolor-tiny", 55.01),
        ("rrdbnet", 16.698),
        ("drn-l", 9.83),  # Table 1 of the paper, ESRGAN's rows less DRN's
        ("drn-s", 4.80),
        ("srvgg-32", 1.2133),
        ("srvgg-16", 0.6214),
    ],
)
def test_parameters_are_the_published_ones(name, millions):
    assert workload(name, 64).parameters / 1e6 == pytest.approx(millions, rel=1e-3)


def test_every_baseline_has_one_name():
    assert not COLORIZERS.keys() & UPSCALERS.keys()
    for name in (*COLORIZERS, *UPSCALERS):
        assert find_baseline(name).channels in (1, 3)
    with pytest.raises(ValueError, match="no network 'waifu2x': choose one of siggraph17, "):
        find_baseline("waifu2x")


@pytest.mark.parametrize(
    ("name", "side", "gmacs"),
    [
        ("siggraph17", 256, 75.2),
        ("ddcolor-tiny", 256, 25.2),
        ("ddcolor-tiny", 512, 96.5),
        ("rrdbnet", 128, 293.7),
        ("srvgg-32", 128, 19.8),
        ("srvgg-16", 128, 10.1),
    ],
)
def test_multiply_adds_are_those_of_the_originals(name, side, gmacs):
    assert multiply_adds(workload(name, side).run) == pytest.approx(gmacs, rel=0.01)


@pytest.mark.parametrize("name", COLORIZERS)
def test_colorizers_give_two_channels_of_the_same_size(name):
    assert workload(name, 64).run().shape == (1, 2, 64, 64)


@pytest.mark.parametrize("name", UPSCALERS)
def test_upscalers_give_rgb_of_four_times_the_size(name):
    assert workload(name, 24).run().shape == (1, 3, 96, 96)


@pytest.mark.parametrize("name", [*COLORIZERS, *UPSCALERS])
def test_they_are_for_inference(name):
    with torch.device("meta"):
        network = find_baseline(name).build()
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def silence(layer: nn.Module) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def test_srvgg_adds_details_to_the_enlarged_source():
    network, rgb = SRVGGNetCompact(convolutions=1, width=4, scale=2), torch.rand(1, 3, 5, 7)
    silence(network.body[-1])
    expected = rgb.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(network(rgb), expected)


def test_blocks_of_rrdbnet_add_a_fifth_of_what_they_make():
    block = RRDBNet(blocks=1, width=4, growth=2).trunk[0]
    features = torch.rand(1, 4, 6, 6)
    for dense in block:
        silence(dense.last)
    torch.testing.assert_close(block(features), 1.2 * features)


@torch.no_grad()
def test_siggraph17_leaves_gray_what_its_last_layer_leaves_gray():
    network = find_baseline("siggraph17").build()
    lightness = 100 * torch.rand(1, 1, 16, 16)
    ab = network(lightness)
    assert 0 < ab.abs().max() <= 110
    silence(network.last)
    assert not network(lightness).any()


def test_positions_of_ddcolor_differ_and_stay_in_range():
    positions = sine_positions(torch.empty(1, 1, 4, 6), 16)
    assert positions.shape == (24, 16)
    assert len(positions.unique(dim=0)) == 24
    assert positions.abs().max() <= 1
    by_position = positions.view(4, 6, 16)
    assert torch.equal(by_position[:, 0, :8], by_position[:, 5, :8])  # y alone
    assert torch.equal(by_position[0, :, 8:], by_position[3, :, 8:])  # x alone


class TestLIIF:
    def test_parameters_are_the_published_ones(self):
        assert sum(values.numel() for values in LIIFHead(64).parameters()) == 346_883

    @pytest.mark.parametrize("output", [(3, 4), (5, 7), (14, 19), (20, 28)])
    def test_any_output_size(self, output):
        assert LIIFHead(4, (8,))(torch.rand(2, 4, 5, 7), output).shape == (2, 3, *output)

    @pytest.mark.parametrize("output", [(5, 7), (20, 28), (13, 19), (3, 4)])
    def test_the_ensemble_of_the_features_themselves_is_bilinear_interpolation(self, output):
        head, features = LIIFHead(3), torch.rand(2, 3, 5, 7)
        center = 4  # of the 3x3 that unfolding gives, channel by channel
        head.layers = nn.Linear(3 * 9 + 4, 3, bias=False)
        nn.init.zeros_(head.layers.weight)
        with torch.no_grad():
            for channel in range(3):
                head.layers.weight[channel, 9 * channel + center] = 1
        expected = functional.interpolate(features, output, mode="bilinear", align_corners=False)
        torch.testing.assert_close(head(features, output), expected, atol=1e-5, rtol=0)

    def test_cells_have_the_size_of_an_output_pixel_in_half_source_pixels(self):
        head = LIIFHead(1)
        head.layers = nn.Linear(9 + 4, 2, bias=False)
        nn.init.zeros_(head.layers.weight)
        with torch.no_grad():
            head.layers.weight[0, -2] = head.layers.weight[1, -1] = 1
        cells = head(torch.rand(1, 1, 6, 6), (12, 24))
        torch.testing.assert_close(cells[0, :, 5, 5], torch.tensor([1.0, 0.5]))

    def test_rows_in_blocks_are_the_rows_of_the_whole(self):
        head, features = LIIFHead(4, (8, 8)), torch.rand(1, 4, 5, 7)
        size = (280, 290)  # several blocks for inference, one where gradients flow
        whole = head(features, size).detach()
        with torch.no_grad():
            torch.testing.assert_close(head(features, size), whole)


def test_the_package_alone_imports_no_research():
    program = (
        "import sys, scsnet_hf; "
        "print([n for n in sys.modules if n.startswith(('research', 'matplotlib'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
