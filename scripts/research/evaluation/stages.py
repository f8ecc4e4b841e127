"""Stages of cascades: what colorizes an image and what enlarges it, each by a name.

    gray                    a colorizer that leaves the image gray
    scsnet, scsnet:MODEL    a colorizer: this package at magnification 1; MODEL as for `scsnet`
    bicubic                 an upscaler: nothing but the resizing that ends every cascade
    transformers:MODEL      image-to-image model of transformers, such as Swin2SR
    diffusers:MODEL         upscaler of diffusers, such as StableDiffusionUpscalePipeline
    spandrel:FILE           what spandrel loads: ESRGAN, Real-ESRGAN, DDColor, ...
    ncnn:FILE.param         ncnn network, its weights beside it as FILE.bin
    onnx:FILE               ONNX network
    python:MODULE:NAME      a function from PIL image to PIL image
    command:WORDS           a shell command with {input} and {output}, paths of PNG files

Networks of spandrel, ncnn and ONNX get sRGB in [0, 1] as float32 (1, 3, H, W), or (1, 1, H, W)
where that is all an ONNX network takes, and give the same at their own size. Packages that a stage
needs are imported when it is loaded.
"""

import shlex
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scsnet_hf.image_io import load_image
from scsnet_hf.registration import DEFAULT_CHECKPOINT, load_pipeline

from .pixels import Pixels, image_of_rgb


@dataclass(frozen=True)
class Stage:
    """What a cascade is made of.

    Args:
        run: from an RGB image to another, of any size.
        parameters: of its network; None if that is not known.
    """

    run: Callable[[Image.Image], Image.Image]
    parameters: int | None = None

    def __call__(self, image: Image.Image) -> Image.Image:
        return self.run(image)


def load_stage(name: str, device: str | torch.device = "cpu") -> Stage:
    """The stage of a name; see the module.

    Args:
        name: KIND, or KIND:WHAT.
        device: where a network of PyTorch runs.

    Raises:
        ValueError: for a kind that is not known, or one without what it needs.
        ImportError: where the package of that kind is missing.
    """
    kind, _, what = name.partition(":")
    if kind not in _KINDS:
        raise ValueError(f"stage {name!r}: must be one of {', '.join(_KINDS)}")
    load, needs_more = _KINDS[kind]
    if needs_more and not what:
        raise ValueError(f"stage {name!r}: must be followed by what to load, {kind}:...")
    return load(what, device)


def _unchanged(what: str, device) -> Stage:
    return Stage(lambda image: image, parameters=0)


def _gray(what: str, device) -> Stage:
    return Stage(lambda image: image.convert("L").convert("RGB"), parameters=0)


def _scsnet(what: str, device) -> Stage:
    pipe = load_pipeline(what or DEFAULT_CHECKPOINT, device)
    return Stage(lambda image: pipe(image, scale=1), pipe.model.automatic_parameters)


def _transformers(what: str, device) -> Stage:
    from transformers import AutoImageProcessor, AutoModelForImageToImage

    processor = AutoImageProcessor.from_pretrained(what)
    network = AutoModelForImageToImage.from_pretrained(what).eval().to(device)

    @torch.no_grad()
    def run(image: Image.Image) -> Image.Image:
        pixels = processor(image, return_tensors="pt")["pixel_values"].to(device)
        made = network(pixels).reconstruction[0].cpu()
        factor = made.shape[-1] // pixels.shape[-1]
        made = made[:, : image.height * factor, : image.width * factor]  # without padding
        return image_of_rgb(made.clamp(0, 1))

    return Stage(run, network.num_parameters())


def _diffusers(what: str, device) -> Stage:
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(what).to(device)
    pipe.set_progress_bar_config(disable=True)
    arguments = {"prompt": ""} if "prompt" in signature(pipe.__call__).parameters else {}

    def run(image: Image.Image) -> Image.Image:
        generator = torch.Generator("cpu").manual_seed(0)  # the same result in every run
        return pipe(image=image, generator=generator, **arguments).images[0]

    networks = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    return Stage(run, sum(map(_count_parameters, networks)))


def _spandrel(what: str, device) -> Stage:
    from spandrel import ModelLoader

    network = ModelLoader(device=device).load_from_file(what)

    @torch.no_grad()
    def run(image: Image.Image) -> Image.Image:
        return image_of_rgb(network(Pixels(image).rgb[None].to(device))[0].clamp(0, 1).cpu())

    return Stage(run, _count_parameters(network.model))


def _ncnn(what: str, device) -> Stage:
    import ncnn

    network = ncnn.Net()
    if network.load_param(what) or network.load_model(str(Path(what).with_suffix(".bin"))):
        raise ValueError(f"stage ncnn:{what}: cannot be loaded")

    def run(image: Image.Image) -> Image.Image:
        # The buffer is borrowed, not copied: it has to outlive the extractor.
        pixels = np.ascontiguousarray(Pixels(image).rgb.numpy())
        given = ncnn.Mat(pixels)
        extractor = network.create_extractor()
        extractor.input(network.input_names()[0], given)
        _, made = extractor.extract(network.output_names()[0])
        return image_of_rgb(torch.from_numpy(np.array(made)).clamp(0, 1))

    return Stage(run)


def _onnx(what: str, device) -> Stage:
    import onnxruntime

    session = onnxruntime.InferenceSession(what, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    channels = given.shape[1]

    def run(image: Image.Image) -> Image.Image:
        pixels = Pixels(image.convert("L").convert("RGB") if channels == 1 else image)
        values = pixels.rgb[None, :channels].numpy()
        made = torch.from_numpy(session.run(None, {given.name: values})[0][0])
        return image_of_rgb(made.clamp(0, 1).expand(3, -1, -1))

    return Stage(run)


def _python(what: str, device) -> Stage:
    module, _, name = what.partition(":")
    return Stage(getattr(import_module(module), name))


def _command(what: str, device) -> Stage:
    words = shlex.split(what)
    if not all(any(place in word for word in words) for place in ("{input}", "{output}")):
        raise ValueError(f"stage command:{what}: must hold {{input}} and {{output}}")

    def run(image: Image.Image) -> Image.Image:
        with tempfile.TemporaryDirectory() as folder:
            given, made = Path(folder, "input.png"), Path(folder, "output.png")
            image.save(given)
            filled = [
                w.replace("{input}", str(given)).replace("{output}", str(made)) for w in words
            ]
            done = subprocess.run(filled, capture_output=True, text=True)
            if done.returncode or not made.exists():
                raise ValueError(f"{words[0]}: exit code {done.returncode}, {done.stderr[-300:]}")
            return load_image(made).convert("RGB")

    return Stage(run)


def _count_parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


_KINDS = {  # kind: how it is loaded, and whether it has to be told what
    "gray": (_gray, False),
    "scsnet": (_scsnet, False),
    "bicubic": (_unchanged, False),
    "transformers": (_transformers, True),
    "diffusers": (_diffusers, True),
    "spandrel": (_spandrel, True),
    "ncnn": (_ncnn, True),
    "onnx": (_onnx, True),
    "python": (_python, True),
    "command": (_command, True),
}
