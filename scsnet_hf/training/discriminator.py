"""The discriminator of the adversarial loss, which the paper does not describe.

Ours is a PatchGAN (Isola et al. 2017) with spectral normalization (Miyato et al. 2018). It gives
one score per patch, so it judges texture and local color, which the other two losses leave blurred
and gray. Without linear layers it takes images of any size, and it is small compared with the
network. The bounded slope of its normalized layers keeps the least-squares loss stable, which does
not saturate.
"""

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

MIN_SIDE = 16  # pixels: 2 x 2 scores after three halvings


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(in_channels, out_channels, kernel, stride, padding=1))


class PatchDiscriminator(nn.Module):
    """Scores how real the patches of an image look, each of 54 x 54 pixels, 8 pixels apart.

    Nothing is normalized over the batch (spectral normalization acts on the weights), so the scores
    of an image depend neither on the other images of the batch nor on gradient accumulation or the
    number of processes.

    Args:
        width: channels of the first layer; the next ones have 2, 4 and 8 times as many.

    Example:
        >>> PatchDiscriminator()(torch.zeros(1, 3, 128, 128)).shape
        torch.Size([1, 1, 16, 16])
    """

    def __init__(self, width: int = 64):
        super().__init__()
        layers = [
            _conv(3, width, kernel=4, stride=2),
            _conv(width, 2 * width, kernel=4, stride=2),
            _conv(2 * width, 4 * width, kernel=4, stride=2),
            _conv(4 * width, 8 * width, kernel=3, stride=1),
        ]
        self.body = nn.Sequential(*(nn.Sequential(layer, nn.LeakyReLU(0.2)) for layer in layers))
        self.head = _conv(8 * width, 1, kernel=3, stride=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Score every patch.

        In train mode each call also takes one step of the power iteration that estimates the
        layers' norms; in eval mode the call changes nothing.

        Args:
            images: normalized Lab at output resolution, (B, 3, Ho, Wo), sides of at least 16
                pixels.

        Returns:
            Unbounded scores, float32, (B, 1, Ho // 8, Wo // 8). Larger is more real; only
            differences are meaningful, since the loss is relativistic.

        Raises:
            ValueError: if `images` has another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < MIN_SIDE:
            raise ValueError(
                f"the discriminator takes (B, 3, H, W) with sides of at least {MIN_SIDE} pixels, "
                f"got {tuple(images.shape)}: train with a larger output or no adversarial loss"
            )
        return self.head(self.body(images)).float()
