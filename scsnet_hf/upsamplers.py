"""The heads that map features at the source's size to pixels at any size (Sec. 3.2).

All have the same call, `head(features, grid)`, and say whether corners are `aligned`.
"""

from itertools import pairwise

import torch
from torch import nn

from .configuration_scsnet import SCSNetConfig
from .pixel_mapping import (
    AxisCoordinates,
    PixelGrid,
    as_column,
    axis_coordinates,
    in_row_blocks,
    is_traced,
    lookup,
    resize,
)

_HAS_ONEDNN = torch.backends.mkldnn.is_available()  # oneDNN by its former name
_ONEDNN_BATCH = 16  # from which on PyTorch uses oneDNN for 1x1 convolutions on a single thread too
_PIXELSHUFFLE_FACTOR = 4
_META_KERNEL = 3
_META_HIDDEN = 256


def is_plain(layer: nn.Module) -> bool:
    """Return whether the weights of a layer may be used without calling it.

    Quantization changes the class of a layer or the type of its weights, an adapter its class, and
    offloading, which keeps the weights elsewhere between calls, its `forward`. Hooks need calls.
    """
    if type(layer) not in (nn.Linear, nn.Conv2d):
        return False
    # In the trace of an export, weights have another type.
    has_own_weight = type(layer.weight) is nn.Parameter or torch.compiler.is_compiling()
    has_hooks = layer._forward_hooks or layer._forward_pre_hooks or "forward" in layer.__dict__
    return has_own_weight and not has_hooks


class PixelwiseLinear(nn.Linear):
    """`nn.Linear` on (B, H, W, C), computed on CPUs as a 1x1 convolution, which is faster there.

    It stays an `nn.Linear` for adapters and quantizers, which replace layers by type.
    """

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, H, W, in_features) -> (B, H, W, out_features)."""
        is_float32_on_cpu = pixels.device.type == "cpu" and pixels.dtype == torch.float32
        is_plain_weight = type(self.weight) is nn.Parameter  # not that of a quantized layer
        if is_traced() or not (is_float32_on_cpu and is_plain_weight and _HAS_ONEDNN):
            return super().forward(pixels)
        *size, channels = pixels.shape
        rows, columns = size[0] * size[1], size[2]
        while rows < _ONEDNN_BATCH and columns % 2 == 0:
            rows, columns = 2 * rows, columns // 2
        # Every row becomes an image of the batch. The permutations give strides of `channels_last`
        # even where sides of length 1 leave a choice.
        images = pixels.reshape(rows, 1, columns, channels).permute(0, 3, 1, 2)
        kernel = self.weight.contiguous()[:, None, None].permute(0, 3, 1, 2)
        mapped = nn.functional.conv2d(images, kernel, self.bias)
        return mapped.permute(0, 2, 3, 1).reshape(*size, self.out_features)


class ContinuousPixelMapping(nn.Module):
    """CPM: four linear layers on (interpolated F_cs, Z_rel) per output pixel (Sec. 3.2, Fig. 6).

    Bilinear interpolation commutes with a linear map of the channels, so the first layer's share of
    the features is computed at the source's size: the same result with p^2 times fewer operations.
    There it directly follows the convolution that makes F_cs, and the two become one convolution.
    Where one of the two is not `is_plain`, both are called.
    """

    def __init__(self, config: SCSNetConfig):
        super().__init__()
        self.aligned = config.align_corners
        self.aggregate = nn.Conv2d(
            config.hidden_sizes[0], config.mapping_size, 3, padding=1, padding_mode="replicate"
        )
        first, *rest = config.mapping_hidden_sizes
        self.first = nn.Linear(config.mapping_size + 2, first)
        sizes = (first, *rest, 3)
        self.layers = nn.ModuleList(PixelwiseLinear(*pair) for pair in pairwise(sizes))

    @property
    def last(self) -> nn.Module:
        """The layer whose outputs are the pixels."""
        return self.layers[-1]

    def forward(self, features: torch.Tensor, grid: PixelGrid) -> torch.Tensor:
        """F_tex + F_color (B, C, H, W) -> normalized Lab (B, 3, ho, wo)."""
        vertical, horizontal = (
            axis_coordinates(grid, axis, features.device, self.aligned) for axis in (0, 1)
        )
        is_folded = is_plain(self.aggregate) and is_plain(self.first)
        if is_folded:
            features = self._first_layer(features)
            # Z_rel is (x, y): its share of the first layer is a sum of a row and a column vector.
            along_x, along_y = (
                axis.relative[..., None].to(features.dtype) * weight
                for axis, weight in zip(
                    (horizontal, vertical), self.first.weight[:, -2:].unbind(1), strict=True
                )
            )
        else:
            features = self.aggregate(features).permute(0, 2, 3, 1)  # F_cs

        def compute_rows(start: int, stop: int) -> torch.Tensor:
            here = vertical.rows(start, stop)
            if is_folded:
                along = {"along_y": along_y[:, start:stop], "along_x": along_x}
                pixels = lookup(features, here, horizontal, **along)
            else:
                pixels = lookup(features, here, horizontal)
                x, y = horizontal.relative[:, None], here.relative[:, :, None]
                position = torch.stack(torch.broadcast_tensors(x, y), dim=-1).to(pixels)
                position = position.expand(len(pixels), -1, -1, -1)
                pixels = self.first(torch.cat((pixels, position), dim=-1))
            for layer in self.layers:
                pixels = layer(pixels.relu_())
            return pixels

        height, width = grid.length
        pixels = in_row_blocks(compute_rows, height, width * features.shape[-1])
        return pixels.permute(0, 3, 1, 2)

    def _first_layer(self, features: torch.Tensor) -> torch.Tensor:
        """F_cs and the first layer's share of it in one convolution: (B, H, W, first layer)."""
        # A copy, or the address of the weights in a file would decide how sums are rounded.
        weight = self.first.weight[:, :-2].contiguous()
        kernel = torch.einsum("nm,mchw->nchw", weight, self.aggregate.weight)
        bias = nn.functional.linear(self.aggregate.bias, weight, self.first.bias)
        padded = nn.functional.pad(features, (1,) * 4, mode="replicate")
        return nn.functional.conv2d(padded, kernel, bias).permute(0, 2, 3, 1)


class PixelShuffle(nn.Module):
    """Sub-pixel convolution at the fixed factor 4, resized to the grid (baseline of Table 5)."""

    aligned = False

    def __init__(self, config: SCSNetConfig):
        super().__init__()
        factor = _PIXELSHUFFLE_FACTOR
        self.aggregate = nn.Conv2d(
            config.hidden_sizes[0], config.mapping_size, 3, padding=1, padding_mode="replicate"
        )
        self.expand = nn.Conv2d(
            config.mapping_size, 3 * factor**2, 3, padding=1, padding_mode="replicate"
        )
        self.shuffle = nn.PixelShuffle(factor)

    @property
    def last(self) -> nn.Module:
        """The layer whose outputs are the pixels."""
        return self.expand

    def forward(self, features: torch.Tensor, grid: PixelGrid) -> torch.Tensor:
        """F_tex + F_color (B, C, H, W) -> normalized Lab (B, 3, ho, wo)."""
        pixels = self.shuffle(self.expand(self.aggregate(features).relu()))
        source, origin = (
            tuple(value * _PIXELSHUFFLE_FACTOR for value in pair)
            for pair in (grid.source, grid.origin)
        )
        return resize(pixels, grid._replace(source=source, origin=origin))


class MetaUpscale(nn.Module):
    """Meta-SR: a small network predicts a 3x3 kernel for every output pixel (Hu et al. 2019)."""

    aligned = False

    def __init__(self, config: SCSNetConfig):
        super().__init__()
        self.kernel_size = _META_KERNEL**2 * config.hidden_sizes[0]
        self.predict = nn.Sequential(
            PixelwiseLinear(3, _META_HIDDEN),
            nn.ReLU(),
            PixelwiseLinear(_META_HIDDEN, 3 * self.kernel_size),
        )

    @property
    def last(self) -> nn.Module:
        """The layer whose outputs are the kernels."""
        return self.predict[-1]

    def forward(self, features: torch.Tensor, grid: PixelGrid) -> torch.Tensor:
        """F_tex + F_color (B, C, H, W) -> normalized Lab (B, 3, ho, wo)."""
        batch, _, height, width = features.shape
        padded = nn.functional.pad(features, (_META_KERNEL // 2,) * 4, mode="replicate")
        patches = nn.functional.unfold(padded, _META_KERNEL)  # (B, 9C, H*W)
        # Contiguous, or every block of rows would copy all of them again.
        patches = patches.view(batch, -1, height, width).permute(0, 2, 3, 1).contiguous()
        vertical, horizontal = (axis_coordinates(grid, axis, features.device) for axis in (0, 1))

        def compute_rows(start: int, stop: int) -> torch.Tensor:
            here = vertical.rows(start, stop)
            nearest = lookup(patches, _to_anchor(here), _to_anchor(horizontal))
            kernels = self.predict(self._conditions(here, horizontal, grid, features.dtype))
            kernels = kernels.view(*kernels.shape[:-1], self.kernel_size, 3)
            return torch.einsum("bhwk,bhwkc->bhwc", nearest, kernels.expand(batch, -1, -1, -1, -1))

        length, columns = grid.length
        pixels = in_row_blocks(compute_rows, length, columns * self.kernel_size * 3)
        return pixels.permute(0, 3, 1, 2)

    def _conditions(
        self,
        vertical: AxisCoordinates,
        horizontal: AxisCoordinates,
        grid: PixelGrid,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        """(offset y, offset x, 1 / p) of every pixel: (1 or B, ho, wo, 3)."""
        device = vertical.relative.device
        y, x = vertical.relative[:, :, None], horizontal.relative[:, None]
        source, output = (
            as_column(values[0], device)[:, None] for values in (grid.source, grid.output)
        )
        return torch.stack(torch.broadcast_tensors(y, x, source / output), dim=-1).to(dtype)


def _to_anchor(axis: AxisCoordinates) -> AxisCoordinates:
    """Round positions to the nearest source pixel."""
    nearest = axis.lower + (axis.fraction >= 0.5)
    return AxisCoordinates(nearest, torch.zeros_like(axis.fraction), axis.relative)


HEADS = {"cpm": ContinuousPixelMapping, "pixelshuffle": PixelShuffle, "meta": MetaUpscale}
