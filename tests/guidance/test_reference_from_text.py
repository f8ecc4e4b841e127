"""References generated from a text, by tiny text-to-image pipelines with random weights."""

import importlib
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import (
    ControlNetModel,
    DDPMPipeline,
    DiffusionPipeline,
    ImagePipelineOutput,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)
from PIL import Image, ImageChops

from helpers.images import make_image
from helpers.tiny_diffusion import tiny_components
from scsnet_hf import ImageError, SCSNetImageProcessor
from scsnet_hf.guidance.reference_from_text import ReferenceFromTextPipeline

NATIVE_SIDE = 32  # pixels: 16 latent pixels, and an autoencoder that halves once
GRAY = make_image(24, 16, "L")
OTHER_GRAY = make_image(24, 16, "L", seed=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """On a busy machine, threads of networks this small do little but wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def components():
    return tiny_components()


@pytest.fixture(scope="module")
def controlnet(components):
    torch.manual_seed(1)
    network = ControlNetModel.from_unet(
        components["unet"], conditioning_embedding_out_channels=(8, 16)
    )
    with torch.no_grad():
        for parameter in network.parameters():  # those that start at zero as well
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.fixture(scope="module")
def around(tiny_pipe):
    """Make our pipeline around one of diffusers."""

    def make(text_to_image) -> ReferenceFromTextPipeline:
        pipe = ReferenceFromTextPipeline(text_to_image, tiny_pipe.model, SCSNetImageProcessor())
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make


@pytest.fixture(scope="module")
def by_text(around, components):
    return around(StableDiffusionPipeline(**components))


@pytest.fixture(scope="module")
def by_structure(around, components, controlnet):
    return around(StableDiffusionControlNetPipeline(**components, controlnet=controlnet))


@pytest.fixture(scope="module")
def saved(tmp_path_factory, by_structure):
    folder = tmp_path_factory.mktemp("saved")
    by_structure.save_pretrained(folder)
    return folder


class Painter(DiffusionPipeline):
    """Paints a plain image of the size asked for; its attributes are a test's."""

    def __init__(self, **attributes):
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)

    def __call__(self, prompt, height, width, generator):
        return ImagePipelineOutput(images=[Image.new("RGB", (width, height), prompt)])


def denoiser(sample_size) -> SimpleNamespace:
    return SimpleNamespace(config={"sample_size": sample_size})


def paint(pipe, image=GRAY, prompt="a red tram", **arguments):
    return pipe(image, prompt, **{"num_inference_steps": 2, "scale": 2, **arguments})


def counting(steps: list[int]) -> dict:
    """Arguments with which the denoising steps are noted in `steps`."""

    def note(_pipe, step, _timestep, tensors):
        steps.append(step)
        return tensors

    return {"text_to_image_arguments": {"callback_on_step_end": note}}


def equal(one, other) -> bool:
    """Whether two images, or two outputs, are the same in every pixel."""
    if not isinstance(one, Image.Image):
        pairs = zip(one.images + one.references, other.images + other.references, strict=True)
        return all(equal(*pair) for pair in pairs)
    return np.array_equal(np.asarray(one), np.asarray(other))


class TestSizes:
    @pytest.mark.parametrize("size", [(30, 30), (60, 30), (30, 60), (3, 5)])
    def test_a_reference_has_the_aspect_ratio_and_the_area_of_the_generator(self, by_text, size):
        (reference,) = paint(by_text, make_image(*size, "L")).references
        width, height = reference.size
        assert width % 8 == height % 8 == 0
        assert width / height == pytest.approx(size[0] / size[1], rel=0.15)
        assert width * height == pytest.approx(NATIVE_SIDE**2, rel=0.15)

    @pytest.mark.parametrize(
        ("attributes", "side"),
        [
            ({"default_sample_size": 128, "vae_scale_factor": 8}, 1024),
            ({"transformer": denoiser(128), "vae_scale_factor": 8}, 1024),
            ({"transformer": denoiser((32, 128)), "vae_scale_factor": 8}, 512),
            ({"transformer": denoiser(32), "vae_scale_factor": 32}, 1024),
            ({"vae_scale_factor": 8}, 1024),
            ({"unet": denoiser(64)}, 512),
        ],
    )
    def test_every_kind_of_generator_gets_sides_that_it_takes(self, around, attributes, side):
        pipe = around(Painter(**attributes))
        step = 2 * attributes.get("vae_scale_factor", 8)
        for image in (Image.new("L", (16, 16)), Image.new("L", (37, 23))):
            output = pipe(image, "red", scale=1)
            width, height = output.references[0].size
            assert width % step == height % step == 0
            assert width * height == pytest.approx(side**2, rel=0.05)

    def test_a_reference_of_a_very_long_image_has_pixels(self, by_text):
        assert paint(by_text, Image.new("L", (300, 1)), scale=1).references[0].height == 8

    def test_the_size_of_the_reference_can_be_given(self, by_structure):
        given = {"text_to_image_arguments": {"width": 48, "height": 16}}
        assert paint(by_structure, **given).references[0].size == (48, 16)

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ({"scale": 1.5}, (36, 24)),
            ({"scale": None, "size": (31, 17)}, (31, 17)),
            ({"scale": None, "long_side": 60}, (60, 40)),
            ({"scale": None}, (96, 64)),
        ],
    )
    def test_the_image_has_the_size_asked_for(self, by_text, asked, expected):
        assert paint(by_text, **asked).images[0].size == expected


class TestVersions:
    def test_a_seed_gives_the_same_again(self, by_text):
        assert equal(paint(by_text, seed=3), paint(by_text, seed=3))

    def test_other_seeds_give_others(self, by_text):
        output = paint(by_text, seed=[3, 4])
        assert not equal(*output.references)
        assert not equal(*output.images)

    def test_other_prompts_give_others(self, by_text):
        assert not equal(*paint(by_text, prompt=["a red tram", "blue"]).references)

    @pytest.mark.parametrize(
        ("prompts", "seeds"),
        [
            (["red", "green", "blue"], 5),
            ("red", [5, 6, 7]),
            (["red", "green", "blue"], [5, 6, 7]),
        ],
    )
    def test_a_version_made_alone_is_the_one_made_with_others(self, by_text, prompts, seeds):
        together = paint(by_text, prompt=prompts, seed=seeds)
        assert len(together.images) == len(together.references) == 3
        prompt = prompts if isinstance(prompts, str) else prompts[1]
        alone = paint(by_text, prompt=prompt, seed=seeds if isinstance(seeds, int) else seeds[1])
        assert equal(alone.images[0], together.images[1])
        assert equal(alone.references[0], together.references[1])

    @pytest.mark.parametrize(
        "arguments",
        [
            {"negative_prompt": "snow"},
            {"num_inference_steps": 3},
            {"text_to_image_arguments": {"guidance_scale": 30.0}},
        ],
    )
    def test_arguments_for_the_generator_have_an_effect(self, by_text, arguments):
        assert not equal(paint(by_text, **arguments).references[0], paint(by_text).references[0])

    def test_the_steps_are_those_asked_for(self, by_text):
        steps = []
        paint(by_text, num_inference_steps=3, **counting(steps))
        assert len(steps) == 3


class TestConventions:
    """What users of other pipelines of diffusers expect."""

    def test_a_generator_takes_the_place_of_the_seed(self, by_text):
        generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
        assert equal(paint(by_text, generator=generators), paint(by_text, seed=[3, 4]))
        assert equal(
            paint(by_text, generator=torch.Generator().manual_seed(3)), paint(by_text, seed=3)
        )
        with pytest.raises(ValueError, match="3 prompts and 2 seeds or generators"):
            paint(by_text, prompt=["a", "b", "c"], generator=generators)

    def test_a_prompt_can_have_several_images(self, by_text):
        output = paint(by_text, prompt=["red", "blue"], num_images_per_prompt=2)
        assert len(output.images) == len(output.references) == 4
        assert not equal(*output.references[:2])
        alone = paint(by_text, prompt="blue", num_images_per_prompt=2)
        assert all(map(equal, alone.references, output.references[2:]))
        with pytest.raises(ValueError, match="num_images_per_prompt: 0"):
            paint(by_text, num_images_per_prompt=0)

    def test_the_output_has_the_form_asked_for(self, by_text):
        (image,), _ = paint(by_text, return_dict=False)
        array = paint(by_text, output_type="np").images
        tensor = paint(by_text, output_type="pt").images
        assert (array.shape, array.dtype) == ((1, 32, 48, 3), np.float32)
        assert np.array_equal((array[0] * 255).round(), np.asarray(image))
        assert torch.equal(tensor, torch.tensor(array).permute(0, 3, 1, 2))
        with pytest.raises(ValueError, match="output_type='latent': choose pil, np, pt"):
            paint(by_text, output_type="latent")

    def test_a_callback_sees_every_step_and_the_tensors_asked_for(self, by_text):
        seen = []

        def note(_pipe, step, _timestep, tensors):
            seen.append((step, sorted(tensors)))
            return tensors

        names = ["latents", "prompt_embeds"]
        paint(by_text, callback_on_step_end=note, callback_on_step_end_tensor_inputs=names)
        assert seen == [(0, names), (1, names)]

    def test_offloading_models_changes_no_image(self, around, components):
        pipe = around(StableDiffusionPipeline(**components))
        expected = paint(pipe)
        pipe.enable_model_cpu_offload(device="cpu")
        assert equal(paint(pipe), expected)
        pipe.text_to_image.remove_all_hooks()


class TestColors:
    @pytest.mark.parametrize(
        "colorization",
        [
            {"scale": 2.0},
            {"size": (40, 30), "reference_strength": 0.5, "saturation": 2.0},
            {"long_side": 48, "luminance": "source", "tile_size": 8},
        ],
    )
    def test_they_are_those_of_the_reference(self, by_text, tiny_pipe, colorization):
        output = paint(by_text, seed=[1, 2], **{"scale": None, **colorization})
        for image, reference in zip(output.images, output.references, strict=True):
            assert equal(image, tiny_pipe(GRAY, reference=reference, **colorization))
            assert not equal(image, tiny_pipe(GRAY, **colorization))

    def test_the_reference_is_what_the_generator_made(self, around):
        output = around(Painter())(GRAY, ["red", "blue"])
        colors = [reference.getcolors() for reference in output.references]
        assert [color for ((_, color),) in colors] == [(255, 0, 0), (0, 0, 255)]

    def test_at_strength_0_they_are_automatic(self, by_text, tiny_pipe):
        output = paint(by_text, reference_strength=0)
        assert equal(output.images[0], tiny_pipe(GRAY, scale=2))

    def test_transparency_is_kept(self, by_structure):
        alpha = make_image(24, 16, "L", seed=2)
        transparent = GRAY.copy()
        transparent.putalpha(alpha)
        (image,) = paint(by_structure, transparent, scale=1).images
        assert equal(image.getchannel("A"), alpha)
        assert equal(image.convert("RGB"), paint(by_structure, scale=1).images[0])

    def test_a_file_is_read(self, by_structure, tmp_path):
        GRAY.save(tmp_path / "gray.png")
        assert equal(paint(by_structure, tmp_path / "gray.png"), paint(by_structure))


class TestStructure:
    @pytest.mark.parametrize(
        "pipeline_class",
        [
            StableDiffusionControlNetPipeline,
            StableDiffusionControlNetImg2ImgPipeline,
            StableDiffusionImg2ImgPipeline,
        ],
    )
    def test_another_image_gives_another_reference(
        self, around, components, controlnet, pipeline_class
    ):
        has_control = pipeline_class is not StableDiffusionImg2ImgPipeline
        control = {"controlnet": controlnet} if has_control else {}
        pipe = around(pipeline_class(**components, **control))
        (one,), (other,) = (paint(pipe, gray).references for gray in (GRAY, OTHER_GRAY))
        assert one.size == other.size == (40, 24)
        assert not equal(one, other)

    def test_without_structure_only_the_text_counts(self, by_text):
        one, other = (paint(by_text, gray) for gray in (GRAY, OTHER_GRAY))
        assert equal(one.references[0], other.references[0])
        assert not equal(one.images[0], other.images[0])

    def test_the_controlnet_sees_the_image_as_it_is(self, by_structure, controlnet):
        image = Image.new("L", (24, 16))
        image.paste(255, (12, 0, 24, 16))
        seen = []
        embedding = controlnet.controlnet_cond_embedding
        hook = embedding.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        with hook:
            (reference,) = paint(by_structure, image).references
        left, right = seen[0].chunk(2, dim=-1)
        assert seen[0].shape[-3:] == (3, reference.height, reference.width)
        assert left.mean() < 0.05
        assert right.mean() > 0.95

    def test_colors_of_the_image_do_not_affect_the_reference(self, by_structure):
        colored = make_image(24, 16)
        assert ImageChops.difference(colored, colored.convert("L").convert("RGB")).getbbox()
        references = (paint(by_structure, p).references[0] for p in (colored, colored.convert("L")))
        assert equal(*references)


class TestSafetyChecker:
    @pytest.fixture
    def suspicious(self, by_text, monkeypatch):
        """A safety checker that withholds every second image."""
        verdicts = iter([False, True] * 2)

        def check(image, device, dtype):
            flagged = next(verdicts)
            return image * (not flagged), [flagged]

        monkeypatch.setattr(by_text.text_to_image, "run_safety_checker", check)

    def test_a_withheld_reference_leaves_automatic_colors(self, by_text, suspicious, tiny_pipe):
        output = paint(by_text, seed=[1, 2, 3])
        assert [reference is None for reference in output.references] == [False, True, False]
        assert equal(output.images[1], tiny_pipe(GRAY, scale=2))

    def test_the_others_do_not_change(self, by_text, suspicious, monkeypatch):
        checked = paint(by_text, seed=[1, 2, 3])
        monkeypatch.undo()
        for index, seed in ((0, 1), (2, 3)):
            assert equal(checked.images[index], paint(by_text, seed=seed).images[0])

    def test_a_warning_names_the_prompt_and_the_seed(self, by_text, suspicious, caplog):
        paint(by_text, prompt=["red", "green"], seed=[1, 2])
        (message,) = (m for m in caplog.messages if "safety checker" in m)
        assert "'green'" in message
        assert "seed 2" in message


class TestMistakes:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"scale": 99}, "scale=99"),
            ({"scale": 2, "long_side": 50}, "only one of"),
            ({"saturation": -1}, "saturation=-1"),
            ({"luminance": "none"}, "luminance='none'"),
            ({"tile_size": 0}, "tile_size"),
            ({"reference_strength": 2}, "reference_strength=2"),
            ({"prompt": ["a", "b", "c"], "seed": [1, 2]}, "3 prompts and 2 seeds"),
            ({"prompt": ["a", "b"], "seed": [1, 2, 3]}, "2 prompts and 3 seeds"),
            ({"prompt": []}, "0 prompts and 1 seeds"),
        ],
    )
    def test_they_are_found_before_anything_is_generated(self, by_text, wrong, message):
        steps = []
        with pytest.raises(ValueError, match=message):
            paint(by_text, **wrong, **counting(steps))
        assert steps == []

    def test_so_is_an_image_that_cannot_be_read(self, by_text, tmp_path):
        steps = []
        with pytest.raises(ImageError, match=r"missing\.png"):
            paint(by_text, tmp_path / "missing.png", **counting(steps))
        assert steps == []

    def test_a_pipeline_without_prompt_is_refused(self, around, components):
        unprompted = DDPMPipeline(components["unet"], components["scheduler"])
        with pytest.raises(TypeError, match="DDPMPipeline has no argument 'prompt'"):
            around(unprompted)

    def test_without_diffusers_the_message_says_what_to_install(self, monkeypatch):
        name = "scsnet_hf.guidance.reference_from_text"
        monkeypatch.setitem(sys.modules, "diffusers", None)
        monkeypatch.delitem(sys.modules, name)
        without_diffusers = importlib.import_module(name).ReferenceFromTextPipeline
        with pytest.raises(ImportError, match=r"pip install 'scsnet_hf\[train\]'"):
            without_diffusers(None, None, None)
        with pytest.raises(ImportError, match=r"pip install 'scsnet_hf\[train\]'"):
            without_diffusers.from_pretrained("folder")


class TestSaving:
    @pytest.fixture
    def loaded(self, saved):
        return ReferenceFromTextPipeline.from_pretrained(saved)

    def test_each_component_has_a_folder(self, saved):
        assert {path.name for path in saved.iterdir() if path.is_dir()} == {
            "text_to_image",
            "model",
            "image_processor",
        }
        assert (saved / "text_to_image" / "controlnet").is_dir()

    def test_what_is_loaded_gives_the_same_images(self, loaded, by_structure):
        assert isinstance(loaded.text_to_image, StableDiffusionControlNetPipeline)
        versions = {"prompt": ["red", "green"], "seed": [1, 2]}
        assert equal(paint(loaded, **versions), paint(by_structure, **versions))

    def test_number_format_and_variant_reach_every_component(self, by_text, tmp_path):
        by_text.save_pretrained(tmp_path, variant="half")
        with pytest.raises(OSError, match=r"diffusion_pytorch_model|no file"):
            ReferenceFromTextPipeline.from_pretrained(tmp_path)
        loaded = ReferenceFromTextPipeline.from_pretrained(
            tmp_path, variant="half", dtype=torch.bfloat16
        )
        inner = loaded.text_to_image
        modules = (loaded.model, inner.unet, inner.vae, inner.text_encoder)
        assert {module.dtype for module in modules} == {torch.bfloat16}

    def test_components_can_be_given(self, saved, by_text):
        loaded = ReferenceFromTextPipeline.from_pretrained(
            saved, text_to_image=by_text.text_to_image, model=by_text.model
        )
        assert loaded.text_to_image is by_text.text_to_image
        assert loaded.model is by_text.model

    def test_diffusers_loads_it_as_a_custom_pipeline(self, saved, by_structure):
        loaded = DiffusionPipeline.from_pretrained(
            saved, custom_pipeline=str(saved), trust_remote_code=True
        )
        assert isinstance(loaded, ReferenceFromTextPipeline)
        assert equal(paint(loaded), paint(by_structure))

    def test_a_setting_of_the_image_processor_is_kept(self, by_text, tmp_path):
        processor = SCSNetImageProcessor(reference_size=16)
        pipe = ReferenceFromTextPipeline(by_text.text_to_image, by_text.model, processor)
        pipe.save_pretrained(tmp_path)
        again = ReferenceFromTextPipeline.from_pretrained(tmp_path)
        assert again.image_processor.reference_size == 16

    def test_moving_it_moves_every_component(self, loaded):
        assert loaded.to(torch.float64) is loaded
        inner = loaded.text_to_image
        moved = (loaded.model, inner.unet, inner.vae, inner.text_encoder, inner.controlnet)
        assert {module.dtype for module in moved} == {torch.float64}

    def test_the_progress_bar_can_be_hidden(self, loaded, capsys):
        paint(loaded)
        assert "2/2" in capsys.readouterr().err
        loaded.set_progress_bar_config(disable=True)
        paint(loaded)
        assert "2/2" not in capsys.readouterr().err
