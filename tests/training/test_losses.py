"""The terms of the objective, each against numbers found another way."""

import os

import pytest
import torch
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from scsnet_hf.training.losses import (
    LOSS_PRESETS,
    LossWeights,
    PerceptualLoss,
    content_loss,
    global_mean,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
)
from scsnet_hf.training.vgg import VGG16Features


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    """Uniform in [-0.5, 0.5): as normalized Lab mostly inside sRGB."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 0.5


def only_a(value: float, width: int) -> torch.Tensor:
    """One row of a constant color, (1, 3, 1, width)."""
    row = torch.zeros(1, 3, 1, width)
    row[:, 1] = value
    return row


class TestLossWeights:
    def test_default_to_those_of_the_paper(self):
        weights = LossWeights()
        assert (weights.content, weights.perceptual, weights.adversarial) == (10, 5, 1)
        assert (weights.color_readout, weights.channels) == (0, (1, 1, 1))
        assert not weights.vivid

    @pytest.mark.parametrize(
        ("name", "perceptual", "adversarial"),
        [
            ("content", False, False),
            ("content+perceptual", True, False),
            ("content+adversarial", False, True),
            ("full", True, True),
        ],
    )
    def test_presets_are_the_rows_of_table_4(self, name, perceptual, adversarial):
        weights = LOSS_PRESETS[name]
        assert weights.content == 10
        assert weights.perceptual == 5 * perceptual
        assert weights.adversarial == 1 * adversarial
        assert weights.color_readout == 0

    @pytest.mark.parametrize(
        "wrong",
        [
            {"content": -1.0},
            {"perceptual": -0.1},
            {"adversarial": float("nan")},
            {"color_readout": -2.0},
            {"channels": (1.0, -1.0, 1.0)},
            {"channels": (1.0, 1.0)},
        ],
    )
    def test_name_the_wrong_one(self, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            LossWeights(**wrong)


class TestContentLoss:
    def test_is_the_mean_absolute_error(self):
        result, target = random(2, 3, 5, 7), random(2, 3, 5, 7, seed=1)
        expected = torch.nn.functional.l1_loss(result, target)
        torch.testing.assert_close(content_loss(result, target), expected)

    @pytest.mark.parametrize(
        ("errors", "weights", "loss"),
        [((1, 0, 0), (3, 5, 7), 1), ((0.5, 2, 1), (2, 1, 0), 1), ((1, 2), (4, 3), 5)],
    )
    def test_weighs_the_channels(self, errors, weights, loss):
        target = random(2, len(errors), 4, 4)
        result = target + torch.tensor(errors).reshape(1, -1, 1, 1)
        assert content_loss(result, target, weights).item() == pytest.approx(loss)

    def test_asks_for_the_median_color_and_vivid_for_more_than_the_mean(self):
        # Three of ten things of a kind are red, the others gray.
        target = torch.zeros(1, 3, 1, 10)
        target[:, 1, :, :3] = 0.2
        candidates = torch.linspace(0, 0.2, 101).tolist()

        def best(**options):
            return min(candidates, key=lambda a: content_loss(only_a(a, 10), target, **options))

        assert best() == 0
        assert 0.06 < best(vivid=True) < 0.12

    def test_vivid_weighs_an_error_by_the_true_chroma(self):
        gray, strong = torch.zeros(1, 3, 1, 1), only_a(60 / 110, 1)
        losses = [content_loss(c + only_a(0.1, 1), c, vivid=True).item() for c in (gray, strong)]
        assert losses[1] == pytest.approx(2 * losses[0])

    def test_vivid_leaves_lightness_alone(self):
        target = random(1, 3, 4, 4)
        result = target.clone()
        result[:, 0] += 0.3
        assert content_loss(result, target, vivid=True).item() == pytest.approx(0.1)

    def test_is_float32_for_half_precision(self):
        half = torch.full((1, 3, 2, 2), 0.5, dtype=torch.bfloat16)
        assert content_loss(half, torch.zeros(1, 3, 2, 2)).dtype == torch.float32

    def test_refuses_shapes_that_would_broadcast(self):
        with pytest.raises(ValueError, match="of one shape"):
            content_loss(random(2, 3, 4, 4), random(1, 3, 4, 4))

    def test_refuses_another_number_of_weights(self):
        with pytest.raises(ValueError, match="3 channel weights for 2 channels"):
            content_loss(random(2, 2, 4, 4), random(2, 2, 4, 4))


def hand_on_red() -> VGG16Features:
    """A VGG16 whose layers all hand on the normalized red in channel 0, and zeros beside."""
    features = VGG16Features()
    for parameter in features.parameters():
        parameter.zero_()
    for layer in features.features:
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight[0, 0, 1, 1] = 1
    return features


def gray(lightness: float) -> torch.Tensor:
    """A gray image in normalized Lab, (1, 3, 16, 16)."""
    image = torch.zeros(1, 3, 16, 16)
    image[:, 0] = lightness
    return image


@pytest.fixture(scope="module")
def perceptual():
    torch.manual_seed(0)
    return PerceptualLoss(VGG16Features())


class TestPerceptualLoss:
    def test_weighs_the_mean_differences_of_five_layers(self):
        # Of white 1 - mean over std of ImageNet's red arrives, of black, which is negative, 0: in
        # one of 64, 128, 256, 512 and 512 channels, weighted 1/32, 1/16, 1/8, 1/4 and 1.
        shares = 1 / 32 / 64 + 1 / 16 / 128 + 1 / 8 / 256 + 1 / 4 / 512 + 1 / 512
        loss = PerceptualLoss(hand_on_red())(gray(-1.0), gray(1.0))
        assert loss.item() == pytest.approx((1 - 0.485) / 0.229 * shares, rel=1e-4)

    def test_is_zero_for_equal_images(self, perceptual):
        assert perceptual(random(1, 3, 16, 16), random(1, 3, 16, 16)) == 0

    def test_is_the_mean_over_the_batch(self, perceptual):
        result, target = random(2, 3, 16, 16), random(2, 3, 16, 16, seed=1)
        single = [perceptual(result[i : i + 1], target[i : i + 1]) for i in range(2)]
        torch.testing.assert_close(perceptual(result, target), sum(single) / 2)

    def test_teaches_the_result_alone(self, perceptual):
        result = random(1, 3, 16, 16).requires_grad_()
        target = random(1, 3, 16, 16, seed=1).requires_grad_()
        perceptual(result, target).backward()
        assert result.grad.isfinite().all()
        assert (result.grad.abs().amax(dim=(0, 2, 3)) > 0).all()
        assert target.grad is None

    def test_has_nothing_to_train(self, perceptual):
        assert not any(parameter.requires_grad for parameter in perceptual.parameters())

    def test_has_a_gradient_at_black(self, perceptual):
        black = gray(-1.0).requires_grad_()
        perceptual(black, gray(0.0)).backward()
        assert black.grad.isfinite().all()
        assert black.grad.abs().max() > 0

    def test_is_float32_under_autocast(self, perceptual):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = perceptual(random(1, 3, 16, 16).bfloat16(), random(1, 3, 16, 16, seed=1))
        assert loss.dtype == torch.float32

    def test_refuses_different_shapes(self, perceptual):
        with pytest.raises(ValueError, match="of one shape"):
            perceptual(random(1, 3, 16, 16), random(1, 3, 16, 32))


LOSSES = (relativistic_discriminator_loss, relativistic_generator_loss)


class TestRelativisticLosses:
    @pytest.mark.parametrize(
        ("real", "fake", "discriminator", "generator"),
        [
            # Means 2 and 1. D: (1 - 1 - 1)^2, (3 - 1 - 1)^2 and (0 - 2 + 1)^2, (2 - 2 + 1)^2.
            # G: (0 - 2 - 1)^2, (2 - 2 - 1)^2 and (1 - 1 + 1)^2, (3 - 1 + 1)^2.
            ([1, 3], [0, 2], 1 + 1, 5 + 5),
            # Means 0 and 4. D: (-1 - 4 - 1)^2, (1 - 4 - 1)^2 and (4 + 1)^2 twice.
            # G: (4 - 1)^2 twice and (-1 - 4 + 1)^2, (1 - 4 + 1)^2.
            ([-1, 1], [4, 4], 26 + 25, 9 + 10),
        ],
    )
    def test_by_hand(self, real, fake, discriminator, generator):
        scores = torch.tensor(real, dtype=torch.float), torch.tensor(fake, dtype=torch.float)
        assert relativistic_discriminator_loss(*scores).item() == discriminator
        assert relativistic_generator_loss(*scores).item() == generator

    def test_vanish_when_apart_by_one_in_the_wanted_direction(self):
        high, low = torch.full((2, 1, 3, 3), 1.5), torch.full((2, 1, 3, 3), 0.5)
        assert relativistic_discriminator_loss(high, low) == 0
        assert relativistic_generator_loss(low, high) == 0

    def test_exchange_the_roles(self):
        real, fake = random(3, 1, 4, 4), random(3, 1, 4, 4, seed=1)
        generator = relativistic_generator_loss(real, fake)
        assert torch.equal(generator, relativistic_discriminator_loss(fake, real))

    @pytest.mark.parametrize("loss", LOSSES)
    def test_see_differences_only(self, loss):
        real, fake = random(3, 1, 4, 4), random(3, 1, 4, 4, seed=1)
        torch.testing.assert_close(loss(real + 5, fake + 5), loss(real, fake))

    def test_pull_in_opposite_directions(self):
        scores = torch.zeros(2, requires_grad=True)
        for loss, sign in zip(LOSSES, (-1, 1), strict=True):
            (slope,) = torch.autograd.grad(loss(scores[:1], scores[1:]), scores)
            assert slope[0].sign() == sign  # of the real score
            assert slope[1].sign() == -sign

    @pytest.mark.parametrize("loss", LOSSES)
    def test_are_float32_for_half_precision(self, loss):
        scores = torch.ones(2, 1, 2, 2, dtype=torch.bfloat16)
        assert loss(scores, scores).dtype == torch.float32


def test_global_mean_of_one_process_is_the_mean():
    assert global_mean(torch.tensor([[1.0, 2.0], [3.0, 6.0]])) == 3


PROCESSES = 2


def real_and_fake() -> tuple[torch.Tensor, torch.Tensor]:
    """Samples (4, 3), in which halves differ clearly."""
    return random(4, 3) + torch.arange(4)[:, None], random(4, 3, seed=1) * 4


def build_critic() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))


def loss_and_gradients(critic, loss, real, fake) -> list[torch.Tensor]:
    critic.zero_grad()
    value = loss(*critic(torch.cat((real, fake))).split(len(real)))
    value.backward()
    return [value.detach(), *(parameter.grad.clone() for parameter in critic.parameters())]


def train_on_a_share(rank: int, folder: str) -> None:
    """Body of a process: store what it finds from its share of the samples."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES
    )
    critic = DistributedDataParallel(build_critic())
    share = [samples.chunk(PROCESSES)[rank] for samples in real_and_fake()]
    found = [loss_and_gradients(critic, loss, *share) for loss in LOSSES]
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.barrier()
    # Now and then taking gloo's threads down aborts a process on a busy machine.
    os._exit(0)


@pytest.fixture(scope="module")
def found_by_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(train_on_a_share, (str(folder),), nprocs=PROCESSES)
    return [torch.load(folder / f"{rank}.pt") for rank in range(PROCESSES)]


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1], ids=["discriminator", "generator"])
class TestSeveralProcesses:
    def test_average_to_the_loss_of_one(self, found_by_processes, index):
        expected, *_ = loss_and_gradients(build_critic(), LOSSES[index], *real_and_fake())
        mean = sum(found[index][0] for found in found_by_processes) / PROCESSES
        torch.testing.assert_close(mean, expected, rtol=1e-6, atol=1e-6)

    def test_get_the_gradients_of_one(self, found_by_processes, index):
        _, *expected = loss_and_gradients(build_critic(), LOSSES[index], *real_and_fake())
        for found in found_by_processes:
            torch.testing.assert_close(found[index][1:], expected, rtol=1e-6, atol=1e-6)
