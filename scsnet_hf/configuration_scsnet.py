"""`SCSNetConfig`, every number of the network, and its presets."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.utils import TRANSFORMERS_DYNAMIC_MODULE_NAME

CROSS_ATTENTIONS = ("pyramid_valve", "basic", "none")
SOURCE_ENCODERS = ("residual", "efficientnet_lite")
SIMILARITIES = ("dot", "cosine", "learned_cosine")
UPSAMPLERS = ("cpm", "pixelshuffle", "meta")
_DTYPES = ("float32", "bfloat16", "float16", "float64")

# What our networks do differently from the paper's.
_OURS = {
    "similarity": "cosine",
    "cross_attention_skip": True,
    "valve_convolution": True,
    "align_corners": False,
    "color_size": 256,
}
# What medium and small share, above all the texture branch: it can be trained once for both.
_LIGHT = {
    **_OURS,
    "attention_size": 48,
    "texture_depth": 8,
    "mapping_size": 96,
    "mapping_hidden_sizes": (64, 64, 32),
    "luminance_skip": True,
    "color_size": 128,
}
# Only what differs from the defaults of SCSNetConfig, which are the paper's network.
PRESETS = {
    "paper": {},
    "base": {
        **_OURS,
        "similarity": "learned_cosine",
        "mapping_hidden_sizes": (256, 208, 128),
    },
    "medium": {
        **_LIGHT,
        "source_encoder": "efficientnet_lite",
        "source_enlargement": 2,
        "similarity": "learned_cosine",
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
        **_OURS,
        "hidden_sizes": (8, 8, 16),
        "encoder_depths": (0, 1, 1),
        "decoder_depths": (1, 0, 0),
        "attention_size": 8,
        "texture_depth": 1,
        "mapping_size": 16,
        "mapping_hidden_sizes": (16, 8, 8),
    },
}


class _InstalledPipelines(dict):
    """`custom_pipelines` of a config.json, read by the installed package.

    `transformers.pipeline` finds the task in it. Then it would load the pipeline's code from the
    repository, which needs `trust_remote_code`, unless `in` says that it does not contain the task.
    """

    def __contains__(self, task: object) -> bool:
        return False


@strict
class SCSNetConfig(PreTrainedConfig):
    """Configuration of SCSNet; the defaults are the paper's network (9.95 M / 15.36 M parameters).

    The paper gives widths but no numbers of blocks; these are distributed for few operations. Most
    blocks of the color decoder are at a quarter of the resolution, where a block has 16 times the
    parameters of a texture block for the same operations. The preset `"base"` has the same
    number of parameters within 1 % and our changes: `similarity`, `cross_attention_skip`,
    `valve_convolution`, `mapping_hidden_sizes`, `align_corners` and `color_size`.

    Args:
        hidden_sizes: channels at full, half and quarter resolution. The first is also the width of
            the stem, the texture encoder and the color features (64 in the paper), the last that
            of F_s, F_r and F_int (256 in the paper).
        encoder_depths: residual blocks of phi_E at full, half and quarter resolution.
        decoder_depths: residual blocks of phi_D at quarter, half and full resolution.
        attention_size: channels of each level of the cross attention.
        pyramid_levels: levels of the pyramid valve cross attention (Fig. 5).
        texture_depth: basic blocks of psi_E (two convolutions and a skip each).
        mapping_size: channels of F_cs (256 in the paper).
        mapping_hidden_sizes: widths of the first three of the four linear layers of continuous
            pixel mapping. The first one's outputs are interpolated, at the source's resolution; the
            others run at every output pixel, where narrow layers save most.
        source_encoder: phi_E^s: `"residual"` (the paper's) or `"efficientnet_lite"`, the trunk of
            EfficientNet-Lite, which can start from ImageNet weights; `encoder_depths` then apply
            to the reference encoder only.
        trunk_width: factor on the channels of the trunk of EfficientNet-Lite0.
        trunk_depth: factor on the number of its blocks. Lite2 has `trunk_width=1.1` and
            `trunk_depth=1.2`.
        source_enlargement: integer factor by which images are enlarged for the source encoder; F_s
            is averaged down again. A trunk trained on images of 224 pixels recognizes little in
            smaller ones. Not in the paper.
        similarity: of queries and keys: `"dot"`, their dot product (the paper's, not scaled),
            `"cosine"`, that of vectors of length 1, times 10, or `"learned_cosine"`, which in cross
            attention is multiplied by a learned factor instead.
        cross_attention: `"pyramid_valve"` (PVCAttn), `"basic"` (one level, no valves) or `"none"`
            (automatic mode only); the last two are the ablation of Table 5.
        cross_attention_skip: add F_s to the result of PVCAttn, around its valves, which then only
            weigh what is added. Not in the paper (Eq. 2).
        valve_convolution: a 1x1 convolution after the valves. Not in the paper (Fig. 4).
        matched_references: add the source encoder's features of the reference's lightness to F_r,
            so that like is compared with like, and let the valves depend on how well each position
            is matched, like the similarity maps of He et al. (2018). Needs cosines, best learned
            ones. Not in the paper.
        transferred_colors: also transfer the colors of the reference themselves by the attention of
            each level, as He et al. (2018) do, together with how well each position is matched.
            Needs `matched_references` and `"pyramid_valve"`. Not in the paper.
        color_hints: whether the network has learned to follow color hints, which `train.py --hints`
            sets. Not in the paper.
        upsampler: `"cpm"`, `"pixelshuffle"` (fixed factor 4, then resized) or `"meta"` (Meta-SR, Hu
            et al. 2019); the last two are the comparisons of Sec. 4.3.
        align_corners: `True` interpolates F_cs with aligned corners (Sec. 3.2): output pixel i is
            at x = i / (Wo - 1), from which also Eq. 3 computes Z_rel. `False` puts pixel centers at
            (i + 0.5) / Wo, so that nothing shifts, as the other upsamplers do.
        luminance_skip: add the head's L to the source's L, interpolated bicubically. Not in the
            paper.
        color_size: long side in pixels to which larger images are reduced for the color branch. The
            paper trains and tests at 128 only.
        initializer_range: standard deviation of the initial weights of layers without a rule of
            their own.

    Example:
        >>> config = SCSNetConfig.from_preset("small", upsampler="meta")
        >>> model = SCSNetForImageToImage(config)  # random weights
        >>> model.automatic_parameters, model.num_parameters()
        (1691200, 2657574)
    """

    model_type = "scsnet"

    hidden_sizes: list[int] | tuple[int, ...] = (64, 128, 256)
    encoder_depths: list[int] | tuple[int, ...] = (1, 1, 2)
    decoder_depths: list[int] | tuple[int, ...] = (4, 1, 0)
    attention_size: int = 128
    pyramid_levels: int = 3
    texture_depth: int = 13
    mapping_size: int = 256
    mapping_hidden_sizes: list[int] | tuple[int, ...] = (256, 256, 256)
    source_encoder: str = "residual"
    trunk_width: float = 1.0
    trunk_depth: float = 1.0
    source_enlargement: int = 1
    similarity: str = "dot"
    cross_attention: str = "pyramid_valve"
    cross_attention_skip: bool = False
    valve_convolution: bool = False
    matched_references: bool = False
    transferred_colors: bool = False
    color_hints: bool = False
    upsampler: str = "cpm"
    align_corners: bool = True
    luminance_skip: bool = False
    color_size: int = 128
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        if isinstance(self.dtype, str) and self.dtype not in _DTYPES:
            # No ValueError, which makes `transformers.pipeline` load the model in float32 instead.
            raise AttributeError(f"dtype={self.dtype!r}: choose one of {', '.join(_DTYPES)}")
        super().__post_init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs) -> "SCSNetConfig":
        """Create a configuration from the content of config.json; see `PreTrainedConfig`."""
        custom = config_dict.get("custom_pipelines")
        if custom and not cls.__module__.startswith(f"{TRANSFORMERS_DYNAMIC_MODULE_NAME}."):
            config_dict = {**config_dict, "custom_pipelines": _InstalledPipelines(custom)}
        if "transformers_version" in config_dict and "similarity" not in config_dict:
            config_dict = {**_before_similarity(config_dict), **config_dict}
        return super().from_dict(config_dict, **kwargs)

    @classmethod
    def from_preset(cls, name: str, **overrides) -> "SCSNetConfig":
        """Create the configuration of a preset.

        Args:
            name: `"paper"` (the defaults), `"base"` (of the same size, with our changes),
                `"medium"` or `"small"` (the sizes of the embedded checkpoints), or `"tiny"` (for
                tests).
            **overrides: fields with other values than the preset's.

        Raises:
            ValueError: for another name.
        """
        if name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **overrides})

    def validate_architecture(self) -> None:
        """Check what the types of the fields do not; called by the constructor.

        Raises:
            ValueError: for a wrong number of values, an unknown choice or a number out of range.
        """
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
            ("similarity", SIMILARITIES),
            ("cross_attention", CROSS_ATTENTIONS),
            ("upsampler", UPSAMPLERS),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name}={getattr(self, name)!r}: choose one of {', '.join(choices)}"
                )
        if self.matched_references and self.similarity == "dot":
            raise ValueError(
                "matched_references needs similarity='learned_cosine' (or 'cosine'), not 'dot'"
            )
        if self.transferred_colors and not (
            self.matched_references and self.cross_attention == "pyramid_valve"
        ):
            raise ValueError(
                "transferred_colors needs matched_references and cross_attention='pyramid_valve'"
            )
        if not (self.trunk_width > 0 and self.trunk_depth > 0):
            raise ValueError("trunk_width and trunk_depth must be above 0")
        if self.color_size < 4 or self.pyramid_levels < 1 or self.source_enlargement < 1:
            raise ValueError(
                "color_size must be at least 4, pyramid_levels and source_enlargement at least 1"
            )


def _before_similarity(saved: dict) -> dict[str, object]:
    """Return what a saved config.json means that has no `similarity`.

    All networks were the same in these fields before they became fields; a config.json states all
    that existed when it was saved.
    """
    learned = saved.get("matched_references") and saved.get("cross_attention") == "pyramid_valve"
    return {
        "similarity": "learned_cosine" if learned else "cosine",
        "cross_attention_skip": True,
        "valve_convolution": True,
    }


def check_takes_references(config: SCSNetConfig) -> None:
    """Raise a ValueError if the network was built without cross attention."""
    if config.cross_attention == "none":
        raise ValueError(
            "this model takes no reference image or hints: its config has cross_attention='none'"
        )


SCSNetConfig.register_for_auto_class()
