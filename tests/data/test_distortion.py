"""Elastic distortion of references: how far it moves, and what it depends on."""

import pytest
import torch

from scsnet_hf.data import elastic_distortion


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def generators(seeds):
    return [generator(seed) for seed in seeds]


def same_or_mirrored(results, images):
    """Which results are their image, and which its mirror image: two bool (B,)."""
    return tuple(
        torch.tensor([torch.allclose(*pair, atol=1e-4) for pair in zip(results, p, strict=True)])
        for p in (images, images.flip(-1))
    )


@pytest.fixture
def images():
    return torch.rand(6, 3, 24, 36, generator=generator(9))


class TestDistortion:
    def test_without_amplitude_it_is_the_image_or_its_mirror_image(self, images):
        results = elastic_distortion(images, amplitude=0, generator=generator())
        same, mirrored = same_or_mirrored(results, images)
        assert (same ^ mirrored).all()
        assert same.any()
        assert mirrored.any()

    def test_a_constant_stays_constant(self):
        constant = torch.full((2, 3, 16, 16), 0.3)
        assert torch.allclose(elastic_distortion(constant, amplitude=0.1), constant, atol=1e-6)

    def test_the_same_generator_gives_the_same_result(self, images):
        results = [elastic_distortion(images, generator=generator(3)) for _ in range(2)]
        assert torch.equal(*results)

    def test_another_generator_gives_another_result(self, images):
        results = [elastic_distortion(images, generator=generator(seed)) for seed in (1, 2)]
        assert not torch.equal(*results)

    @pytest.mark.parametrize("shape", [(1, 1, 8, 8), (2, 3, 20, 7), (3, 4, 1, 9), (1, 3, 2, 2)])
    def test_the_shape_is_kept(self, shape):
        result = elastic_distortion(torch.rand(shape))
        assert result.shape == shape
        assert result.isfinite().all()

    def test_colors_stay_in_their_range(self, images):
        result = elastic_distortion(images, amplitude=0.2)
        assert images.min() - 1e-6 <= result.min() <= result.max() <= images.max() + 1e-6

    def test_the_input_is_left_as_it_was(self, images):
        before = images.clone()
        elastic_distortion(images)
        assert torch.equal(images, before)


class TestAmplitude:
    @staticmethod
    def displacement(amplitude) -> torch.Tensor:
        """Root mean square of the shift of both coordinates, as a share of the side, (8,)."""
        y, x = torch.meshgrid(*[(torch.arange(64) + 0.5) / 64] * 2, indexing="ij")
        positions = torch.stack((x, y)).expand(8, -1, -1, -1)
        moved, still = (
            elastic_distortion(positions, a, generator=generator()) for a in (amplitude, 0)
        )
        return (moved - still).square().mean(dim=(1, 2, 3)).sqrt()

    def test_displacement_grows_with_the_amplitude(self):
        shifts = [self.displacement(amplitude).mean() for amplitude in (0.005, 0.01, 0.02, 0.04)]
        assert shifts == sorted(shifts)
        assert shifts[-1] > 5 * shifts[0]

    def test_it_is_the_root_mean_square_of_the_displacement(self):
        measured = self.displacement(0.01).square().mean().sqrt().item()
        assert measured == pytest.approx(0.01, rel=0.15)

    def test_each_image_may_have_its_own(self):
        own = torch.tensor([0.0, 0.005, 0.01, 0.02, 0.0, 0.005, 0.01, 0.02])
        measured = self.displacement(own)
        assert torch.allclose(measured, own, rtol=0.3, atol=1e-6)

    def test_one_for_all_is_the_same_as_equal_ones(self, images):
        one, each = (
            elastic_distortion(images, amplitude, generator=generator())
            for amplitude in (0.02, torch.full((6,), 0.02))
        )
        assert torch.equal(one, each)

    def test_the_same_random_numbers_bend_in_the_same_direction(self, images):
        """Zero for one image changes nothing for the others."""
        amplitude = torch.full((6,), 0.02)
        expected = elastic_distortion(images, amplitude, generator=generator())
        amplitude[2] = 0
        results = elastic_distortion(images, amplitude, generator=generator())
        others = torch.arange(6) != 2
        assert torch.equal(results[others], expected[others])
        same, mirrored = same_or_mirrored(results, images)
        assert (same | mirrored).tolist() == (~others).tolist()


class TestOneGeneratorEach:
    def test_a_image_is_distorted_as_if_it_were_alone(self, images):
        amplitude = torch.linspace(0, 0.05, 6)
        together = elastic_distortion(images, amplitude, generator=generators(range(6)))
        for index in range(6):
            alone = elastic_distortion(
                images[index : index + 1],
                amplitude[index : index + 1],
                generator=generators([index]),
            )
            assert torch.allclose(together[index], alone[0], atol=1e-5)

    def test_another_order_gives_the_same_in_that_order(self, images):
        order = [3, 1, 5, 0, 4, 2]
        results = elastic_distortion(images, generator=generators(range(6)))
        reordered = elastic_distortion(images[order], generator=generators(order))
        assert torch.allclose(reordered, results[order], atol=1e-5)

    def test_equal_generators_distort_equally(self):
        image = torch.rand(1, 3, 24, 24, generator=generator(1))
        one, other = elastic_distortion(image.repeat(2, 1, 1, 1), generator=generators([7, 7]))
        assert torch.allclose(one, other, atol=1e-5)

    def test_different_generators_distort_differently(self):
        image = torch.rand(1, 3, 24, 24, generator=generator(1))
        results = elastic_distortion(image.repeat(4, 1, 1, 1), generator=generators(range(4)))
        pairs = [(i, j) for i in range(4) for j in range(i)]
        assert not any(torch.allclose(results[i], results[j], atol=1e-2) for i, j in pairs)
