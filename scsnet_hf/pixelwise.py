"""`PixelwiseLinear`: a linear layer over pixels, by the faster of two ways that a CPU has.

PyTorch hands linear layers to a BLAS, and convolutions to oneDNN, which may take half of the time
or less. A convolution of one pixel is the same sum.
"""

import torch
from torch import nn

_HAS_ONEDNN = torch.backends.mkldnn.is_available()  # its former name
_MANY = 16  # pictures, from which on also one thread leaves such convolutions to oneDNN


class PixelwiseLinear(nn.Linear):
    """`nn.Linear` over (B, H, W, C), to what wraps or replaces layers by type too."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, H, W, in_features) -> (B, H, W, out_features)."""
        is_float32_on_cpu = pixels.device.type == "cpu" and pixels.dtype == torch.float32
        if is_recorded() or not (is_float32_on_cpu and _HAS_ONEDNN):
            return super().forward(pixels)
        *size, channels = pixels.shape
        rows, columns = size[0] * size[1], size[2]
        while rows < _MANY and columns % 2 == 0:
            rows, columns = 2 * rows, columns // 2
        # Every row is a picture, and strides are those of `channels_last` even where sides of
        # length 1 leave a choice.
        pictures = pixels.reshape(rows, 1, columns, channels).permute(0, 3, 1, 2)
        kernel = self.weight.contiguous()[:, None, None].permute(0, 3, 1, 2)
        mapped = nn.functional.conv2d(pictures, kernel, self.bias)
        return mapped.permute(0, 2, 3, 1).reshape(*size, self.out_features)


def is_recorded() -> bool:
    """Whether operations are recorded, for gradients or to be compiled or exported."""
    return torch.is_grad_enabled() or torch.compiler.is_compiling()
