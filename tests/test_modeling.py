"""`SCSNetForImageToImage`: sizes, modes, gradients, precision and saving."""

from copy import deepcopy

import pytest
import torch

from helpers.plain_scsnet import plain_scsnet
from helpers.tiny_models import build_tiny_model
from scsnet_hf import SCSNetConfig, SCSNetForImageToImage
from scsnet_hf.configuration_scsnet import CROSS_ATTENTIONS, SOURCE_ENCODERS, UPSAMPLERS


def gray(batch: int, height: int, width: int, seed: int = 1) -> torch.Tensor:
    """Random normalized L, (B, 1, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(batch, 1, height, width, generator=generator) - 1


def color(batch: int, height: int, width: int, seed: int = 2) -> torch.Tensor:
    """Random normalized Lab, (B, 3, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(batch, 3, height, width, generator=generator) - 1


def reconstruct(model, *args, **kwargs) -> torch.Tensor:
    with torch.no_grad():
        return model(*args, **kwargs).reconstruction


def gradients(model) -> dict[str, torch.Tensor]:
    return {name: parameter.grad for name, parameter in model.named_parameters()}


# The paper's formulas


@pytest.fixture(scope="module")
def paper_model() -> SCSNetForImageToImage:
    """The paper's network, with random weights also in the layers that start at zero."""
    torch.manual_seed(0)
    model = SCSNetForImageToImage(SCSNetConfig()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            inputs = parameter[0].numel()
            parameter.add_(0.3 * torch.randn_like(parameter) / inputs**0.5)
    return model


# At 2.8, 56 columns are made of 20: every 11th is on the border of two cells, where Eq. 3 jumps.
@pytest.mark.parametrize("scale", [2.7, 2.8, 4])
@pytest.mark.parametrize("reference", [None, color(2, 16, 20)], ids=["automatic", "reference"])
def test_network_is_the_papers(paper_model, reference, scale):
    pixels = gray(2, 12, 20)
    actual = reconstruct(paper_model, pixels, reference, scale=scale)
    with torch.no_grad():
        expected = plain_scsnet(paper_model, pixels, actual.shape[-2:], reference)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def test_automatic_parameters_are_those_of_a_network_without_references():
    without = build_tiny_model(cross_attention="none")
    assert build_tiny_model().automatic_parameters == without.num_parameters()
    assert without.automatic_parameters == without.num_parameters()


# Size of the output


@pytest.mark.parametrize(
    ("width", "height", "scale", "expected"),  # expected is (width, height), .5 rounded to even
    [
        (1, 1, 0.5, (1, 1)),
        (1, 1, 1.5, (2, 2)),
        (1, 1, 16, (16, 16)),
        (1, 50, 0.5, (1, 25)),
        (1, 50, 2.7, (3, 135)),
        (37, 41, 0.5, (18, 20)),
        (37, 41, 1, (37, 41)),
        (37, 41, 1.5, (56, 62)),
        (37, 41, 2.7, (100, 111)),
        (37, 41, 16, (592, 656)),
        (101, 67, 4, (404, 268)),
    ],
)
def test_output_is_the_rounded_product_of_size_and_scale(
    tiny_model, width, height, scale, expected
):
    reconstruction = reconstruct(tiny_model, gray(1, height, width), scale=scale)
    assert reconstruction.shape == (1, 3, *expected[::-1])
    assert reconstruction.isfinite().all()


@pytest.mark.parametrize("size", [(1, 1), (30, 100), (7, 5)])
@pytest.mark.parametrize(("width", "height"), [(1, 50), (37, 41)])
def test_output_size_is_met_exactly(tiny_model, width, height, size):
    reconstruction = reconstruct(tiny_model, gray(2, height, width), output_size=size)
    assert reconstruction.shape == (2, 3, *size)


def test_scale_is_four_by_default(tiny_model):
    pixels = gray(1, 9, 12)
    assert torch.equal(reconstruct(tiny_model, pixels), reconstruct(tiny_model, pixels, scale=4.0))


def test_output_size_equals_the_scale_that_makes_it(tiny_model):
    pixels = gray(1, 10, 12)
    by_size = reconstruct(tiny_model, pixels, output_size=(25, 30))
    assert torch.equal(by_size, reconstruct(tiny_model, pixels, scale=2.5))


def test_scale_and_output_size_together_are_refused(tiny_model):
    with pytest.raises(ValueError, match="either scale or output_size"):
        tiny_model(gray(1, 8, 8), scale=2.0, output_size=(16, 16))


# References


def test_reference_changes_the_result(tiny_model):
    pixels = gray(1, 13, 15)
    automatic = reconstruct(tiny_model, pixels, scale=1)
    first = reconstruct(tiny_model, pixels, color(1, 11, 9), scale=1)
    second = reconstruct(tiny_model, pixels, color(1, 11, 9, seed=3), scale=1)
    assert (first - automatic).abs().max() > 1e-3
    assert (first - second).abs().max() > 1e-3


def test_reference_strength_zero_is_bit_equal_to_automatic(tiny_model):
    pixels = gray(2, 13, 15)
    automatic = reconstruct(tiny_model, pixels)
    assert torch.equal(
        reconstruct(tiny_model, pixels, color(2, 9, 11), reference_strength=0.0), automatic
    )


def test_reference_strength_interpolates_between_automatic_and_referential_features(tiny_model):
    with torch.no_grad():
        source = torch.randn(1, 16, 4, 5)
        tokens = tiny_model.encode_reference(color(1, 9, 11))
        full = tiny_model.fuse_reference(source, tokens).features
        half = tiny_model.fuse_reference(source, tokens, reference_strength=0.5).features
    torch.testing.assert_close(half, (source + full) / 2)


def test_masked_reference_is_bit_equal_to_automatic_per_item(tiny_model):
    pixels, references = gray(3, 13, 15), color(3, 9, 11)
    mask = torch.tensor([True, False, True])
    automatic = reconstruct(tiny_model, pixels)
    referential = reconstruct(tiny_model, pixels, references)
    mixed = reconstruct(tiny_model, pixels, references, mask)
    assert torch.equal(mixed[~mask], automatic[~mask])
    assert torch.equal(mixed[mask], referential[mask])
    assert not torch.equal(referential[~mask], automatic[~mask])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_masked_reference_may_hold_anything(tiny_model, value):
    pixels = gray(2, 8, 8)
    mask = torch.tensor([False, False])
    broken = torch.full((2, 3, 8, 8), value)
    masked = reconstruct(tiny_model, pixels, broken, mask)
    assert torch.equal(masked, reconstruct(tiny_model, pixels))


def test_order_of_references_does_not_matter(tiny_model):
    pixels = gray(1, 13, 15)
    with torch.no_grad():
        first = tiny_model.encode_reference(color(1, 9, 11))
        second = tiny_model.encode_reference(color(1, 16, 8, seed=3))

        def colors(*references):
            tokens = tuple(torch.cat(level, dim=1) for level in zip(*references, strict=True))
            return tiny_model.encode_color(pixels, tokens).features

        both = colors(first, second)
        torch.testing.assert_close(both, colors(second, first), atol=1e-4, rtol=1e-4)
        assert (both - colors(first)).abs().max() > 1e-3
        assert (both - colors(second)).abs().max() > 1e-3


def test_reference_given_twice_counts_as_once(tiny_model):
    with torch.no_grad():
        tokens = tiny_model.encode_reference(color(1, 9, 11))
        twice = tuple(torch.cat((level, level), dim=1) for level in tokens)
        actual = tiny_model.encode_color(gray(1, 13, 15), twice).features
        expected = tiny_model.encode_color(gray(1, 13, 15), tokens).features
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_reference_of_batch_one_is_shared_by_all_items(tiny_model):
    pixels = gray(2, 13, 15)
    shared = reconstruct(tiny_model, pixels, color(1, 9, 11))
    repeated = reconstruct(tiny_model, pixels, color(1, 9, 11).expand(2, -1, -1, -1))
    torch.testing.assert_close(shared, repeated, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("matched", [False, True])
def test_matched_references_are_also_seen_by_the_source_encoder(matched):
    model = build_tiny_model(matched_references=matched)
    with torch.no_grad():
        for parameter in model.reference_stem.parameters():
            parameter.zero_()
    reference = color(1, 16, 16)
    lighter, redder = (reference + change for change in torch.eye(3)[:2, None, :, None, None])

    def is_distinguished(other: torch.Tensor) -> bool:
        tokens = zip(model.encode_reference(reference), model.encode_reference(other), strict=True)
        return any(not torch.equal(one, another) for one, another in tokens)

    # The reference encoder is blind here, and the source encoder sees lightness only.
    assert is_distinguished(lighter) == matched
    assert not is_distinguished(redder)


@pytest.fixture(scope="module")
def transferring() -> SCSNetForImageToImage:
    return build_tiny_model(transferred_colors=True, matched_references=True)


class TestTransferredColors:
    def test_before_training_they_change_nothing(self):
        """A network that continues to learn with them starts from what it knew."""
        torch.manual_seed(0)
        config = SCSNetConfig.from_preset("tiny", matched_references=True)
        old = SCSNetForImageToImage(config).eval()
        config = SCSNetConfig.from_preset("tiny", matched_references=True, transferred_colors=True)
        new = SCSNetForImageToImage(config).eval()
        new.load_state_dict(old.state_dict(), strict=False)
        pixels, reference = gray(2, 13, 15), color(2, 9, 11)
        with torch.no_grad():
            expected = old(pixels, reference, color_only=True).color_features
            actual = new(pixels, reference, color_only=True).color_features
        torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-6)

    def test_without_a_reference_there_are_none(self, transferring):
        pixels, references = gray(3, 13, 15), color(3, 9, 11)
        automatic = reconstruct(transferring, pixels)
        without = reconstruct(transferring, pixels, references, reference_strength=0.0)
        assert torch.equal(without, automatic)
        mask = torch.tensor([True, False, True])
        mixed = reconstruct(transferring, pixels, references, mask)
        assert torch.equal(mixed[~mask], automatic[~mask])
        assert not torch.equal(mixed[mask], automatic[mask])

    def test_several_references_are_one_set(self, transferring):
        first = transferring.encode_reference(color(1, 9, 11))
        second = transferring.encode_reference(color(1, 16, 8, seed=3))

        def colors(*references):
            tokens = tuple(torch.cat(level, dim=1) for level in zip(*references, strict=True))
            return transferring.encode_color(gray(1, 13, 15), tokens).features

        torch.testing.assert_close(colors(first, second), colors(second, first), atol=1e-4, rtol=0)
        torch.testing.assert_close(colors(first, first), colors(first), atol=1e-4, rtol=0)

    def test_every_layer_of_theirs_learns(self, transferring):
        transferring.zero_grad()
        transferring(gray(2, 12, 16), color(2, 9, 11)).reconstruction.square().mean().backward()
        for part in (transferring.color_transfer, transferring.cross_attention.color_output):
            assert all(parameter.grad.any() for parameter in part.parameters())


class TestHints:
    POSITIONS = torch.tensor([[[0.0, 0.0], [14.9, 12.9], [6.0, 5.0]]])
    COLORS = torch.tensor([[[0.3, 0.2], [-0.2, 0.1], [0.0, -0.4]]])

    def test_each_is_a_token_of_its_color_at_every_level(self, transferring):
        tokens = transferring.encode_hints(gray(1, 13, 15), self.POSITIONS, self.COLORS)
        assert len(tokens) == transferring.config.pyramid_levels
        for level in tokens:
            torch.testing.assert_close(level[..., -2:], self.COLORS)
            assert not level[..., -4:-2].any()  # the same at any lightness

    def test_positions_are_pixels_of_the_source(self, transferring):
        small = torch.nn.functional.interpolate(gray(1, 4, 4), scale_factor=64.0)
        large = torch.nn.functional.interpolate(small, scale_factor=2.0)
        positions = torch.tensor([[[10.0, 200.0], [130.0, 70.0]]])
        first = transferring.encode_hints(small, positions, self.COLORS[:, :2])
        second = transferring.encode_hints(large, 2 * positions, self.COLORS[:, :2])
        torch.testing.assert_close(first, second)

    def test_their_order_does_not_matter(self, transferring):
        pixels = gray(1, 13, 15)

        def colors(order):
            tokens = transferring.encode_hints(
                pixels, self.POSITIONS[:, order], self.COLORS[:, order]
            )
            return transferring.encode_color(pixels, tokens).features

        torch.testing.assert_close(colors([0, 1, 2]), colors([2, 0, 1]), atol=1e-5, rtol=0)

    def test_they_can_be_combined_with_references(self, transferring):
        pixels = gray(1, 13, 15)
        hints = transferring.encode_hints(pixels, self.POSITIONS, self.COLORS)
        reference = transferring.encode_reference(color(1, 9, 11))
        both = tuple(torch.cat(level, dim=1) for level in zip(reference, hints, strict=True))
        assert transferring.encode_color(pixels, both).features.isfinite().all()

    @pytest.mark.parametrize("kind", ["basic", "pyramid_valve"])
    def test_every_kind_of_attention_takes_them(self, kind):
        model = build_tiny_model(cross_attention=kind)
        pixels = gray(1, 13, 15)
        with torch.no_grad():
            automatic = model(pixels, color_only=True).color_features
            hinted = model(
                pixels, hint_positions=self.POSITIONS, hint_colors=self.COLORS, color_only=True
            ).color_features
        assert not torch.equal(hinted, automatic)

    def test_a_model_without_references_refuses_them(self):
        model = build_tiny_model(cross_attention="none")
        with pytest.raises(ValueError, match="takes no reference"):
            model.encode_hints(gray(1, 13, 15), self.POSITIONS, self.COLORS)


def test_model_without_cross_attention_refuses_a_reference():
    model = build_tiny_model(cross_attention="none")
    with pytest.raises(ValueError, match="takes no reference"):
        model(gray(1, 8, 8), color(1, 8, 8))


@pytest.mark.parametrize("upsampler", UPSAMPLERS)
@pytest.mark.parametrize("cross_attention", CROSS_ATTENTIONS)
def test_every_ablation_runs(upsampler, cross_attention):
    model = build_tiny_model(upsampler=upsampler, cross_attention=cross_attention)
    reference = None if cross_attention == "none" else color(2, 9, 11)
    reconstruction = reconstruct(model, gray(2, 7, 10), reference, scale=2.7)
    assert reconstruction.shape == (2, 3, 19, 27)
    assert reconstruction.isfinite().all()


# Batches and working size


@pytest.mark.parametrize("reference_seed", [None, 5])
def test_item_of_a_batch_equals_the_item_alone(tiny_model, reference_seed):
    pixels = gray(3, 13, 15)
    references = None if reference_seed is None else color(3, 9, 11, reference_seed)
    together = reconstruct(tiny_model, pixels, references)
    for index in range(3):
        own = None if references is None else references[index, None]
        alone = reconstruct(tiny_model, pixels[index, None], own)
        torch.testing.assert_close(together[index, None], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("level", [-1.0, 0.2, 1.0])
def test_constant_image_stays_constant_at_scale_one(tiny_model, level):
    reconstruction = reconstruct(tiny_model, torch.full((1, 1, 13, 18), level), scale=1)
    expected = reconstruction[..., :1, :1].expand_as(reconstruction)
    torch.testing.assert_close(reconstruction, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("upsampler", ["cpm", "meta"])
@pytest.mark.parametrize(("scale", "period"), [(4, 4), (1.5, 3), (2.7, 27)])
def test_constant_image_repeats_one_pattern_without_borders(upsampler, scale, period):
    model = build_tiny_model(upsampler=upsampler)
    pixels = reconstruct(model, torch.full((1, 1, 20, 20), 0.3), scale=scale)
    torch.testing.assert_close(pixels[..., period:], pixels[..., :-period], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        pixels[..., period:, :], pixels[..., :-period, :], atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("size", [(64, 40), (31, 90)])
def test_color_branch_sees_large_images_at_the_working_size(size):
    model = build_tiny_model(color_size=32)
    with torch.no_grad():
        features = model.encode_color(gray(1, *size)).features
    scale = 32 / max(size)
    assert max(features.shape[-2:]) == 32
    assert min(features.shape[-2:]) == pytest.approx(min(size) * scale, abs=0.5)


def test_color_branch_sees_small_images_at_their_own_size():
    model = build_tiny_model(color_size=32)
    with torch.no_grad():
        assert model.encode_color(gray(1, 13, 32)).features.shape[-2:] == (13, 32)


def test_image_above_the_working_size_has_the_full_output_size():
    model = build_tiny_model(color_size=16)
    assert reconstruct(model, gray(1, 33, 50), scale=1.5).shape == (1, 3, 50, 75)


def test_reference_above_the_working_size_is_reduced():
    model = build_tiny_model(color_size=16)
    with torch.no_grad():
        large = model.encode_reference(color(1, 64, 32))
        small = model.encode_reference(color(1, 16, 8))
    assert [level.shape for level in large] == [level.shape for level in small]


@pytest.mark.parametrize("source_encoder", SOURCE_ENCODERS)
@pytest.mark.parametrize("size", [(9, 7), (1, 90)])
def test_source_enlargement_changes_no_size(source_encoder, size):
    networks = [
        build_tiny_model(
            source_encoder=source_encoder, color_size=16, source_enlargement=enlargement
        )
        for enlargement in (1, 3)
    ]
    pixels, reference = gray(1, *size), color(1, 20, 31)
    with torch.no_grad():
        one, other = (
            model(pixels, reference, scale=1.5, output_attentions=True) for model in networks
        )
    assert other.reconstruction.isfinite().all()
    assert not torch.allclose(one.color_features, other.color_features)
    for name in ("reconstruction", "color_features"):
        assert one[name].shape == other[name].shape
    assert [level.shape for level in one.attentions] == [level.shape for level in other.attentions]


def test_luminance_skip_adds_the_sources_lightness():
    torch.manual_seed(0)
    pixels = gray(1, 9, 11)
    with_skip, without = (build_tiny_model(luminance_skip=skip) for skip in (True, False))
    difference = reconstruct(with_skip, pixels, scale=1) - reconstruct(without, pixels, scale=1)
    torch.testing.assert_close(difference[:, :1], pixels, atol=1e-5, rtol=0)
    assert difference[:, 1:].abs().max() == 0


def test_lightness_is_aligned_as_the_pixels_it_is_added_to():
    """With aligned corners the corner of the result shows that of the source."""
    pixels = gray(1, 9, 11)
    with_skip, without = (
        build_tiny_model(luminance_skip=skip, align_corners=True) for skip in (True, False)
    )
    difference = reconstruct(with_skip, pixels, scale=3) - reconstruct(without, pixels, scale=3)
    corners = difference[:, :1, :: 27 - 1, :: 33 - 1]
    torch.testing.assert_close(corners, pixels[..., ::8, ::10], atol=1e-5, rtol=0)


def test_no_state_is_kept_between_calls(tiny_model):
    pixels = gray(1, 13, 15)
    before = reconstruct(tiny_model, pixels, scale=2)
    reconstruct(tiny_model, gray(2, 20, 9), color(2, 9, 11), scale=1.5)
    assert torch.equal(reconstruct(tiny_model, pixels, scale=2), before)


# Training


def test_loss_is_the_mean_absolute_difference(tiny_model):
    labels = color(2, 24, 40)
    with torch.no_grad():
        output = tiny_model(gray(2, 6, 10), labels=labels)
    expected = (output.reconstruction - labels).abs().mean()
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_no_labels_no_loss(tiny_model):
    with torch.no_grad():
        assert tiny_model(gray(1, 6, 10)).loss is None


@pytest.mark.parametrize("upsampler", UPSAMPLERS)
@pytest.mark.parametrize(
    "config", [{}, {"luminance_skip": True}, {"luminance_skip": True, "align_corners": True}]
)
def test_windows_of_different_sizes_equal_crops_of_the_whole_outputs(upsampler, config):
    model = build_tiny_model(upsampler=upsampler, **config)
    pixels, labels = gray(3, 9, 12), color(3, 7, 8)
    sizes = torch.tensor([[9, 12], [31, 20], [14, 40]])
    starts = torch.tensor([[0, 3], [24, 12], [5, 0]])
    with torch.no_grad():
        output = model(pixels, labels=labels, output_size=sizes, output_start=starts)
    wholes = [
        reconstruct(model, pixels[index, None], output_size=tuple(size.tolist()))[0]
        for index, size in enumerate(sizes)
    ]
    for window, whole, (top, left) in zip(output.reconstruction, wholes, starts, strict=True):
        expected = whole[:, top : top + 7, left : left + 8]
        torch.testing.assert_close(window, expected, atol=1e-4, rtol=1e-4)


def test_output_start_without_labels_is_refused(tiny_model):
    with pytest.raises(ValueError, match="only go together"):
        tiny_model(gray(1, 8, 8), output_start=torch.zeros(1, 2, dtype=torch.long))


@pytest.mark.parametrize("upsampler", UPSAMPLERS)
@pytest.mark.parametrize("matched", [False, True])
@pytest.mark.parametrize("cross_attention", ["pyramid_valve", "basic"])
def test_gradients_reach_every_parameter(upsampler, cross_attention, matched):
    config = {"cross_attention": cross_attention, "matched_references": matched}
    model = build_tiny_model(upsampler=upsampler, **config).train()
    labels = color(2, 36, 40)
    model(gray(2, 9, 10), labels=labels).loss.backward()
    model(gray(2, 9, 10), color(2, 32, 48), labels=labels).loss.backward()
    # A softmax does not see what is added to all of its logits, so key biases have no effect.
    without = [
        name
        for name, gradient in gradients(model).items()
        if gradient is None or (not name.endswith("key.bias") and not gradient.any())
    ]
    assert without == []


def test_automatic_step_leaves_the_reference_parameters_alone():
    model = build_tiny_model().train()
    model(gray(1, 9, 10), labels=color(1, 36, 40)).loss.backward()
    reached = {name.split(".")[0] for name, g in gradients(model).items() if g is not None}
    assert reached.isdisjoint({"reference_stem", "reference_encoder", "cross_attention"})


def test_activation_checkpointing_gives_the_same_gradients():
    model = build_tiny_model().train()
    inputs = {"reference_pixel_values": color(2, 12, 16), "labels": color(2, 36, 40)}
    model(gray(2, 9, 10), **inputs).loss.backward()
    expected = {name: gradient.clone() for name, gradient in gradients(model).items()}
    model.zero_grad()
    # The second is its name before transformers 5.23.
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    model(gray(2, 9, 10), **inputs).loss.backward()
    torch.testing.assert_close(gradients(model), expected, atol=1e-6, rtol=1e-4)


def test_first_image_of_an_untrained_model_is_mid_gray():
    model = SCSNetForImageToImage(SCSNetConfig.from_preset("tiny"))
    assert reconstruct(model, gray(1, 9, 10)).abs().max() == 0


# Precision


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.15), (torch.float16, 0.02)])
@pytest.mark.parametrize("upsampler", UPSAMPLERS)
def test_half_precision_stays_close_to_float32(upsampler, dtype, tolerance):
    inputs = (gray(1, 13, 15), color(1, 9, 11))
    expected = reconstruct(build_tiny_model(upsampler=upsampler), *inputs, scale=2.7)
    actual = reconstruct(build_tiny_model(upsampler=upsampler).to(dtype), *inputs, scale=2.7)
    assert actual.dtype == torch.float32
    assert actual.isfinite().all()
    assert (actual - expected).abs().mean() < tolerance * expected.abs().mean()


# Attention maps


@pytest.fixture(scope="module")
def with_attentions(tiny_model):
    with torch.no_grad():
        return tiny_model(gray(2, 16, 24), color(2, 8, 16), scale=1, output_attentions=True)


def test_attention_maps_have_a_row_for_every_source_position(with_attentions):
    shapes = [tuple(attention.shape) for attention in with_attentions.attentions]
    assert shapes == [(2, 1, 24, 8), (2, 1, 6, 2), (2, 1, 2, 1)]


def test_rows_of_attention_sum_to_one(with_attentions):
    for attention in with_attentions.attentions:
        torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:3]))


def test_valves_are_two_maps_between_zero_and_one(with_attentions):
    shapes = [tuple(valves.shape) for valves in with_attentions.valves]
    assert shapes == [(2, 2, 4, 6), (2, 2, 2, 3), (2, 2, 1, 2)]
    for valves in with_attentions.valves:
        assert valves.min() > 0
        assert valves.max() < 1


def test_reconstruction_is_the_same_without_attention_maps(tiny_model, with_attentions):
    without = reconstruct(tiny_model, gray(2, 16, 24), color(2, 8, 16), scale=1)
    torch.testing.assert_close(with_attentions.reconstruction, without, atol=1e-4, rtol=1e-4)


def test_attention_maps_are_only_made_on_request(tiny_model):
    with torch.no_grad():
        output = tiny_model(gray(1, 8, 8), color(1, 8, 8))
    assert output.attentions is None
    assert output.valves is None


# Saving, and the parts of the network


def test_saved_and_loaded_model_is_bit_equal(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    loaded, info = SCSNetForImageToImage.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    # Weights mapped from a file have other addresses, which may change how convolutions round.
    loaded = deepcopy(loaded)
    inputs = (gray(1, 13, 15), color(1, 9, 11))
    assert torch.equal(reconstruct(loaded, *inputs), reconstruct(tiny_model, *inputs))


def test_saved_and_loaded_parameters_are_bit_equal(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    loaded = SCSNetForImageToImage.from_pretrained(tmp_path).state_dict()
    assert loaded.keys() == tiny_model.state_dict().keys()
    assert all(torch.equal(loaded[name], value) for name, value in tiny_model.state_dict().items())


def test_return_dict_false_gives_a_tuple_without_none(tiny_model):
    pixels = gray(1, 6, 10)
    with torch.no_grad():
        automatic = tiny_model(pixels, return_dict=False)
        loss, *_ = tiny_model(pixels, labels=color(1, 24, 40), return_dict=False)
    assert isinstance(automatic, tuple)
    assert torch.equal(automatic[0], reconstruct(tiny_model, pixels))
    assert loss.ndim == 0


def test_composed_parts_equal_the_whole(tiny_model):
    pixels, reference = gray(1, 13, 15), color(1, 9, 11)
    with torch.no_grad():
        colors = tiny_model.encode_color(pixels, tiny_model.encode_reference(reference))
        composed = tiny_model.decode(tiny_model.features(pixels, colors.features), (26, 30))
    assert torch.equal(composed, reconstruct(tiny_model, pixels, reference, scale=2))


def test_a_small_window_of_a_large_source_is_like_the_whole():
    """The texture branch sees only the surroundings; the influence of the rest is negligible."""
    model = build_tiny_model(texture_depth=6, luminance_skip=True)
    pixels, labels = gray(1, 64, 64), torch.zeros(1, 3, 16, 16)
    size, start = torch.tensor([[256, 256]]), torch.tensor([[100, 140]])
    with torch.no_grad():
        window = model(pixels, labels=labels, output_size=size, output_start=start).reconstruction
        whole = model(pixels, scale=4).reconstruction
    torch.testing.assert_close(window, whole[..., 100:116, 140:156], atol=1e-2, rtol=0)


def test_the_color_branch_alone_gives_its_features_only(tiny_model):
    with torch.no_grad():
        output = tiny_model(gray(2, 16, 12), color_only=True)
    assert output.reconstruction is None
    assert output.color_features.shape == (2, tiny_model.config.hidden_sizes[0], 16, 12)


# Conventions of transformers


def test_attention_maps_and_hidden_states_on_request_of_the_config():
    config = SCSNetConfig.from_preset("tiny", output_attentions=True, output_hidden_states=True)
    with torch.no_grad():
        output = SCSNetForImageToImage(config)(gray(1, 9, 10), color(1, 8, 8))
        silent = SCSNetForImageToImage(config)(
            gray(1, 9, 10), color(1, 8, 8), output_attentions=False, output_hidden_states=False
        )
    assert len(output.attentions) == 3
    assert len(output.hidden_states) == 4
    assert silent.attentions is None
    assert silent.hidden_states is None


def test_hidden_states_are_those_of_source_fusion_color_and_texture(tiny_model):
    pixels, reference = gray(1, 9, 10), color(1, 8, 8)
    with torch.no_grad():
        output = tiny_model(pixels, reference, output_hidden_states=True)
        source, fused, colors, texture = output.hidden_states
        tokens = tiny_model.encode_reference(reference)
        assert torch.equal(tiny_model.fuse_reference(source, tokens).features, fused)
        assert torch.equal(output.color_features, colors)
        assert torch.equal(tiny_model.encode_texture(pixels), texture)
    assert source.shape == fused.shape == (1, 16, 3, 3)


def test_eager_attention_is_close_to_the_fused_kernel(tiny_model):
    inputs = gray(1, 13, 15), color(1, 9, 11)
    expected = reconstruct(tiny_model, *inputs)
    eager = deepcopy(tiny_model)
    eager.set_attn_implementation("eager")
    assert tiny_model.config._attn_implementation == "sdpa"
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(torch.nn.functional, "scaled_dot_product_attention")
        actual = reconstruct(eager, *inputs)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_unknown_argument_is_refused(tiny_model):
    with pytest.raises(TypeError, match="refrence"):
        tiny_model(gray(1, 8, 8), refrence=None)


# Layers whose weights are elsewhere, quantized, or adapted


@pytest.mark.filterwarnings("ignore:torch")
def test_layers_of_eight_bits_give_nearly_the_same(tiny_model):
    inputs = gray(1, 13, 15), color(1, 9, 11)
    quantized = torch.ao.quantization.quantize_dynamic(deepcopy(tiny_model), {torch.nn.Linear})
    expected, actual = reconstruct(tiny_model, *inputs), reconstruct(quantized, *inputs)
    assert type(quantized.upsampler.first) is not torch.nn.Linear
    assert (actual - expected).square().mean() < 1e-3 * expected.square().mean()


def test_weights_may_be_offloaded(tiny_model):
    accelerate = pytest.importorskip("accelerate")
    inputs = gray(1, 13, 15), color(1, 9, 11)
    offloaded = deepcopy(tiny_model)
    accelerate.cpu_offload(offloaded, torch.device("cpu"))
    assert offloaded.upsampler.first.weight.is_meta
    expected = reconstruct(tiny_model, *inputs)
    torch.testing.assert_close(reconstruct(offloaded, *inputs), expected, atol=1e-5, rtol=1e-5)


def test_quantizers_find_the_first_layer_and_leave_the_head(tiny_model):
    assert tiny_model.get_input_embeddings() is tiny_model.stem
    assert tiny_model.get_output_embeddings() is tiny_model.upsampler


@pytest.mark.slow
@pytest.mark.parametrize("source_encoder", SOURCE_ENCODERS)
def test_whole_network_is_exported_for_every_size_and_saved(source_encoder, tmp_path):
    model = build_tiny_model(source_encoder=source_encoder, color_size=64)
    free = torch.export.Dim.AUTO
    sizes = {0: free, 2: free, 3: free}
    with torch.no_grad():
        program = torch.export.export(
            model,
            (gray(3, 40, 36), color(3, 36, 44)),
            dynamic_shapes={"pixel_values": sizes, "reference_pixel_values": sizes},
        )
    torch.export.save(program, tmp_path / "scsnet.pt2")
    loaded = torch.export.load(tmp_path / "scsnet.pt2").module()
    inputs = gray(2, 44, 52), color(2, 60, 40)
    with torch.no_grad():
        actual = loaded(*inputs).reconstruction
    torch.testing.assert_close(actual, reconstruct(model, *inputs), atol=1e-4, rtol=1e-4)
