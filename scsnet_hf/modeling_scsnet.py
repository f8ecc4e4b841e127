"""SCSNet (AAAI 2022): simultaneous image colorization and super-resolution in one network (Fig. 3).

Letters of all shapes: B batch; H W source; h w = H/4 W/4; Hr Wr reference; Ho Wo output; Hc Wc
working size of the color branch; C channels; N tokens. All images are normalized Lab (color.py):
L/50 - 1, a/110, b/110.
"""

import os
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .attention import (
    CROSS_ATTENTION_CLASSES,
    ColorTransfer,
    CrossAttention,
    FusedFeatures,
    SelfAttention,
    Tokens,
    blend_modes,
    hinted_reference,
)
from .call_arguments import exact_scale, output_size_of
from .configuration_scsnet import SCSNetConfig, check_takes_references
from .encoders import SOURCE_ENCODER_CLASSES, ColorEncoder, convolution, residual_blocks
from .pixel_mapping import PixelGrid, crop, is_traced, pad_to_multiple, resize, resize_to
from .upsamplers import HEADS

# Unused without a reference.
REFERENCE_PARTS = ("reference_stem", "reference_encoder", "cross_attention", "color_transfer")
_HEAD_REACH = 2 + 2  # source pixels that a head's convolutions and its interpolation reach
_MULTIPLE = 4  # to which the sides of encoder inputs are padded, for two stride-2 steps
_WINDOW_HALO = 8  # source pixels around a training window; more would hardly change it


class ColorDecoder(nn.Sequential):
    """phi_D: self-attention, convolutions and two x2 steps, F_int -> F_color (B, C0, H, W)."""

    def __init__(self, config: SCSNetConfig):
        full, half, quarter = config.hidden_sizes
        depths = config.decoder_depths
        double = partial(nn.Upsample, scale_factor=2, mode="bilinear")
        super().__init__(
            SelfAttention(config),
            *residual_blocks(quarter, depths[0]),
            convolution(quarter, half),
            nn.ReLU(),
            double(),
            *residual_blocks(half, depths[1]),
            convolution(half, full),
            double(),
            *residual_blocks(full, depths[2]),
        )


class SCSNetFeatures(NamedTuple):
    """The features of a source, or of a tile of it, from which `decode` computes pixels."""

    pixel_values: torch.Tensor  # (B, 1, H, W) normalized L
    texture: torch.Tensor  # F_tex (B, C, H, W)
    color: torch.Tensor  # F_color (B, C, H, W)


@dataclass
class SCSNetOutput(ModelOutput):
    """Output of `SCSNetForImageToImage`.

    Args:
        loss: content loss (Eq. 5), the mean l1 distance to `labels` in normalized Lab.
        reconstruction: (B, 3, Ho, Wo) normalized Lab, float32.
        hidden_states: F_s and F_int (B, C, h, w) of the padded working size, F_color
            (B, C, Hc, Wc) and F_tex (B, C, H, W), or that of the windows; on request.
        attentions: per pyramid level (B, 1 head, N_source, N_reference), rows sum to 1; on request.
        valves: with `attentions`, per level (B, 2, h_l, w_l) in (0, 1): source, reference valve.
        color_features: F_color (B, C, Hc, Wc).
    """

    loss: torch.Tensor | None = None
    reconstruction: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    valves: tuple[torch.Tensor, ...] | None = None
    color_features: torch.Tensor | None = None


class SCSNetPreTrainedModel(PreTrainedModel):
    """Initialization, loading and saving."""

    config_class = SCSNetConfig
    base_model_prefix = "scsnet"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False
    _supports_sdpa = True
    _input_embed_layer = "stem"  # for quantizers and adapters
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

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike, *args, **kwargs
    ) -> "SCSNetPreTrainedModel":
        """Load a checkpoint as `PreTrainedModel` does, by default from safetensors only.

        Raises:
            OSError: if the weights are missing, damaged or truncated.
        """
        kwargs.setdefault("use_safetensors", True)
        try:
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        except SafetensorError as error:
            raise OSError(
                f"{pretrained_model_name_or_path}: its weights (model.safetensors) are damaged or "
                f"cut off ({error}); copy or download them again"
            ) from error

    def save_pretrained(self, save_directory: str | os.PathLike, *args, **kwargs) -> None:
        """Save a checkpoint and its code; see `PreTrainedModel.save_pretrained`.

        With `trust_remote_code=True`, Auto classes and `pipeline` load it without this package too.
        """
        # transformers copies the files of all such imports, and so the code of the pipeline.
        from .pipeline_scsnet import CUSTOM_PIPELINES

        self.config.custom_pipelines = CUSTOM_PIPELINES
        auto_map = getattr(self.config, "auto_map", None) or {}
        self.config.auto_map = {**auto_map, "AutoModel": "modeling_scsnet.SCSNetForImageToImage"}
        super().save_pretrained(save_directory, *args, **kwargs)


class SCSNetForImageToImage(SCSNetPreTrainedModel):
    """SCSNet: colorizes a gray image and enlarges it to any size (Fig. 3).

    The color branch (phi, PVCAttn) sees the whole image at a limited working size, the texture
    branch (psi) sees every pixel, and CPM maps the sum of their features to output pixels.

    Args:
        config: sizes and variants of all parts.

    Example:
        >>> folder = scsnet_hf.embedded_checkpoint("medium")
        >>> model = SCSNetForImageToImage.from_pretrained(folder)
        >>> processor = SCSNetImageProcessor.from_pretrained(folder)
        >>> inputs = processor("old.jpg", reference_images="modern.jpg")
        >>> with torch.no_grad():
        ...     output = model(**inputs, scale=2.7)
        >>> processor.post_process(output)[0].save("new.png")
    """

    def __init__(self, config: SCSNetConfig):
        super().__init__(config)
        width = config.hidden_sizes[0]
        self.stem = convolution(1, width)
        self.source_encoder = SOURCE_ENCODER_CLASSES[config.source_encoder](config)
        self.color_decoder = ColorDecoder(config)
        self.texture_encoder = nn.Sequential(*residual_blocks(width, config.texture_depth))
        self.upsampler = HEADS[config.upsampler](config)
        # A new network makes gray images: mid-gray, or the source's L with a luminance skip.
        self.upsampler.last.starts_at_zero = True
        if config.cross_attention != "none":
            self.reference_stem = convolution(3, width)
            self.reference_encoder = ColorEncoder(config)
            self.cross_attention = CROSS_ATTENTION_CLASSES[config.cross_attention](config)
        if config.transferred_colors:
            self.color_transfer = ColorTransfer(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        reference_pixel_values: torch.Tensor | None = None,
        reference_mask: torch.Tensor | None = None,
        scale: float | None = None,
        output_size: tuple[int, int] | torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        reference_strength: float = 1.0,
        output_start: torch.Tensor | None = None,
        color_only: bool = False,
        hint_positions: torch.Tensor | None = None,
        hint_colors: torch.Tensor | None = None,
    ) -> SCSNetOutput:
        """Colorize and enlarge a batch of images of one size.

        Args:
            pixel_values: (B, 1, H, W) normalized L in [-1, 1].
            reference_pixel_values: (B, 3, Hr, Wr) normalized Lab, one reference per item.
            reference_mask: (B,) bool, False for items without a reference.
            scale: magnification p; the output is round(H p) x round(W p). 4 if neither it nor
                `output_size` is given.
            output_size: (Ho, Wo), instead of `scale`. In training also int64 (B, 2), one size per
                item, where the loss is computed on a window of the labels' size.
            labels: target, (B, 3, Ho, Wo) normalized Lab.
            output_attentions: return attention and valve maps; None for the config's choice.
            output_hidden_states: return F_s, F_int, F_color, F_tex; None for the config's choice.
            reference_strength: 0 (automatic) to 1; not in the paper.
            output_start: int64 (B, 2), first output row and column of each item's window.
            color_only: compute `color_features` only, to train the color branch alone.
            hint_positions: (B, K, 2) of color hints instead of references, see `encode_hints`.
            hint_colors: (B, K, 2) normalized a and b of the hints.

        Returns:
            `SCSNetOutput`, or a tuple of its values with `return_dict=False`.

        Raises:
            ValueError: if both `scale` and `output_size` are given, or one size per item without
                `output_start` and `labels`, or a reference to a model without cross attention.
        """
        if scale is not None and output_size is not None:
            raise ValueError("give either scale or output_size, not both")
        if scale is not None and not scale > 0:
            raise ValueError(f"scale={scale!r}: must be above 0")
        windowed = output_start is not None
        if windowed != torch.is_tensor(output_size) or (windowed and labels is None):
            raise ValueError("output_start, an output_size (B, 2) and labels only go together")
        config = self.config
        maps = config.output_attentions if output_attentions is None else output_attentions
        states = (
            config.output_hidden_states if output_hidden_states is None else output_hidden_states
        )
        tokens = None
        if reference_pixel_values is not None:
            tokens = self.encode_reference(reference_pixel_values)
        if hint_positions is not None:
            tokens = self.encode_hints(pixel_values, hint_positions, hint_colors)
        color = self.encode_color(pixel_values, tokens, reference_mask, reference_strength, maps)
        if color_only:
            return SCSNetOutput(color_features=color.features)
        source_size = tuple(pixel_values.shape[-2:])
        if output_size is None:
            output_size = output_size_of(source_size, exact_scale(scale))
        if windowed:
            corners = output_size.unbind(1), output_start.unbind(1)
            grid = PixelGrid(source_size, *corners, labels.shape[-2:])
            features, grid = self._window(pixel_values, color.features, grid)
        else:
            features, grid = self.features(pixel_values, color.features), None
        reconstruction = self.decode(features, output_size, grid)
        loss = None if labels is None else nn.functional.l1_loss(reconstruction, labels.float())
        hidden_states = (*color.hidden_states, color.features, features.texture)
        return SCSNetOutput(
            loss=loss,
            reconstruction=reconstruction,
            hidden_states=hidden_states if states else None,
            attentions=color.attentions or None,
            valves=color.valves or None,
            color_features=color.features,
        )

    def encode_reference(self, reference_pixel_values: torch.Tensor) -> Tokens:
        """Encode references once, to be used with any number of sources.

        Args:
            reference_pixel_values: (B, 3, Hr, Wr) normalized Lab; larger ones are reduced to
                `config.color_size`.

        Returns:
            The tokens of every pyramid level, each (B, N_l, attention_size), with
            `transferred_colors` (B, N_l, attention_size + 4). To use several references for one
            image, concatenate their tokens along N.

        Raises:
            ValueError: if the model was built with `cross_attention="none"`.
        """
        check_takes_references(self.config)
        working = self._reduced(reference_pixel_values).to(self.dtype)
        padded = pad_to_multiple(working, _MULTIPLE)
        return self.cross_attention.encode(self._reference_features(padded), padded)

    def encode_hints(
        self, pixel_values: torch.Tensor, positions: torch.Tensor, colors: torch.Tensor
    ) -> Tokens:
        """Encode what colors a source has at some positions; not in the paper.

        A hint is a reference of one token per level: the source itself, seen where the hint is.

        Args:
            pixel_values: (B, 1, H, W) normalized L of the sources.
            positions: (B, K, 2), x and y in pixels, from 0 to W and H.
            colors: (B, K, 2) normalized a and b.

        Returns:
            Tokens like those of `encode_reference`, with N_l = K, and with its errors.
        """
        check_takes_references(self.config)
        working = self._reduced(pixel_values).to(self.dtype)
        positions = positions * (max(working.shape[-2:]) / max(pixel_values.shape[-2:]))
        padded = pad_to_multiple(working, _MULTIPLE)
        reference, cells = hinted_reference(padded, positions, colors)
        features = self._reference_features(reference)
        return self.cross_attention.encode_positions(features, cells, colors)

    def _reference_features(self, reference: torch.Tensor) -> torch.Tensor:
        """F_r (B, C, h, w) of normalized Lab (B, 3, Hr, Wr), the sides multiples of 4."""
        features = self.reference_encoder(self.reference_stem(reference))
        if self.config.matched_references:
            features = features + self._encode_source(reference[:, :1])
        return features

    def encode_color(
        self,
        pixel_values: torch.Tensor,
        reference_tokens: Tokens | None = None,
        reference_mask: torch.Tensor | None = None,
        reference_strength: float | torch.Tensor = 1.0,
        output_attentions: bool = False,
    ) -> FusedFeatures:
        """Compute F_color of whole images, at `config.color_size` at most.

        Args:
            pixel_values: (B, 1, H, W) normalized L in [-1, 1].
            reference_tokens: from `encode_reference`; tokens of batch 1 are used for all items.
                None is the automatic mode.
            reference_mask: (B,) bool, which items use the reference; all if None.
            reference_strength: 0 (bit-exact automatic mode) to 1, one number or (B,); not in the
                paper.
            output_attentions: also return the attention and valve maps.

        Returns:
            F_color (B, C, Hc, Wc), attention and valve maps, and F_s and F_int.
        """
        working = self._reduced(pixel_values).to(self.dtype)
        source_features = self._encode_source(working)
        fused = FusedFeatures(source_features)
        is_automatic = not torch.is_tensor(reference_strength) and not reference_strength > 0
        if reference_tokens is not None and (output_attentions or not is_automatic):
            options = reference_mask, reference_strength, output_attentions
            fused = self.fuse_reference(source_features, reference_tokens, *options)
        color = self.color_decoder(fused.features)
        if fused.colors is not None:
            lightness = pad_to_multiple(working, _MULTIPLE)
            corrected = self.color_transfer(color, lightness, fused.colors)
            color = blend_modes(color, corrected, reference_mask, reference_strength)
        return fused._replace(
            features=crop(color, working.shape[-2:]),
            hidden_states=(source_features, fused.features),
        )

    def _encode_source(self, working: torch.Tensor) -> torch.Tensor:
        """F_s (B, C, h, w) of normalized L (B, 1, Hc, Wc) (Eq. 1)."""
        pixels = self._enlarged(pad_to_multiple(working, _MULTIPLE))
        if self.config.source_encoder == "residual":
            pixels = self.stem(pixels)  # EfficientNetEncoder has a stem of its own
        features = self.source_encoder(pixels)
        factor = self.config.source_enlargement
        return features if factor == 1 else nn.functional.avg_pool2d(features, factor)

    def _enlarged(self, pixels: torch.Tensor) -> torch.Tensor:
        """Enlarge (B, 1, H, W) by `config.source_enlargement` for the source encoder."""
        factor = self.config.source_enlargement
        if factor == 1:
            return pixels
        return nn.functional.interpolate(pixels, scale_factor=factor, mode="bicubic")

    def fuse_reference(
        self,
        source_features: torch.Tensor,
        reference_tokens: Tokens,
        reference_mask: torch.Tensor | None = None,
        reference_strength: float | torch.Tensor = 1.0,
        output_attentions: bool = False,
    ) -> FusedFeatures:
        """Fuse F_s (B, C, h, w) with reference tokens to F_int of the same shape (Eq. 2).

        The other arguments are those of `encode_color`. Where the mask or the strength is 0, F_s is
        returned unchanged.
        """
        batch = source_features.shape[0]  # len() would tie exported code to this number
        tokens = tuple(level.expand(batch, -1, -1) for level in reference_tokens)
        fused = self.cross_attention(source_features, tokens, output_attentions)
        options = reference_mask, reference_strength
        return fused._replace(features=blend_modes(source_features, fused.features, *options))

    def encode_texture(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Compute F_tex (B, C, H, W), psi_E on F_s^init, of normalized L (B, 1, H, W)."""
        return self.texture_encoder(self.stem(pixel_values.to(self.dtype)))

    def features(self, pixel_values: torch.Tensor, color_features: torch.Tensor) -> SCSNetFeatures:
        """Collect what `decode` needs: a source (B, 1, H, W), its F_tex, and its F_color."""
        return SCSNetFeatures(pixel_values, self.encode_texture(pixel_values), color_features)

    def decode(
        self,
        features: SCSNetFeatures,
        output_size: tuple[int, int],
        grid: PixelGrid | None = None,
    ) -> torch.Tensor:
        """Map features to pixels (Sec. 3.2).

        Args:
            features: of the source. F_color at its working size is enlarged to that of F_tex.
            output_size: (Ho, Wo) of the whole output.
            grid: the part of the output to compute; all of it if None.

        Returns:
            (B, 3, Ho, Wo) normalized Lab, float32; (B, 3, *grid.length) with a grid.
        """
        source_size = tuple(features.texture.shape[-2:])
        grid = grid or PixelGrid.whole(source_size, output_size)
        color = resize_to(features.color, source_size)
        pixels = self.upsampler(features.texture + color, grid).float()
        if self.config.luminance_skip:
            lightness = resize(features.pixel_values.float(), grid, True, self.upsampler.aligned)
            if is_traced():
                pixels = torch.cat((pixels[:, :1] + lightness, pixels[:, 1:]), dim=1)
            else:  # in place, since the image may be large
                pixels[:, :1] += lightness
        return pixels

    def _window(
        self, pixel_values: torch.Tensor, color_features: torch.Tensor, grid: PixelGrid
    ) -> tuple[SCSNetFeatures, PixelGrid]:
        """Compute the features that each item's window depends on, and the grid on them."""
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

    def working_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return (Hc, Wc), at which the color branch sees an image of (H, W)."""
        reduction = self.config.color_size / max(size)
        return tuple(size) if reduction >= 1 else output_size_of(size, reduction)

    def _reduced(self, pixels: torch.Tensor) -> torch.Tensor:
        """Reduce (B, C, H, W) to its working size by averaging over areas."""
        own = tuple(pixels.shape[-2:])
        size = self.working_size(own)
        return pixels if size == own else nn.functional.interpolate(pixels, size, mode="area")

    def embed_images(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Embed images for similarity search: the dot product is larger for similar content.

        The features of the source encoder, averaged over the image: for a pretrained trunk those of
        its two coarsest levels, which are the most semantic, for the paper's encoder F_s.

        Args:
            pixel_values: (B, 1, H, W) normalized L; larger images are reduced to
                `config.color_size`.

        Returns:
            (B, D) of length 1, float32.
        """
        working = pad_to_multiple(self._reduced(pixel_values).to(self.dtype), _MULTIPLE)
        if self.config.source_encoder == "residual":
            levels = [self._encode_source(working)]
        else:
            levels = self.source_encoder.pyramid(self._enlarged(working))[-2:]
        means = [level.float().relu().mean(dim=(2, 3)) for level in levels]
        parts = [nn.functional.normalize(mean) for mean in means]
        return nn.functional.normalize(torch.cat(parts, dim=1))

    def get_output_embeddings(self) -> nn.Module:
        """Return the head, which quantizers then leave as it is: its few layers make the pixels."""
        return self.upsampler

    @property
    def automatic_parameters(self) -> int:
        """Number of parameters used in the automatic mode."""
        named = self.named_parameters()
        return sum(p.numel() for name, p in named if name.split(".")[0] not in REFERENCE_PARTS)

    @property
    def halo(self) -> int:
        """Source pixels around a tile that its texture and pixels depend on."""
        return 1 + 2 * self.config.texture_depth + _HEAD_REACH


SCSNetForImageToImage.register_for_auto_class("AutoModelForImageToImage")
