"""`SCSNetImageProcessor`: conversion of images to normalized Lab and back."""

import inspect

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.images import make_image
from scsnet_hf import ImageError, SCSNetImageProcessor
from scsnet_hf.modeling_scsnet import SCSNetOutput


@pytest.fixture
def processor() -> SCSNetImageProcessor:
    return SCSNetImageProcessor()


def wild_lab(height: int, width: int, batch: int = 1) -> torch.Tensor:
    """Normalized Lab that no network should make: any lightness, far outside sRGB."""
    generator = torch.Generator().manual_seed(1)
    return 4 * torch.rand(batch, 3, height, width, generator=generator) - 2


def gray_of(rgb: np.ndarray) -> np.ndarray:
    """The gray level as light as each pixel: luminance Y of IEC 61966-2-1, companded."""
    encoded = rgb / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126729, 0.7151522, 0.0721750]
    return 255 * np.where(y <= 0.0031308, 12.92 * y, 1.055 * y ** (1 / 2.4) - 0.055)


# Images to tensors


def test_source_becomes_one_channel_of_float32(processor):
    values = processor(make_image(13, 7))["pixel_values"]
    assert values.shape == (1, 1, 7, 13)
    assert values.dtype == torch.float32


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "CMYK", "I;16"])
def test_lightness_reaches_from_minus_one_to_one(processor, mode):
    black = Image.new("L", (4, 4), 0).convert(mode)
    white = Image.new("L", (4, 4), 255).convert(mode)
    if mode == "I;16":
        white = Image.new(mode, (4, 4), 65535)
    values = processor([black, white])["pixel_values"]
    torch.testing.assert_close(values[0], torch.full((1, 4, 4), -1.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(values[1], torch.full((1, 4, 4), 1.0), atol=1e-4, rtol=0)


def test_middle_of_the_lightness_is_gray_119(processor):
    values = processor(Image.new("L", (2, 2), 119))["pixel_values"]
    torch.testing.assert_close(values, torch.zeros(1, 1, 2, 2), atol=2e-3, rtol=0)


def test_color_of_the_source_does_not_matter_beyond_its_lightness(processor):
    image = make_image(16, 12)
    gray = Image.fromarray(gray_of(np.asarray(image)).round().astype(np.uint8))
    values = processor([image, gray])["pixel_values"]
    assert (values[0] - values[1]).abs().max() < 0.01


def test_alpha_of_the_source_is_left_out(processor):
    image = make_image(16, 12)
    transparent = image.copy()
    transparent.putalpha(0)
    values = processor([image, transparent])["pixel_values"]
    assert torch.equal(values[0], values[1])


def test_images_of_one_size_are_stacked(processor):
    values = processor([make_image(9, 7), make_image(9, 7, seed=1)])["pixel_values"]
    assert values.shape == (2, 1, 7, 9)


def test_images_of_different_sizes_stay_a_list(processor):
    values = processor([make_image(9, 7), make_image(5, 8)])["pixel_values"]
    assert [tuple(value.shape) for value in values] == [(1, 1, 7, 9), (1, 1, 8, 5)]


def test_without_references_there_are_no_reference_values(processor):
    assert set(processor(make_image(8, 8)).keys()) == {"pixel_values"}


def test_unreadable_image_is_refused_by_name(processor, tmp_path):
    with pytest.raises(ImageError, match=r"nothing\.png: no such file"):
        processor([make_image(8, 8), tmp_path / "nothing.png"])


def test_the_form_of_the_tensors_can_be_chosen(processor):
    images, references = [make_image(9, 7), make_image(9, 7, seed=1)], make_image(20, 10)
    expected, arrays, lists = (
        processor(images, references, return_tensors=form) for form in ("pt", "np", None)
    )
    for name, tensor in expected.items():
        assert isinstance(arrays[name], np.ndarray)
        assert isinstance(lists[name], list)
        assert np.array_equal(arrays[name], tensor.numpy())
        assert np.array_equal(lists[name], tensor.numpy())
    ragged = processor([make_image(9, 7), make_image(5, 8)], return_tensors="np")["pixel_values"]
    assert [values.shape for values in ragged] == [(1, 1, 7, 9), (1, 1, 8, 5)]
    with pytest.raises(ValueError, match="return_tensors='jax': choose one of 'pt', 'np', None"):
        processor(images, return_tensors="jax")


def test_arrays_and_tensors_may_be_batches_and_have_their_channels_anywhere(processor):
    last = np.stack([np.asarray(make_image(9, 7, seed=seed)) for seed in range(2)])
    first = last.transpose(0, 3, 1, 2)
    expected = processor(list(last), list(last))
    for batch, channels in (
        (last, None),
        (torch.tensor(first), None),
        (last, "channels_last"),
        (first, "channels_first"),
        (torch.tensor(last), "channels_last"),
        (list(first), "channels_first"),
    ):
        actual = processor(batch, batch, input_data_format=channels)
        assert all(torch.equal(actual[name], expected[name]) for name in expected)
    with pytest.raises(ValueError, match="input_data_format='CHW': choose one of channels_first"):
        processor(first, input_data_format="CHW")


def test_only_settings_that_have_an_effect_are_advertised(processor):
    assert set(processor.valid_kwargs.__annotations__) == {"reference_size"}
    assert inspect.signature(processor) == inspect.signature(processor.preprocess)
    with pytest.raises(TypeError, match="do_resize"):
        processor(make_image(8, 8), do_resize=True)


# References


def test_one_reference_serves_all_images(processor):
    batch = processor([make_image(8, 8), make_image(9, 7)], make_image(20, 10))
    assert batch["reference_pixel_values"].shape == (2, 3, 10, 20)
    assert torch.equal(*batch["reference_pixel_values"])
    assert batch["reference_mask"].tolist() == [True, True]


def test_every_image_may_have_a_reference_or_none(processor):
    images = [make_image(8, 8)] * 3
    references = [make_image(20, 10), None, make_image(6, 12)]
    batch = processor(images, references)
    assert batch["reference_mask"].tolist() == [True, False, True]
    assert batch["reference_pixel_values"][0].shape == (1, 3, 10, 20)
    assert batch["reference_pixel_values"][2].shape == (1, 3, 12, 6)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_wrong_number_of_references_is_refused(processor, count):
    with pytest.raises(ValueError, match=f"{count} reference images for 2 images"):
        processor([make_image(8, 8)] * 2, [make_image(8, 8)] * count)


def test_reference_is_normalized_lab(processor):
    blue = Image.new("RGB", (4, 4), (0, 0, 255))
    values = processor(make_image(8, 8), blue)["reference_pixel_values"]
    expected = torch.tensor([32.30 / 50 - 1, 79.19 / 110, -107.86 / 110])
    torch.testing.assert_close(values[0, :, 0, 0], expected, atol=1e-3, rtol=0)


def test_gray_reference_has_no_chroma(processor):
    values = processor(make_image(8, 8), make_image(8, 8, "L"))["reference_pixel_values"]
    assert values.shape == (1, 3, 8, 8)
    assert values[:, 1:].abs().max() == 0


@pytest.mark.parametrize(
    ("size", "expected"), [((600, 300), (32, 64)), ((30, 640), (64, 3)), ((64, 20), (20, 64))]
)
def test_large_reference_is_reduced_to_the_reference_size(size, expected):
    processor = SCSNetImageProcessor(reference_size=64)
    values = processor(make_image(8, 8), make_image(*size))["reference_pixel_values"]
    assert values.shape == (1, 3, *expected)


def test_callers_reference_is_not_reduced():
    reference = make_image(80, 40)
    SCSNetImageProcessor(reference_size=16)(make_image(8, 8), reference)
    assert reference.size == (80, 40)


# Tensors to images


def test_pil_is_the_default_output(processor):
    images = processor.post_process(wild_lab(7, 9, batch=2))
    assert [(image.mode, image.size) for image in images] == [("RGB", (9, 7))] * 2


def test_numpy_output_equals_pil(processor):
    (array,) = processor.post_process(wild_lab(7, 9), output_type="np")
    (image,) = processor.post_process(wild_lab(7, 9))
    assert array.dtype == np.uint8
    assert np.array_equal(array, np.asarray(image))


def test_tensor_output_is_the_image_before_rounding(processor):
    (tensor,) = processor.post_process(wild_lab(7, 9), output_type="pt")
    (image,) = processor.post_process(wild_lab(7, 9))
    assert tensor.shape == (3, 7, 9)
    assert tensor.min() >= 0
    assert tensor.max() <= 1
    expected = np.asarray(image).transpose(2, 0, 1)
    np.testing.assert_allclose(tensor.numpy() * 255, expected, atol=0.51)


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda lab: SCSNetOutput(reconstruction=lab), id="model output"),
        pytest.param(lambda lab: list(lab.split(1)), id="list"),
        pytest.param(lambda lab: lab.double(), id="double"),
    ],
)
def test_every_form_of_the_networks_output_is_taken(processor, wrap):
    lab = wild_lab(7, 9, batch=2)
    expected = processor.post_process(lab, output_type="np")
    actual = processor.post_process(wrap(lab), output_type="np")
    assert np.array_equal(actual, expected)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_reference_values_come_back_as_the_same_image(processor, mode):
    image = make_image(16, 12, mode)
    values = processor(image, image)["reference_pixel_values"]
    (back,) = processor.post_process(values, output_type="np")
    assert np.array_equal(back, np.asarray(image.convert("RGB")))


def test_saturation_zero_gives_equal_channels(processor):
    (array,) = processor.post_process(wild_lab(16, 12), saturation=0, output_type="np")
    assert np.array_equal(array[..., 0], array[..., 1])
    assert np.array_equal(array[..., 1], array[..., 2])


@pytest.mark.parametrize("saturation", [0, 0.5, 2])
def test_saturation_keeps_the_lightness(processor, saturation):
    lab = processor(make_image(8, 8), make_image(16, 12))["reference_pixel_values"]
    (plain,) = processor.post_process(lab, output_type="np")
    (changed,) = processor.post_process(lab, saturation=saturation, output_type="np")
    np.testing.assert_allclose(gray_of(changed), gray_of(plain), atol=1.5)


@pytest.mark.parametrize(("lightness", "level"), [(-1.0, 0), (1.0, 255)])
@pytest.mark.parametrize("saturation", [1.0, 3.0])
def test_black_stays_black_and_white_stays_white(processor, lightness, level, saturation):
    lab = wild_lab(8, 8)
    lab[:, 0] = lightness
    (array,) = processor.post_process(lab, saturation=saturation, output_type="np")
    assert (array == level).all()


def test_source_luminance_at_scale_one_is_the_sources_gray(processor):
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    values = processor(image)["pixel_values"]
    (array,) = processor.post_process(
        wild_lab(16, 16), luminance="source", pixel_values=values, output_type="np"
    )
    assert abs(gray_of(array) - np.asarray(image)).max() <= 1


def test_source_luminance_without_chroma_is_exactly_the_source(processor):
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    values = processor(image)["pixel_values"]
    (array,) = processor.post_process(
        wild_lab(16, 16), saturation=0, luminance="source", pixel_values=values, output_type="np"
    )
    assert np.array_equal(array, np.asarray(image.convert("RGB")))


def test_source_luminance_is_enlarged_to_the_output(processor):
    values = processor([Image.new("L", (5, 6), level) for level in (60, 200)])["pixel_values"]
    arrays = processor.post_process(
        wild_lab(15, 13, batch=2), luminance="source", pixel_values=values, output_type="np"
    )
    for array, level in zip(arrays, (60, 200), strict=True):
        assert array.shape == (15, 13, 3)
        np.testing.assert_allclose(gray_of(array), level, atol=1)


def test_source_luminance_takes_lists_of_different_sizes(processor):
    values = processor([make_image(5, 6), make_image(9, 4)])["pixel_values"]
    outputs = [wild_lab(12, 10), wild_lab(8, 18)]
    images = processor.post_process(outputs, luminance="source", pixel_values=values)
    assert [image.size for image in images] == [(10, 12), (18, 8)]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"luminance": "mine"}, "luminance='mine'"),
        ({"output_type": "jax"}, "output_type='jax'"),
        ({"luminance": "source"}, "needs the pixel_values"),
    ],
)
def test_bad_argument_is_refused_by_name(processor, arguments, named):
    with pytest.raises(ValueError, match=named):
        processor.post_process(wild_lab(4, 4), **arguments)


def test_post_process_leaves_its_argument_alone(processor):
    lab = wild_lab(8, 8)
    processor.post_process(lab, saturation=0.5)
    assert torch.equal(lab, wild_lab(8, 8))


def test_save_and_load_keep_the_reference_size(tmp_path):
    SCSNetImageProcessor(reference_size=99).save_pretrained(tmp_path)
    assert SCSNetImageProcessor.from_pretrained(tmp_path).reference_size == 99


def test_network_lightness_agrees_with_the_source():
    processor = SCSNetImageProcessor()
    lightness = processor(make_image(24, 16, "L")).pixel_values
    wrong = torch.nn.functional.interpolate(lightness, (48, 72), mode="nearest") + 0.1
    outputs = torch.cat((wrong, torch.zeros(1, 2, 48, 72)), dim=1)
    (loose,) = processor.post_process(outputs)
    (bound,) = processor.post_process(outputs, pixel_values=lightness)
    errors = [
        (processor(image.resize((24, 16), Image.Resampling.BICUBIC)).pixel_values - lightness)
        for image in (loose, bound)
    ]
    assert errors[1].abs().mean() < 0.2 * errors[0].abs().mean()


def test_at_scale_one_the_lightness_is_the_source_s():
    torch.manual_seed(0)
    lightness = torch.rand(1, 1, 8, 8) * 1.8 - 0.9
    outputs = torch.cat((lightness + 0.2, 0.3 * torch.randn(1, 2, 8, 8)), dim=1)
    processor = SCSNetImageProcessor()
    (image,) = processor.post_process(outputs, pixel_values=lightness)
    assert (processor(image).pixel_values - lightness).abs().max() < 1 / 50
