"""A plain implementation of SCSNet, formula by formula (Fig. 3 to 6, Eq. 1 to 3), as a reference.

It shares only weights and layer counts with the package's network, and reads no other field of its
configuration. Nothing is rearranged for speed: attention matrices are formed, and all four linear
layers of the pixel mapping run at every output pixel. Where the paper leaves a choice, it is the
network's: borders are repeated, and the levels of the pyramid and the decoder grow bilinearly.
"""

from fractions import Fraction

import torch
from torch.nn import functional

from scsnet_hf import SCSNetForImageToImage

Weights = dict[str, torch.Tensor]


def plain_scsnet(
    network: SCSNetForImageToImage,
    source: torch.Tensor,
    output_size: tuple[int, int],
    reference: torch.Tensor | None = None,
) -> torch.Tensor:
    """Fig. 3.

    Args:
        network: of `SCSNetConfig()`, or with other widths and depths.
        source: I_s^l (B, 1, H, W), normalized L, sides multiples of 4 and at most `color_size`.
        output_size: (Ho, Wo).
        reference: I_r^lab (B, 3, Hr, Wr), normalized Lab, with the same restrictions on its sides;
            None for the automatic mode.

    Returns:
        I_t^lab (B, 3, Ho, Wo), normalized Lab.
    """
    config, weights = network.config, network.state_dict()
    initial = convolution(source, part(weights, "stem"))  # F_s^init (B, 64, H, W)

    # phi, the color branch
    fused = encoder(initial, part(weights, "source_encoder"), config.encoder_depths)  # Eq. 1
    if reference is not None:
        features = convolution(reference, part(weights, "reference_stem"))
        features = encoder(features, part(weights, "reference_encoder"), config.encoder_depths)
        fused = pyramid_valve_cross_attention(fused, features, part(weights, "cross_attention"))
    color = decoder(fused, part(weights, "color_decoder"), config.decoder_depths)

    # psi, the super-resolution branch
    texture = initial
    for block in layers(part(weights, "texture_encoder")):
        texture = basic_block(texture, block)
    return continuous_pixel_mapping(texture + color, output_size, part(weights, "upsampler"))


def encoder(features: torch.Tensor, weights: Weights, depths: tuple[int, int, int]) -> torch.Tensor:
    """phi_E (Eq. 1): (B, 64, H, W) -> F_s or F_r (B, 256, H/4, W/4)."""
    layer = iter(layers(weights))
    for level, depth in enumerate(depths):
        if level:
            features = convolution(features, next(layer), stride=2).relu()
        for _ in range(depth):
            features = basic_block(features, next(layer))
    return features


def pyramid_valve_cross_attention(
    source: torch.Tensor, reference: torch.Tensor, weights: Weights
) -> torch.Tensor:
    """PVCAttn (Fig. 5, Eq. 2): F_s (B, 256, h, w), F_r (B, 256, hr, wr) -> F_int (B, 256, h, w)."""
    sources = pyramid(source, part(weights, "source_pyramid"))
    references = pyramid(reference, part(weights, "reference_pyramid"))
    attentions = layers(part(weights, "attentions"))
    targets = [
        functional.interpolate(
            valve_cross_attention(*level), source.shape[-2:], mode="bilinear", align_corners=False
        )
        for level in zip(sources, references, attentions, strict=True)
    ]
    return convolution(torch.cat(targets, dim=1), part(weights, "output"))


def pyramid(features: torch.Tensor, weights: Weights) -> list[torch.Tensor]:
    """The pre-convolutions of Fig. 5: every level has half the size of the one before."""
    first, *others = layers(weights)
    levels = [convolution(features, first)]
    for layer in others:
        levels.append(convolution(levels[-1].relu(), layer, stride=2))
    return levels


def valve_cross_attention(
    source: torch.Tensor, reference: torch.Tensor, weights: Weights
) -> torch.Tensor:
    """VCAttn (Fig. 4): F_s (B, C, h, w) and F_r (B, C, hr, wr) -> F_t (B, C, h, w)."""
    transferred = attention(source, reference, part(weights, "attention"))  # F_r->s
    valves = pointwise(torch.cat((source, transferred), dim=1), part(weights, "valves")).sigmoid()
    return valves[:, 0:1] * source + valves[:, 1:2] * transferred


def attention(queries: torch.Tensor, keys: torch.Tensor, weights: Weights) -> torch.Tensor:
    """CMat V of `queries` (B, C, h, w) and `keys` (B, C, hr, wr): (B, C, h, w)."""
    query, key, value = (
        pointwise(features, part(weights, name)).flatten(2)  # (B, C, N)
        for features, name in ((queries, "query"), (keys, "key"), (keys, "value"))
    )
    correlation = torch.softmax(query.transpose(1, 2) @ key, dim=-1)  # CMat (B, N, Nr)
    return (value @ correlation.transpose(1, 2)).unflatten(2, queries.shape[-2:])


def decoder(features: torch.Tensor, weights: Weights, depths: tuple[int, int, int]) -> torch.Tensor:
    """phi_D: F_int (B, 256, h, w) -> F_color (B, 64, H, W)."""
    self_attention, *others = layers(weights)
    attended = attention(features, features, self_attention)
    features = features + pointwise(attended, part(self_attention, "output"))
    layer = iter(others)
    for level, depth in enumerate(depths):
        if level:
            features = convolution(features, next(layer))
            features = features.relu() if level == 1 else features
            features = functional.interpolate(
                features, scale_factor=2, mode="bilinear", align_corners=False
            )
        for _ in range(depth):
            features = basic_block(features, next(layer))
    return features


def continuous_pixel_mapping(
    features: torch.Tensor,
    output_size: tuple[int, int],
    weights: Weights,
    align_corners: bool = True,
) -> torch.Tensor:
    """CPM (Fig. 6): F_tex + F_color (B, 64, H, W) -> I_t^lab (B, 3, Ho, Wo).

    Without aligned corners, which is not in the paper, pixels are centered in their cells.
    """
    aggregated = convolution(features, part(weights, "aggregate"))  # F_cs (B, C, H, W)
    main = functional.interpolate(
        aggregated, output_size, mode="bilinear", align_corners=align_corners
    )
    y, x = (
        relative_coordinates(*sizes, align_corners)
        for sizes in zip(features.shape[-2:], output_size, strict=True)
    )
    relative = torch.stack(torch.meshgrid(x, y, indexing="xy"))  # Z_rel (2, Ho, Wo)
    relative = relative.to(main).expand(len(main), -1, -1, -1)
    pixels = pointwise(torch.cat((main, relative), dim=1), part(weights, "first"))
    for layer in layers(part(weights, "layers")):
        pixels = pointwise(pixels.relu(), layer)
    return pixels


def relative_coordinates(source: int, output: int, align_corners: bool = True) -> torch.Tensor:
    """Z_rel of `output` pixels along an axis of `source` pixels (Eq. 3), float64.

    Positions are fractions, since the remainder of a rounded one is wrong on the border of a cell.
    """
    unit = Fraction(1, source)
    relative = []
    for index in range(output):
        if align_corners:
            position = Fraction(index, max(1, output - 1))
        else:
            position = Fraction(2 * index + 1, 2 * output)
        # "(+1, +1) for the lower right corner", though its remainder is 0
        remainder = position % unit if position < 1 else unit
        relative.append(float(remainder / unit * 2 - 1))
    return torch.tensor(relative, dtype=torch.float64)


def basic_block(features: torch.Tensor, weights: Weights) -> torch.Tensor:
    """Two convolutions and a skip."""
    inner = convolution(features, part(weights, "conv1")).relu()
    return features + convolution(inner, part(weights, "conv2"))


def convolution(features: torch.Tensor, weights: Weights, stride: int = 1) -> torch.Tensor:
    """3x3, border pixels repeated."""
    padded = functional.pad(features, (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, weights["weight"], weights["bias"], stride)


def pointwise(features: torch.Tensor, weights: Weights) -> torch.Tensor:
    """A linear layer at every position, which is a 1x1 convolution: (B, C, ...) -> (B, C', ...)."""
    kernel = weights["weight"].flatten(1)[..., None, None]
    return functional.conv2d(features, kernel, weights["bias"])


def part(weights: Weights, name: str) -> Weights:
    """The weights of the part called `name`, without this prefix."""
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)
    }


def layers(weights: Weights) -> list[Weights]:
    """The numbered parts of a sequence that have weights, in order."""
    numbers = sorted({int(name.split(".")[0]) for name in weights})
    return [part(weights, str(number)) for number in numbers]
