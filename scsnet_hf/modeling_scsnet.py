"""SCSNet (AAAI 2022): simultaneous image colorization and super-resolution in one network.

Letters of all shapes: B batch; H W source; h w = H/4 W/4; Hr Wr reference; Ho Wo output;
C channels; N tokens. The unit is normalized Lab (color.py): L/50 - 1, a/110, b/110.
"""

import os
from dataclasses import dataclass
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .attention import (
    CROSS_ATTENTION_CLASSES,
    CrossAttention,
    FusedFeatures,
    SelfAttention,
    Tokens,
)
from .configuration_scsnet import SCSNetConfig
from .efficientnet import EfficientNetEncoder
from .pixel_mapping import HEADS, PixelGrid, crop, pad_to_multiple, resize, resize_to
from .pixelwise import is_recorded

DEFAULT_SCALE = 4.0  # the paper's setting
HEAD_REACH = 2 + 2  # source pixels that a head's convolutions and its lookup reach
_MULTIPLE = 4  # what the encoders' two stride-2 steps need sides to be multiples of
_WINDOW_HALO = 8  # source pixels around a window in training; what lies farther hardly matters


def _convolution(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """3x3, border pixels repeated, so that a constant picture has no borders."""
    return nn.Conv2d(
        in_channels, out_channels, 3, stride=stride, padding=1, padding_mode="replicate"
    )


class ResidualBlock(GradientCheckpointingLayer):
    """Two 3x3 convolutions and a skip; the paper's basic block."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = _convolution(channels, channels)
        self.conv2 = _convolution(channels, channels)
        # Blocks start as the identity, so depth costs nothing at the beginning of training.
        self.conv2.starts_at_zero = True

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> the same shape."""
        return self.conv2(self.conv1(features).relu_()).add_(features)


def _blocks(channels: int, depth: int) -> list[nn.Module]:
    return [ResidualBlock(channels) for _ in range(depth)]


class ColorEncoder(nn.Sequential):
    """phi_E: residual blocks and two stride-2 steps, (B, C0, H, W) -> (B, C2, h, w) (Eq. 1).

    It follows the stem, unlike EfficientNetEncoder, which has one of its own.

    No layer normalizes: that would take away how strong a colour is.
    """

    def __init__(self, config: SCSNetConfig):
        full, half, quarter = config.hidden_sizes
        depths = config.encoder_depths
        super().__init__(
            *_blocks(full, depths[0]),
            _convolution(full, half, stride=2),
            nn.ReLU(),
            *_blocks(half, depths[1]),
            _convolution(half, quarter, stride=2),
            nn.ReLU(),
            *_blocks(quarter, depths[2]),
        )


# What only a reference needs.
REFERENCE_PARTS = ("reference_stem", "reference_encoder", "cross_attention", "color_transfer")

SOURCE_ENCODER_CLASSES = {"residual": ColorEncoder, "efficientnet_lite": EfficientNetEncoder}


class ColorDecoder(nn.Sequential):
    """phi_D: self-attention, then convolutions and two x2 steps, F_int -> F_color at H, W."""

    def __init__(self, config: SCSNetConfig):
        full, half, quarter = config.hidden_sizes
        depths = config.decoder_depths

        def double():
            return nn.Upsample(scale_factor=2, mode="bilinear")

        super().__init__(
            SelfAttention(quarter),
            *_blocks(quarter, depths[0]),
            _convolution(quarter, half),
            nn.ReLU(),
            double(),
            *_blocks(half, depths[1]),
            _convolution(half, full),
            double(),
            *_blocks(full, depths[2]),
        )


class ColorTransfer(nn.Module):
    """Brings F_color closer to transferred colors of a reference, where these can be trusted.

    It sees the lightness at full size, along which it can enlarge them.
    """

    def __init__(self, config: SCSNetConfig):
        super().__init__()
        width = config.hidden_sizes[0]
        self.mix = _convolution(width + 1 + 3 * config.pyramid_levels, width)
        self.output = _convolution(width, width)
        self.output.starts_at_zero = True

    def forward(
        self, color_features: torch.Tensor, lightness: torch.Tensor, colors: torch.Tensor
    ) -> torch.Tensor:
        """F_color (B, C, H, W), L (B, 1, H, W), `FusedFeatures.colors` (h, w) -> F_color."""
        enlarged = nn.functional.interpolate(colors, scale_factor=_MULTIPLE, mode="bilinear")
        seen = torch.cat((color_features, lightness, enlarged), dim=1)
        return color_features + self.output(self.mix(seen).relu())


class SCSNetFeatures(NamedTuple):
    """All that `decode` needs of a source, or of a tile of it."""

    pixel_values: torch.Tensor  # (B, 1, H, W) normalized L
    texture: torch.Tensor  # F_tex (B, C, H, W)
    color: torch.Tensor  # F_color (B, C, H, W)


@dataclass
class SCSNetOutput(ModelOutput):
    """Result of `SCSNetForImageToImage`.

    Args:
        loss: content loss (Eq. 5), the mean l1 distance to `labels` in normalized Lab.
        reconstruction: (B, 3, Ho, Wo) normalized Lab, float32.
        attentions: per pyramid level (B, N_source, N_reference), rows sum to 1.
        valves: per pyramid level (B, 2, h_l, w_l) in (0, 1): source valve, reference valve.
        color_features: F_color (B, C, Hc, Wc) at the colour branch's working size.
    """

    loss: torch.Tensor | None = None
    reconstruction: torch.Tensor | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    valves: tuple[torch.Tensor, ...] | None = None
    color_features: torch.Tensor | None = None


class SCSNetPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialization."""

    config_class = SCSNetConfig
    base_model_prefix = "scsnet"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False
    _no_split_modules = ["ResidualBlock", "InvertedResidual", "ContinuousPixelMapping"]

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d | nn.Linear):
            if getattr(module, "starts_at_zero", False):
                init.zeros_(module.weight)
            else:
                init.kaiming_normal_(module.weight, nonlinearity="linear")
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, CrossAttention):
            module.init_logit_scale()


class SCSNetForImageToImage(SCSNetPreTrainedModel):
    """Low-resolution gray picture in, colour picture of any size out (Fig. 3)."""

    def __init__(self, config: SCSNetConfig):
        super().__init__(config)
        width = config.hidden_sizes[0]
        self.stem = _convolution(1, width)
        self.source_encoder = SOURCE_ENCODER_CLASSES[config.source_encoder](config)
        self.color_decoder = ColorDecoder(config)
        self.texture_encoder = nn.Sequential(*_blocks(width, config.texture_depth))
        self.upsampler = HEADS[config.upsampler](config)
        # The first pictures are gray: mid-gray, or the source's own L with a luminance skip.
        self.upsampler.last.starts_at_zero = True
        if config.cross_attention != "none":
            self.reference_stem = _convolution(3, width)
            self.reference_encoder = ColorEncoder(config)
            self.cross_attention = CROSS_ATTENTION_CLASSES[config.cross_attention](config)
        if config.transferred_colors:
            self.color_transfer = ColorTransfer(config)
        self.post_init()

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike, *args, **kwargs
    ) -> "SCSNetForImageToImage":
        """As any model of transformers, from safetensors only: nothing in them is executed.

        Raises:
            OSError: if the weights are missing, damaged or cut off; it names the checkpoint.
        """
        kwargs.setdefault("use_safetensors", True)
        try:
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        except SafetensorError as error:
            raise OSError(
                f"{pretrained_model_name_or_path}: its weights (model.safetensors) are damaged or "
                f"cut off ({error}); copy or download them again"
            ) from error

    @property
    def automatic_parameters(self) -> int:
        """How many parameters the automatic mode has: all but what only a reference needs."""
        return self.num_parameters() - sum(
            parameter.numel()
            for name, part in self.named_children()
            if name in REFERENCE_PARTS
            for parameter in part.parameters()
        )

    @property
    def halo(self) -> int:
        """Source pixels around a tile that its output depends on, the colour branch left out."""
        return halo_of(self.config)

    def encode_reference(self, reference_pixel_values: torch.Tensor) -> Tokens:
        """F_r of one reference each, as tokens, to be used with any number of sources.

        Args:
            reference_pixel_values: (B, 3, Hr, Wr) normalized Lab; larger ones are reduced to
                `config.color_size`.

        Returns:
            The tokens of every pyramid level, each (B, N_l, config.token_size). The tokens of
            several references concatenated along N are one set of references.

        Raises:
            ValueError: if the model was built with `cross_attention="none"`.
        """
        check_takes_references(self.config)
        working = to_working_size(reference_pixel_values, self.config.color_size)
        return self.reference_tokens(working.to(self.dtype))

    def reference_tokens(self, working: torch.Tensor) -> Tokens:
        """As `encode_reference`, of references (B, 3, Hr, Wr) that have their working size."""
        working = pad_to_multiple(working, _MULTIPLE)
        features = self.reference_encoder(self.reference_stem(working))
        if self.config.matched_references:
            features = features + self._encode_source(working[:, :1])
        if self.config.transferred_colors:
            return self.cross_attention.encode(features, working[:, 1:])
        return self.cross_attention.encode(features)

    def fuse_reference(
        self,
        source_features: torch.Tensor,
        reference_tokens: Tokens,
        reference_mask: torch.Tensor | None = None,
        reference_strength: float | torch.Tensor = 1.0,
        output_attentions: bool = False,
    ) -> FusedFeatures:
        """F_s and reference tokens -> F_int (Eq. 2), F_s untouched where there is no reference.

        `reference_strength` is one number, or (B,) one for every item.
        """
        batch = source_features.shape[0]
        tokens = tuple(level.expand(batch, -1, -1) for level in reference_tokens)
        fused = self.cross_attention(source_features, tokens, output_attentions)
        features = _blended(source_features, fused.features, reference_strength, reference_mask)
        return fused._replace(features=features)

    def encode_color(
        self,
        pixel_values: torch.Tensor,
        reference_tokens: Tokens | None = None,
        reference_mask: torch.Tensor | None = None,
        reference_strength: float = 1.0,
        output_attentions: bool = False,
    ) -> FusedFeatures:
        """F_color of whole pictures, computed at most at `config.color_size`.

        Args:
            pixel_values: (B, 1, H, W) normalized L in [-1, 1].
            reference_tokens: from `encode_reference`; batch 1 is shared by all items. None is the
                automatic mode.
            reference_mask: (B,) bool, which items use the reference; all if None.
            reference_strength: 0 (bit-equal to automatic) to 1; not in the paper.
            output_attentions: also return attention and valve maps.

        Returns:
            `features` (B, C, Hc, Wc) at the working size, `attentions`, `valves`.
        """
        if not (reference_strength > 0 or output_attentions):
            reference_tokens = None
        working = to_working_size(pixel_values, self.config.color_size)
        return self.color_features(
            working.to(self.dtype),
            reference_tokens,
            reference_mask,
            reference_strength,
            output_attentions,
        )

    def color_features(
        self,
        working: torch.Tensor,
        reference_tokens: Tokens | None = None,
        reference_mask: torch.Tensor | None = None,
        reference_strength: float | torch.Tensor = 1.0,
        output_attentions: bool = False,
    ) -> FusedFeatures:
        """As `encode_color`, of pictures (B, 1, H, W) that have their working size.

        `reference_strength` may also be (B,), one for every item.
        """
        padded = pad_to_multiple(working, _MULTIPLE)
        fused = FusedFeatures(self._encode_source(padded))
        if reference_tokens is not None:
            fused = self.fuse_reference(
                fused.features,
                reference_tokens,
                reference_mask,
                reference_strength,
                output_attentions,
            )
        color = self.color_decoder(fused.features)
        if fused.colors is not None:
            corrected = self.color_transfer(color, padded, fused.colors)
            color = _blended(color, corrected, reference_strength, reference_mask)
        return fused._replace(features=crop(color, working.shape[-2:]))

    def describe(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """What pictures show, as vectors of length 1: the closer, the larger their dot product.

        Made from the source encoder's features, averaged over the picture: of a pretrained trunk
        the two coarsest levels, which know most of what things are; of the paper's encoder F_s.

        Args:
            pixel_values: (B, 1, H, W) normalized L; larger ones are reduced to `config.color_size`.

        Returns:
            (B, D), float32.
        """
        working = to_working_size(pixel_values, self.config.color_size).to(self.dtype)
        working = pad_to_multiple(working, _MULTIPLE)
        if self.config.source_encoder == "residual":
            levels = [self._encode_source(working)]
        else:
            levels = self.source_encoder.pyramid(self._enlarged(working))[-2:]
        means = [level.float().relu().mean(dim=(2, 3)) for level in levels]
        parts = [nn.functional.normalize(mean) for mean in means]
        return nn.functional.normalize(torch.cat(parts, dim=1))

    def encode_texture(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """F_tex (B, C, H, W) of normalized L (B, 1, H, W): psi_E, residual to F_s^init."""
        return self.texture_encoder(self.stem(pixel_values.to(self.dtype)))

    def features(self, pixel_values: torch.Tensor, color_features: torch.Tensor) -> SCSNetFeatures:
        """What `decode` needs of a source (B, 1, H, W): its texture features, and F_color."""
        return SCSNetFeatures(pixel_values, self.encode_texture(pixel_values), color_features)

    def decode(
        self,
        features: SCSNetFeatures,
        output_size: tuple[int, int],
        grid: PixelGrid | None = None,
    ) -> torch.Tensor:
        """Map features to pixels.

        Args:
            features: texture and colour features of the source. Colour features at their working
                size are enlarged to the texture's.
            output_size: (Ho, Wo) of the whole output.
            grid: the part of the output to compute, where not all of it is wanted.

        Returns:
            (B, 3, Ho, Wo) normalized Lab, float32; (B, 3, ho, wo) of a grid.
        """
        source_size = tuple(features.texture.shape[-2:])
        grid = grid or PixelGrid.whole(source_size, output_size)
        color = resize_to(features.color, source_size)
        pixels = self.upsampler(features.texture + color, grid).float()
        if self.config.luminance_skip:
            lightness = resize(features.pixel_values.float(), grid, cubic=True)
            if is_recorded():
                pixels = torch.cat((pixels[:, :1] + lightness, pixels[:, 1:]), dim=1)
            else:  # without a copy of a picture that may be large
                pixels[:, :1] += lightness
        return pixels

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        reference_pixel_values: torch.Tensor | None = None,
        reference_mask: torch.Tensor | None = None,
        scale: float | None = None,
        output_size: tuple[int, int] | torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        output_attentions: bool = False,
        reference_strength: float = 1.0,
        output_start: torch.Tensor | None = None,
        color_only: bool = False,
        **kwargs,
    ) -> SCSNetOutput:
        """Colorize and magnify a batch of pictures of one size.

        Args:
            pixel_values: (B, 1, H, W) normalized L in [-1, 1].
            reference_pixel_values: (B, 3, Hr, Wr) normalized Lab, one reference per item.
            reference_mask: (B,) bool, False for items without a reference.
            scale: magnification p; the output is round(H p) x round(W p). 4 if neither it nor
                `output_size` is given.
            output_size: (Ho, Wo), instead of `scale`. In training also int64 (B, 2), a size of its
                own for every item, of which the loss sees a window of the labels' size.
            labels: target, (B, 3, Ho, Wo) normalized Lab.
            output_attentions: also return the attention and valve maps.
            reference_strength: 0 (automatic) to 1; not in the paper.
            output_start: int64 (B, 2), first output row and column of the labels' window.
            color_only: compute nothing but `color_features`, to train the colour branch alone.
            **kwargs: ignored.

        Returns:
            SCSNetOutput, or a tuple of what it holds with `return_dict=False`.

        Raises:
            ValueError: if both `scale` and `output_size` are given, a size per item without a
                window, or a reference to a model built without cross attention.
        """
        if scale is not None and output_size is not None:
            raise ValueError("give either scale or output_size, not both")
        if scale is not None and not scale > 0:
            raise ValueError(f"scale={scale!r}: must be above 0")
        windowed = output_start is not None
        if windowed != torch.is_tensor(output_size) or (windowed and labels is None):
            raise ValueError("output_start, an output_size (B, 2) and labels only go together")
        tokens = None
        if reference_pixel_values is not None:
            tokens = self.encode_reference(reference_pixel_values)
        color = self.encode_color(
            pixel_values, tokens, reference_mask, reference_strength, output_attentions
        )
        if color_only:
            return SCSNetOutput(color_features=color.features)
        source_size = tuple(pixel_values.shape[-2:])
        if output_size is None:
            output_size = output_size_of(source_size, DEFAULT_SCALE if scale is None else scale)
        if windowed:
            grid = PixelGrid(
                source_size, output_size.unbind(1), output_start.unbind(1), labels.shape[-2:]
            )
            features, grid = self._window(pixel_values, color.features, grid)
        else:
            features, grid = self.features(pixel_values, color.features), None
        reconstruction = self.decode(features, output_size, grid)
        loss = None
        if labels is not None:
            loss = nn.functional.l1_loss(reconstruction, labels.float())
        return SCSNetOutput(
            loss=loss,
            reconstruction=reconstruction,
            attentions=color.attentions or None,
            valves=color.valves or None,
            color_features=color.features,
        )

    def save_pretrained(self, save_directory: str | os.PathLike, *args, **kwargs) -> None:
        """As the parent class, and loadable through AutoModel too where the code is saved along."""
        super().save_pretrained(save_directory, *args, **kwargs)
        auto_map = getattr(self.config, "auto_map", None)
        if auto_map and "AutoModelForImageToImage" in auto_map:
            auto_map["AutoModel"] = auto_map["AutoModelForImageToImage"]
            self.config.save_pretrained(save_directory)

    def _window(
        self, pixel_values: torch.Tensor, color_features: torch.Tensor, grid: PixelGrid
    ) -> tuple[SCSNetFeatures, PixelGrid]:
        """Features of the part of every source that its window needs, and the grid on them."""
        halo = min(self.halo, _WINDOW_HALO)
        origin, side = [], []
        for source, output, start, length in zip(
            grid.source, grid.output, grid.start, grid.length, strict=True
        ):
            needed = int(length * source // output.min()) + 2 + 2 * halo
            side.append(min(source, needed))
            origin.append((start * source // output - halo).clamp(0, source - side[-1]))
        pixels, color = (
            resize(values, PixelGrid(tuple(values.shape[-2:]), grid.source, origin, side))
            for values in (pixel_values, color_features)
        )
        return self.features(pixels, color), grid._replace(origin=tuple(origin))

    def _encode_source(self, pixels: torch.Tensor) -> torch.Tensor:
        """F_s (B, C, H/4, W/4) of normalized L (B, 1, H, W), sides multiples of 4 (Eq. 1)."""
        pixels = self._enlarged(pixels)
        if self.config.source_encoder == "residual":
            pixels = self.stem(pixels)
        features = self.source_encoder(pixels)
        factor = self.config.source_enlargement
        return features if factor == 1 else nn.functional.avg_pool2d(features, factor)

    def _enlarged(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) as large as the source encoder sees it."""
        factor = self.config.source_enlargement
        if factor == 1:
            return pixels
        return nn.functional.interpolate(pixels, scale_factor=factor, mode="bicubic")

    def working_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(H, W) at which the colour branch sees a picture of `size`."""
        return working_size(size, self.config.color_size)


def _blended(
    automatic: torch.Tensor,
    referential: torch.Tensor,
    strength: float | torch.Tensor,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    """Features (B, C, h, w) between two modes: strength 0 to 1, 0 where `mask` (B,) is False."""
    batch = automatic.shape[0]  # len() would tie exported code to this number
    strength = torch.as_tensor(strength).to(automatic).expand(batch)
    if mask is not None:
        strength = strength * mask.to(strength)
    strength = strength.view(-1, 1, 1, 1)
    blended = torch.lerp(automatic, referential, strength)
    # Bit-equal to the automatic mode where the strength is 0, whatever the other rows hold.
    return torch.where(strength == 0, automatic, blended)


def check_takes_references(config: SCSNetConfig) -> None:
    """Raise a ValueError that says why where a network has no part for references."""
    if config.cross_attention == "none":
        raise ValueError(
            "this model takes no reference picture: its config has cross_attention='none'"
        )


def halo_of(config: SCSNetConfig) -> int:
    """Source pixels around a tile that its output depends on, the colour branch left out."""
    return 1 + 2 * config.texture_depth + HEAD_REACH


def to_working_size(pixels: torch.Tensor, color_size: int) -> torch.Tensor:
    """Reduce (B, C, H, W) by area until its long side is at most `color_size`."""
    own = tuple(pixels.shape[-2:])
    size = working_size(own, color_size)
    return pixels if size == own else nn.functional.interpolate(pixels, size, mode="area")


def working_size(size: tuple[int, int], color_size: int) -> tuple[int, int]:
    """(H, W) of a picture of `size` whose long side is to be at most `color_size`."""
    reduction = color_size / max(size)
    return tuple(size) if reduction >= 1 else output_size_of(size, reduction)


def output_size_of(source_size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(round(H p), round(W p)), at least 1; Python's round sends 17.5 to 18 and 16.5 to 16."""
    height, width = source_size
    return max(1, round(height * scale)), max(1, round(width * scale))


SCSNetForImageToImage.register_for_auto_class("AutoModelForImageToImage")
