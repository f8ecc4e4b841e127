"""Colorizers and upscalers of other projects, loaded by name for cascades.

    gray                    a colorizer that leaves the image gray
    scsnet, scsnet:MODEL    a colorizer: this package at magnification 1; MODEL as for `scsnet`
    bicubic                 an upscaler: only the resizing at the end of every cascade
    transformers:MODEL      image-to-image model of transformers, such as Swin2SR
    diffusers:MODEL         upscaler of diffusers, such as StableDiffusionUpscalePipeline
    spandrel:FILE           what spandrel loads: ESRGAN, Real-ESRGAN, DDColor, ...
    ncnn:FILE.param         ncnn network, its weights beside it as FILE.bin
    onnx:FILE               ONNX network
    python:MODULE:NAME      a function from PIL image to PIL image
    command:WORDS           a shell command with {input} and {output}, paths of PNG files

Networks of spandrel, ncnn and ONNX get sRGB in [0, 1] as float32 (1, 3, H, W), or (1, 1, H, W)
where an ONNX network takes only that, and return the same at their own size. The package that a
model needs is imported when it is loaded.
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

from .pixels import Pixels


@dataclass(frozen=True)
class ExternalModel:
    """A part of a cascade.

    Args:
        run: from an RGB image to another of any size.
        parameters: of its network; None if unknown.

    Example:
        >>> ExternalModel(lambda image: image.resize((512, 512)), parameters=0)
    """

    run: Callable[[Image.Image], Image.Image]
    parameters: int | None = None

    def __call__(self, image: Image.Image) -> Image.Image:
        return self.run(image)


def load_external_model(name: str, device: str | torch.device = "cpu") -> ExternalModel:
    """Load a colorizer or upscaler by name; see the module.

    Args:
        name: KIND, or KIND:WHAT.
        device: of a PyTorch network.

    Raises:
        ValueError: for an unknown kind, or one without what it needs.
        ImportError: if the package of that kind is not installed.
    """
    kind, _, what = name.partition(":")
    if kind not in _KINDS:
        raise ValueError(f"model {name!r}: must be one of {', '.join(_KINDS)}")
    load, needs_argument = _KINDS[kind]
    if needs_argument and not what:
        raise ValueError(f"model {name!r}: must be followed by what to load, {kind}:...")
    return load(what, device)


def _unchanged(what: str, device) -> ExternalModel:
    return ExternalModel(lambda image: image, parameters=0)


def _gray(what: str, device) -> ExternalModel:
    return ExternalModel(lambda image: image.convert("L").convert("RGB"), parameters=0)


def _scsnet(what: str, device) -> ExternalModel:
    pipe = load_pipeline(what or DEFAULT_CHECKPOINT, device)
    return ExternalModel(lambda image: pipe(image, scale=1), pipe.model.automatic_parameters)


def _transformers(what: str, device) -> ExternalModel:
    from transformers import AutoImageProcessor, AutoModelForImageToImage

    processor = AutoImageProcessor.from_pretrained(what)
    network = AutoModelForImageToImage.from_pretrained(what).eval().to(device)

    @torch.no_grad()
    def run(image: Image.Image) -> Image.Image:
        pixels = processor(image, return_tensors="pt")["pixel_values"].to(device)
        upscaled = network(pixels).reconstruction[0].cpu()
        factor = upscaled.shape[-1] // pixels.shape[-1]
        upscaled = upscaled[:, : image.height * factor, : image.width * factor]  # without padding
        return load_image(upscaled.clamp(0, 1))

    return ExternalModel(run, network.num_parameters())


def _diffusers(what: str, device) -> ExternalModel:
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(what).to(device)
    pipe.set_progress_bar_config(disable=True)
    arguments = {"prompt": ""} if "prompt" in signature(pipe.__call__).parameters else {}

    def run(image: Image.Image) -> Image.Image:
        generator = torch.Generator("cpu").manual_seed(0)  # the same result in every run
        return pipe(image=image, generator=generator, **arguments).images[0]

    networks = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    return ExternalModel(run, sum(map(_count_parameters, networks)))


def _spandrel(what: str, device) -> ExternalModel:
    from spandrel import ModelLoader

    network = ModelLoader(device=device).load_from_file(what)

    @torch.no_grad()
    def run(image: Image.Image) -> Image.Image:
        return load_image(network(Pixels(image).rgb[None].to(device))[0].clamp(0, 1).cpu())

    return ExternalModel(run, _count_parameters(network.model))


def _ncnn(what: str, device) -> ExternalModel:
    import ncnn

    network = ncnn.Net()
    if network.load_param(what) or network.load_model(str(Path(what).with_suffix(".bin"))):
        raise ValueError(f"model ncnn:{what}: cannot be loaded")

    def run(image: Image.Image) -> Image.Image:
        # ncnn borrows the buffer, which has to outlive the extractor.
        pixels = np.ascontiguousarray(Pixels(image).rgb.numpy())
        mat = ncnn.Mat(pixels)
        extractor = network.create_extractor()
        extractor.input(network.input_names()[0], mat)
        _, output = extractor.extract(network.output_names()[0])
        return load_image(torch.from_numpy(np.array(output)).clamp(0, 1))

    return ExternalModel(run)


def _onnx(what: str, device) -> ExternalModel:
    import onnxruntime

    session = onnxruntime.InferenceSession(what, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    channels = source.shape[1]

    def run(image: Image.Image) -> Image.Image:
        pixels = Pixels(image.convert("L").convert("RGB") if channels == 1 else image)
        values = pixels.rgb[None, :channels].numpy()
        output = torch.from_numpy(session.run(None, {source.name: values})[0][0])
        return load_image(output.clamp(0, 1).expand(3, -1, -1))

    return ExternalModel(run)


def _python(what: str, device) -> ExternalModel:
    module, _, name = what.partition(":")
    return ExternalModel(getattr(import_module(module), name))


def _command(what: str, device) -> ExternalModel:
    words = shlex.split(what)
    if not all(any(place in word for word in words) for place in ("{input}", "{output}")):
        raise ValueError(f"model command:{what}: must contain {{input}} and {{output}}")

    def run(image: Image.Image) -> Image.Image:
        with tempfile.TemporaryDirectory() as folder:
            source, result = Path(folder, "input.png"), Path(folder, "output.png")
            image.save(source)
            command = [
                w.replace("{input}", str(source)).replace("{output}", str(result)) for w in words
            ]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode or not result.exists():
                raise ValueError(f"{words[0]}: exit code {done.returncode}, {done.stderr[-300:]}")
            return load_image(result).convert("RGB")

    return ExternalModel(run)


def _count_parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


_KINDS = {  # kind -> how it is loaded, and whether it needs an argument
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
