"""Every number of the network: `SCSNetConfig` and its presets."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

CROSS_ATTENTIONS = ("pyramid_valve", "basic", "none")
SOURCE_ENCODERS = ("residual", "efficientnet_lite")
UPSAMPLERS = ("cpm", "pixelshuffle", "meta")

# What medium and small share: above all the texture branch, so that one can be trained for both.
_LIGHT = {
    "attention_size": 48,
    "texture_depth": 8,
    "mapping_size": 96,
    "mapping_hidden_sizes": (64, 64, 32),
    "luminance_skip": True,
    "color_size": 128,
}
# Only what differs from the paper's size (the defaults of SCSNetConfig).
PRESETS = {
    "base": {},
    "medium": {
        **_LIGHT,
        "source_encoder": "efficientnet_lite",
        "source_enlargement": 2,
        "matched_references": True,
        "hidden_sizes": (32, 48, 96),
        "encoder_depths": (0, 0, 2),
        "decoder_depths": (2, 1, 0),
    },
    "small": {
        **_LIGHT,
        "hidden_sizes": (32, 64, 96),
        "encoder_depths": (0, 1, 3),
        "decoder_depths": (3, 1, 0),
    },
    "tiny": {
        "hidden_sizes": (8, 8, 16),
        "encoder_depths": (0, 1, 1),
        "decoder_depths": (1, 0, 0),
        "attention_size": 8,
        "texture_depth": 1,
        "mapping_size": 16,
        "mapping_hidden_sizes": (16, 8, 8),
    },
}


@strict
class SCSNetConfig(PreTrainedConfig):
    """Configuration of SCSNet; the defaults are the paper's size (9.95 M / 15.36 M parameters).

    How they are divided is for few operations: the colour decoder has most of its blocks at quarter
    resolution, where one has 16 times the parameters of a texture block for the same operations;
    F_cs and the first linear layer, at the source's resolution, are wide, and the later linear
    layers narrow, since these run at every output pixel.

    Args:
        hidden_sizes: channels at full, half and quarter resolution. The first is also the width of
            the stem, of the texture encoder and of the colour features (64 in the paper), the last
            the width of F_s, F_r and F_int (256 in the paper).
        encoder_depths: residual blocks of phi_E at full, half and quarter resolution.
        decoder_depths: residual blocks of phi_D at quarter, half and full resolution.
        attention_size: channels of every level of the cross attention.
        pyramid_levels: levels of the pyramid valve cross attention (Fig. 5).
        texture_depth: basic blocks of psi_E (two convolutions and a skip each).
        mapping_size: channels of F_cs (256 in the paper), which are at the source's resolution.
        mapping_hidden_sizes: widths of the first three of the four linear layers of continuous
            pixel mapping. Of the first one only its outputs are interpolated.
        source_encoder: phi_E^s: `"residual"` (the paper's) or `"efficientnet_lite"`, the trunk of
            EfficientNet-Lite, which can start from ImageNet weights; `encoder_depths` are then
            those of the reference encoder alone.
        trunk_width: factor of the channels of EfficientNet-Lite0's trunk, rounded to multiples
            of 8.
        trunk_depth: factor of the blocks of each of its stages but the first and the last, rounded
            up. Lite2 is `trunk_width=1.1` and `trunk_depth=1.2`.
        source_enlargement: whole factor by which a picture is enlarged for the source encoder; F_s
            is averaged down again. A trunk that learned from pictures of 224 pixels knows little of
            what is in smaller ones. Not in the paper.
        cross_attention: `"pyramid_valve"` (PVCAttn), `"basic"` (one level, no valves) or `"none"`
            (automatic mode only); the last two are the ablation of Table 5.
        matched_references: add to F_r what the source encoder sees in the reference's lightness, so
            that like is compared with like, and let the valves see how well each place has found
            its match, as the similarity maps of He et al. (2018) do; how sharp attention is, is
            learned. Not in the paper.
        transferred_colors: bring over a and b of the reference too, by each level's attention, and
            give them to the color decoder together with how well each place has found its match, as
            He et al. (2018) do. Only for `"pyramid_valve"`; not in the paper.
        upsampler: `"cpm"`, `"pixelshuffle"` (fixed factor 4, resized after it) or `"meta"`
            (Meta-SR, Hu et al. 2019); the last two are the comparisons of Sec. 4.3.
        align_corners: `False` puts pixel centres at (i + 0.5) / size, so that nothing shifts;
            `True` is the corner alignment that the text of Sec. 3.2 describes.
        luminance_skip: add the head's L to the bicubic interpolation of the source's L. Not in the
            paper.
        color_size: long side in pixels at which the colour branch sees a larger picture. Not in
            the paper, which trains and tests at 128 only.
        initializer_range: standard deviation that the parent class gives to layers without a rule
            of their own.
    """

    model_type = "scsnet"

    hidden_sizes: list[int] | tuple[int, ...] = (64, 128, 256)
    encoder_depths: list[int] | tuple[int, ...] = (1, 1, 2)
    decoder_depths: list[int] | tuple[int, ...] = (4, 1, 0)
    attention_size: int = 128
    pyramid_levels: int = 3
    texture_depth: int = 13
    mapping_size: int = 320
    mapping_hidden_sizes: list[int] | tuple[int, ...] = (256, 208, 128)
    source_encoder: str = "residual"
    trunk_width: float = 1.0
    trunk_depth: float = 1.0
    source_enlargement: int = 1
    cross_attention: str = "pyramid_valve"
    matched_references: bool = False
    transferred_colors: bool = False
    upsampler: str = "cpm"
    align_corners: bool = False
    luminance_skip: bool = False
    color_size: int = 256
    initializer_range: float = 0.02

    @classmethod
    def from_preset(cls, name: str, **overrides) -> "SCSNetConfig":
        """The configuration called `name` (base, medium, small or tiny), with fields overridden."""
        if name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **overrides})

    @property
    def token_size(self) -> int:
        """Channels of a reference's tokens."""
        return self.attention_size + 2 * self.transferred_colors

    def validate_architecture(self) -> None:
        """Check what one field's type cannot say; wrong values end in a validation error."""
        super().validate_architecture()
        for name, length in (
            ("hidden_sizes", 3),
            ("encoder_depths", 3),
            ("decoder_depths", 3),
            ("mapping_hidden_sizes", 3),
        ):
            values = getattr(self, name)
            if len(values) != length:
                raise ValueError(f"{name} needs {length} numbers, got {list(values)}")
        for name, choices in (
            ("source_encoder", SOURCE_ENCODERS),
            ("cross_attention", CROSS_ATTENTIONS),
            ("upsampler", UPSAMPLERS),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name}={getattr(self, name)!r}: choose one of {', '.join(choices)}"
                )
        if self.transferred_colors and self.cross_attention != "pyramid_valve":
            raise ValueError("transferred_colors needs cross_attention='pyramid_valve'")
        if not (self.trunk_width > 0 and self.trunk_depth > 0):
            raise ValueError("trunk_width and trunk_depth must be above 0")
        if self.color_size < 4 or self.pyramid_levels < 1 or self.source_enlargement < 1:
            raise ValueError(
                "color_size must be at least 4, pyramid_levels and source_enlargement at least 1"
            )


@strict
class SCSNetOnnxConfig(SCSNetConfig):
    """Configuration of a network that has been exported to ONNX graphs; the same numbers."""

    model_type = "scsnet_onnx"

    @classmethod
    def of(cls, config: SCSNetConfig) -> "SCSNetOnnxConfig":
        """That of the export of a network with `config`."""
        return cls(**{name: getattr(config, name) for name in SCSNetConfig.__annotations__})


SCSNetConfig.register_for_auto_class()
SCSNetOnnxConfig.register_for_auto_class()
