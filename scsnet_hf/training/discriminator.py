"""The discriminator of the adversarial loss, which the paper does not describe.

Ours is a PatchGAN (Isola et al. 2017) with spectral normalization (Miyato et al. 2018). It gives
one score per patch, so it judges texture and local color, which is what the other two losses leave
blurred and gray; what the whole shows is their business. Having no linear layer it takes images
of any size, as the network makes them; it is light beside the network; and the bounded
slope of normalized layers keeps the least-squares loss stable, which has no saturation of its own.
"""

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

MIN_SIDE = 16  # px: three halvings leave a score 2 x 2 positions to see


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(in_channels, out_channels, kernel, stride, padding=1))


class PatchDiscriminator(nn.Module):
    """Scores of how real the patches of an image look, each of 54 x 54 px, 8 px apart.

    Nothing normalizes over the batch (spectral normalization acts on the weights): the score of a
    image does not depend on its neighbors in the batch, nor, therefore, on gradient
    accumulation or the number of processes.

    Args:
        width: channels of the first layer; the next have 2, 4 and 8 times as many.
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
            images: normalized Lab at output resolution, (B, 3, Ho, Wo), sides of at least 16 px.

        Returns:
            Scores without bounds, float32, (B, 1, Ho // 8, Wo // 8); larger is more real, and only
            differences mean something (the loss is relativistic).

        Raises:
            ValueError: if the shape is another.
        """
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < MIN_SIDE:
            raise ValueError(
                f"the discriminator takes (B, 3, H, W) with sides of at least {MIN_SIDE} px, got "
                f"{tuple(images.shape)}: train with a larger output, or without adversarial loss"
            )
        return self.head(self.body(images)).float()
