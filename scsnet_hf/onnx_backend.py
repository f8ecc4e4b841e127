"""ONNX Runtime on the CPU in place of PyTorch: `SCSNetOnnxModel`, `backend="onnx"` of the pipeline.

onnxruntime is imported when the first graph is loaded.
"""

import hashlib
import os
import shutil
from pathlib import Path

import torch
from huggingface_hub import cached_assets_path
from safetensors.torch import save
from transformers import PreTrainedModel
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import cached_file, logging

from .attention import FusedFeatures, Tokens
from .configuration_scsnet import SCSNetOnnxConfig
from .modeling_scsnet import (
    HEAD_REACH,
    SCSNetFeatures,
    check_takes_references,
    halo_of,
    to_working_size,
    working_size,
)
from .onnx_export import export_onnx
from .pixel_mapping import PixelGrid, resize_to
from .tiling import source_interval

logger = logging.get_logger(__name__)

_PARTS = ("color", "reference", "texture", "pixels")
_OF_THE_HUB = {"cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token"}
_BLOCK_PIXELS = 2**16  # output pixels at once: activations of 64 channels take 16 MB each


def uses_onnx(model) -> bool:
    """Whether it is an `SCSNetOnnxModel`, also one of code that came from the Hub."""
    return model.config.model_type == SCSNetOnnxConfig.model_type


class SCSNetOnnxModel(PreTrainedModel):
    """The parts of an exported SCSNet, called as those of `SCSNetForImageToImage` are.

    It runs on the CPU, in float32, and cannot be trained.

    Args:
        config: of the exported network.
        files: the graph of every part.

    Raises:
        ImportError: if onnxruntime is not installed.
        OSError: if a file is no graph that ONNX Runtime can run.
    """

    config_class = SCSNetOnnxConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: SCSNetOnnxConfig, files: dict[str, Path]):
        super().__init__(config)
        self._files = files
        self._sessions = {part: _session(file) for part, file in files.items()}

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path,
        config: SCSNetOnnxConfig | None = None,
        dtype: str | torch.dtype | None = None,
        **kwargs,
    ) -> "SCSNetOnnxModel":
        """Load a folder that `export_onnx` made, or a repository of the Hub with its files.

        Args:
            pretrained_model_name_or_path: folder or Hub id.
            config: read from there if it is not given.
            dtype: only float32, or "auto".
            **kwargs: `revision`, `token` and the like say how to find it; what only concerns
                PyTorch is ignored.

        Raises:
            ValueError: for another number format.
        """
        if dtype not in (None, "auto", "float32", torch.float32):
            raise ValueError(f"dtype={dtype}: ONNX graphs take and give float32 here")
        where = {name: value for name, value in kwargs.items() if name in _OF_THE_HUB}
        if config is None:
            config = cls.config_class.from_pretrained(pretrained_model_name_or_path, **where)
        parts = [p for p in _PARTS if p != "reference" or config.cross_attention != "none"]
        name = str(pretrained_model_name_or_path)
        found = (cached_file(name, f"{part}.onnx", **where) for part in parts)
        return cls(config, dict(zip(parts, map(Path, found), strict=True)))

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs) -> None:
        """Copy the graphs, the configuration and the code that runs without this package."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        for part, file in self._files.items():
            target = folder / f"{part}.onnx"
            if not (target.exists() and target.samefile(file)):
                shutil.copyfile(file, target)
        custom_object_save(self, folder, config=self.config)
        self.config.save_pretrained(folder)

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """float32."""
        return torch.float32

    @property
    def halo(self) -> int:
        """As that of `SCSNetForImageToImage`."""
        return halo_of(self.config)

    def working_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """As that of `SCSNetForImageToImage`."""
        return working_size(size, self.config.color_size)

    def encode_reference(self, reference_pixel_values: torch.Tensor) -> Tokens:
        """As that of `SCSNetForImageToImage`."""
        check_takes_references(self.config)
        working = to_working_size(reference_pixel_values.float(), self.config.color_size)
        return tuple(self._run("reference", {"reference_pixel_values": working}).values())

    def encode_color(
        self,
        pixel_values: torch.Tensor,
        reference_tokens: Tokens | None = None,
        reference_mask: torch.Tensor | None = None,
        reference_strength: float = 1.0,
        output_attentions: bool = False,
    ) -> FusedFeatures:
        """As that of `SCSNetForImageToImage`."""
        working = to_working_size(pixel_values.float(), self.config.color_size)
        inputs = {"pixel_values": working}
        if self.config.cross_attention != "none":
            inputs |= self._guidance(
                len(working), reference_tokens, reference_mask, reference_strength
            )
        with_maps = output_attentions and reference_tokens is not None
        outputs = self._run("color", inputs, None if with_maps else ["color_features"])
        attentions, valves = (
            tuple(values for name, values in outputs.items() if name.startswith(kind))
            for kind in ("attentions", "valves")
        )
        return FusedFeatures(outputs["color_features"], attentions, valves)

    def _guidance(
        self,
        batch: int,
        tokens: Tokens | None,
        mask: torch.Tensor | None,
        strength: float,
    ) -> dict[str, torch.Tensor]:
        """What the colour graph is to know of references, for every item of a batch."""
        names = [i.name for i in self._sessions["color"].get_inputs() if "tokens" in i.name]
        if tokens is None:  # the automatic mode: any tokens will do, at strength 0
            tokens = [torch.zeros(1, 1, self.config.token_size)] * len(names)
            strength = 0.0
        strengths = torch.full((batch,), float(strength))
        if mask is not None:
            strengths = strengths * mask
        tokens = (level.expand(batch, -1, -1) for level in tokens)
        return {"reference_strength": strengths, **dict(zip(names, tokens, strict=True))}

    def describe(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Not exported.

        Raises:
            ValueError: always.
        """
        raise ValueError("pictures are compared by the PyTorch model only: leave out the backend")

    def encode_texture(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """As that of `SCSNetForImageToImage`."""
        return self._run("texture", {"pixel_values": pixel_values.float()})["texture_features"]

    def features(self, pixel_values: torch.Tensor, color_features: torch.Tensor) -> SCSNetFeatures:
        """As that of `SCSNetForImageToImage`."""
        return SCSNetFeatures(pixel_values, self.encode_texture(pixel_values), color_features)

    def decode(
        self,
        features: SCSNetFeatures,
        output_size: tuple[int, int],
        grid: PixelGrid | None = None,
    ) -> torch.Tensor:
        """As that of `SCSNetForImageToImage`."""
        source_size = tuple(features.texture.shape[-2:])
        grid = grid or PixelGrid.whole(source_size, output_size)
        features = features._replace(
            pixel_values=features.pixel_values.float(),
            color=resize_to(features.color, source_size),
        )
        # The graph computes all it is asked for at once, which would take much memory.
        (first, height), width = (grid.start[0], grid.length[0]), grid.length[1]
        step = max(1, _BLOCK_PIXELS // width)
        blocks = []
        for top in range(first, first + height, step):
            rows = min(step, first + height - top)
            block = grid._replace(start=(top, grid.start[1]), length=(rows, width))
            blocks.append(self._decode_block(features, block))
        return torch.cat(blocks, dim=2)

    def _decode_block(self, features: SCSNetFeatures, grid: PixelGrid) -> torch.Tensor:
        """Some rows, from the rows of the features that they depend on."""
        top, bottom = source_interval(grid, 0, HEAD_REACH)
        origin = max(top, grid.origin[0])
        rows = slice(origin - grid.origin[0], bottom - grid.origin[0])
        pixel_values, texture, color = (values[:, :, rows] for values in features)
        wanted = (
            torch.arange(start, start + length)
            for start, length in zip(grid.start, grid.length, strict=True)
        )
        inputs = {
            "pixel_values": pixel_values,
            "texture_features": texture,
            "color_features": color,
            "source": torch.tensor(grid.source),
            "output": torch.tensor(grid.output),
            "origin": torch.tensor((origin, grid.origin[1])),
            **dict(zip(("rows", "columns"), wanted, strict=True)),
        }
        return self._run("pixels", inputs)["reconstruction"]

    def _run(
        self, part: str, inputs: dict[str, torch.Tensor], outputs: list[str] | None = None
    ) -> dict[str, torch.Tensor]:
        """Run a graph for `outputs`, for all of them if None."""
        session = self._sessions[part]
        names = outputs or [output.name for output in session.get_outputs()]
        results = session.run(names, {name: value.numpy() for name, value in inputs.items()})
        return {n: torch.from_numpy(result) for n, result in zip(names, results, strict=True)}


SCSNetOnnxModel.register_for_auto_class("AutoModelForImageToImage")


def _session(file: Path):
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "running ONNX graphs needs onnxruntime: pip install 'scsnet_hf[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # PyTorch works between two runs: threads that spin until the next would take its cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the classes of onnxruntime have no base but this one
        raise OSError(f"{file}: no graph that ONNX Runtime can run ({error})") from error


def as_onnx(model) -> SCSNetOnnxModel:
    """A model of either kind on ONNX Runtime.

    One of PyTorch is exported once, into the cache of the Hub (`HF_ASSETS_CACHE`), and again when
    its weights or the code have changed.

    Raises:
        ImportError: if a package is missing.
    """
    if uses_onnx(model):
        return model
    folder = cached_assets_path("scsnet_hf", "onnx", _fingerprint(model))
    if not (folder / "config.json").exists():  # what is written last
        logger.warning(f"Exporting the network to {folder}: once, for about a minute.")
        for _ in export_onnx(model, folder):
            pass
    return SCSNetOnnxModel.from_pretrained(folder)


def _fingerprint(model) -> str:
    """Of all that decides on what the export of a model computes."""
    weights = {name: values.cpu().contiguous() for name, values in model.state_dict().items()}
    digest = hashlib.sha256(save(weights))
    digest.update(SCSNetOnnxConfig.of(model.config).to_json_string().encode())
    digest.update(torch.__version__.encode())
    for code in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(code.read_bytes())
    return digest.hexdigest()[:32]
