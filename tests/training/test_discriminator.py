"""The patch discriminator of the adversarial loss."""

import pytest
import torch

from scsnet_hf.training.discriminator import PatchDiscriminator


def images(count: int = 3, height: int = 40, width: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def discriminator():
    torch.manual_seed(0)
    return PatchDiscriminator(width=8)


def settle(discriminator: PatchDiscriminator, calls: int = 300) -> None:
    """Let the power iteration converge."""
    with torch.no_grad():
        for _ in range(calls):
            discriminator.train()(images(1, 16, 16))


class TestScores:
    @pytest.mark.parametrize("size", [(16, 16), (17, 31), (33, 64), (131, 50)])
    def test_are_one_for_every_8_pixels(self, discriminator, size):
        height, width = size
        assert discriminator(images(2, *size)).shape == (2, 1, height // 8, width // 8)

    @pytest.mark.parametrize("mode", ["train", "eval"])
    def test_do_not_depend_on_the_batch(self, discriminator, mode):
        settle(discriminator)
        getattr(discriminator, mode)()
        single = torch.cat([discriminator(image[None]) for image in images()])
        torch.testing.assert_close(discriminator(images()), single, rtol=1e-4, atol=1e-5)

    def test_see_only_their_patch(self, discriminator):
        discriminator.eval()
        whole = images(1, 128, 128)
        changed = whole.clone()
        changed[..., 64:] = 0
        difference = (discriminator(whole) - discriminator(changed)).abs().amax(dim=(0, 1, 2))
        assert difference[:4].max() == 0
        assert difference[8:].min() > 0

    def test_are_float32_under_autocast(self, discriminator):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert discriminator(images()).dtype == torch.float32

    @pytest.mark.parametrize("shape", [(1, 3, 15, 32), (1, 3, 32, 15), (1, 1, 32, 32), (3, 32, 32)])
    def test_of_other_shapes_are_refused(self, discriminator, shape):
        with pytest.raises(ValueError, match="at least 16 pixels"):
            discriminator(torch.rand(shape))


def test_gradient_reaches_the_images_and_every_parameter(discriminator):
    batch = images().requires_grad_()
    discriminator(batch).square().mean().backward()
    for tensor in (batch, *discriminator.parameters()):
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().max() > 0


def test_every_layer_has_spectral_norm_one(discriminator):
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.mul_(7)
    settle(discriminator)
    convolutions = [m for m in discriminator.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 5
    for convolution in convolutions:
        largest = torch.linalg.svdvals(convolution.weight.flatten(1))[0]
        assert largest.item() == pytest.approx(1, abs=1e-3)


def test_width_is_that_of_the_first_layer():
    convolutions = [m for m in PatchDiscriminator(6).modules() if isinstance(m, torch.nn.Conv2d)]
    assert [convolution.out_channels for convolution in convolutions] == [6, 12, 24, 48, 1]


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_restored_discriminator_gives_the_very_same_scores(discriminator, mode):
    settle(discriminator, calls=3)
    restored = PatchDiscriminator(width=8)
    restored.load_state_dict(discriminator.state_dict())
    scores = (getattr(network, mode)()(images()) for network in (discriminator, restored))
    assert torch.equal(*scores)
