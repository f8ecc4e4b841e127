"""The objective of Sec. 3.3: content, perceptual and adversarial loss (Eqs. 4 to 7).

All losses are computed in float32, whatever the dtype of their arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import distributed, nn

from ..color import denormalize_lab, lab_to_srgb
from .vgg import VGG16Features

_LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # w_1 to w_5 of Eq. 6, Sec. 4.1
_HUBER_BETA = 33 / 110  # normalized a or b: errors below it count by their square
_DOUBLE_WEIGHT_CHROMA = 60 / 110  # normalized chroma whose errors weigh twice those of gray


@dataclass(frozen=True)
class LossWeights:
    """Weights of the loss terms (Eq. 4), where 0 turns a term off.

    The defaults are the paper's (Sec. 3.3).

    Args:
        content: lambda_C, weight of the l1 distance in normalized Lab (Eq. 5).
        perceptual: lambda_P, weight of the distance of VGG16 activations (Eq. 6).
        adversarial: lambda_Adv, weight of the relativistic adversarial loss (Eq. 7).
        color_readout: weight of the content loss between the colors of the source and those read
            linearly from F_color, see `ColorReadout`; not in the paper.
        channels: weights of L, a and b within the content loss; equal in the paper.
        vivid: compare colors by `content_loss` with `vivid=True`; not in the paper.

    Raises:
        ValueError: if a weight is negative, or there are not three channel weights.

    Example:
        >>> LossWeights(adversarial=0.0).sees_result
        True
    """

    content: float = 10.0
    perceptual: float = 5.0
    adversarial: float = 1.0
    color_readout: float = 0.0
    channels: tuple[float, float, float] = (1.0, 1.0, 1.0)
    vivid: bool = False

    def __post_init__(self):
        if len(self.channels) != 3:
            raise ValueError(f"channels={self.channels}: give three weights, of L, a and b")
        for field in fields(self):
            value = getattr(self, field.name)
            weights = value if field.name == "channels" else (value,)
            if not all(weight >= 0 for weight in weights):
                raise ValueError(f"{field.name}={value}: a weight must be 0 (off) or more")

    @property
    def sees_result(self) -> bool:
        """Whether any term compares the result of the network, not only F_color."""
        return any((self.content, self.perceptual, self.adversarial))


# The rows of Table 4, named after their terms.
LOSS_PRESETS: dict[str, LossWeights] = {
    "content": LossWeights(perceptual=0.0, adversarial=0.0),
    "content+perceptual": LossWeights(adversarial=0.0),
    "content+adversarial": LossWeights(perceptual=0.0),
    "full": LossWeights(),
}


def content_loss(
    result: torch.Tensor,
    target: torch.Tensor,
    channels: Sequence[float] = (1.0, 1.0, 1.0),
    vivid: bool = False,
) -> torch.Tensor:
    """Compute the weighted l1 distance (Eq. 5), as a mean that does not depend on the image size.

    Of all colors that an object may have, l1 prefers the median, which for most objects is a
    gray-brown. `vivid` prefers about the mean instead, with higher weights for strong colors as in
    Zhang et al. (2016): a and b are compared by the Huber distance (quadratic up to 33 units of CIE
    Lab), times 1 + C / 60, where C is the true chroma in CIE Lab.

    Args:
        result: normalized Lab (B, 3, H, W), or other C channels, such as a and b alone.
        target: the truth, of the same shape.
        channels: C weights; the loss is the mean over channels of weight times mean error.
        vivid: compare the last two channels, a and b, as described above; not in the paper.

    Returns:
        Scalar, float32.

    Raises:
        ValueError: if the shapes or the numbers of channels and weights differ.
    """
    _check_same_shape(result, target)
    if result.shape[1] != len(channels):
        raise ValueError(f"{len(channels)} channel weights for {result.shape[1]} channels")
    result, target = result.float(), target.float()
    errors = (result - target).abs()
    if vivid:
        errors = torch.cat((errors[:, :-2], _vivid_errors(result[:, -2:], target[:, -2:])), dim=1)
    return (errors.mean(dim=(0, 2, 3)) * errors.new_tensor(channels)).mean()


def _vivid_errors(result: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the weighted errors of a and b (B, 2, H, W) of `content_loss`."""
    weights = 1 + target.norm(dim=1, keepdim=True) / _DOUBLE_WEIGHT_CHROMA
    return weights * F.smooth_l1_loss(result, target, beta=_HUBER_BETA, reduction="none")


class PerceptualLoss(nn.Module):
    """The distance of VGG16 activations (Eq. 6), with the weights of Sec. 4.1.

    It has no trainable parameters. Keep it outside the model, so that checkpoints contain no VGG16.

    Args:
        features: the frozen VGG16.

    Example:
        >>> perceptual_loss = PerceptualLoss(VGG16Features.from_pretrained())
        >>> loss = perceptual_loss(model(**inputs).reconstruction, labels)
    """

    def __init__(self, features: VGG16Features):
        super().__init__()
        self.features = features

    def forward(self, result: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compare images, converted from Lab to RGB.

        Colors outside sRGB are clipped, and a clipped channel has no gradient here; only the
        content loss brings it back.

        Args:
            result: normalized Lab (B, 3, H, W), sides of at least 16 pixels.
            target: the truth, of the same shape, which gets no gradient.

        Returns:
            Scalar, float32: the weighted sum of the layers' mean absolute differences.

        Raises:
            ValueError: if shapes differ or are not as above.
        """
        _check_same_shape(result, target)
        with torch.no_grad():
            expected = self._activations(target)
        distances = (
            F.l1_loss(actual.float(), truth.float())
            for actual, truth in zip(self._activations(result), expected, strict=True)
        )
        return sum(w * d for w, d in zip(_LAYER_WEIGHTS, distances, strict=True))

    def _activations(self, normalized_lab: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.features(lab_to_srgb(denormalize_lab(normalized_lab)))


def _check_same_shape(result: torch.Tensor, target: torch.Tensor) -> None:
    # Broadcasting would hide the mistake.
    if result.shape != target.shape or result.ndim != 4:
        raise ValueError(
            "result and target must both be (B, C, H, W) of one shape, got "
            f"{tuple(result.shape)} and {tuple(target.shape)}"
        )


class _MeanOverProcesses(torch.autograd.Function):
    """Mean of a tensor over processes: a symmetric linear map, hence its own backward."""

    @staticmethod
    def forward(ctx, local: torch.Tensor) -> torch.Tensor:
        mean = local.clone()
        distributed.all_reduce(mean)
        return mean / distributed.get_world_size()

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        return _MeanOverProcesses.apply(gradient)


def global_mean(scores: torch.Tensor) -> torch.Tensor:
    """Compute a differentiable mean over the batches of all processes.

    Args:
        scores: any shape, the same in every process. Every process must make the same calls.

    Returns:
        Scalar, float32: `scores.mean()` with one process or outside `torch.distributed`.
    """
    # Every process' loss L_j depends on this mean m, and m on the scores of every process. The
    # backward gives a process k the average over j of dL_j/dm, times dm_k/dparameters. When the
    # parameters' gradients are then averaged over k, as DistributedDataParallel does, the sum is
    # (mean_j dL_j/dm) (mean_k dm_k/dparameters), just what one process with all scores computes.
    # Without gradients through the other processes' scores, these terms would be missing.
    mean = scores.float().mean()
    return _MeanOverProcesses.apply(mean) if _several_processes() else mean


def _several_processes() -> bool:
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_world_size() > 1
    )


def relativistic_discriminator_loss(
    real_scores: torch.Tensor, fake_scores: torch.Tensor
) -> torch.Tensor:
    """Compute the relativistic average least-squares loss of the discriminator D.

    L_D = E[(D(x_r) - E D(x_f) - 1)^2] + E[(D(x_f) - E D(x_r) + 1)^2] (Jolicoeur-Martineau 2018)
    is 0 if real images x_r score 1 more than the average generated image x_f, and generated ones 1
    less than the average real one.

    Eq. 7 is a misprint of it: there the generator has this loss, without the "+ 1", and the
    discriminator half of the generator's. Both would then pursue the other's goal, and the
    generator's second term would pull the scores of its images towards the mean of the real ones'.

    Args:
        real_scores: logits of real images, any shape.
        fake_scores: logits of generated images, any shape.

    Returns:
        Scalar, float32. The inner means are over all processes, the outer over this process's
        scores; DistributedDataParallel averages losses and gradients over processes.
    """
    real_lead = real_scores.float() - global_mean(fake_scores)
    fake_lead = fake_scores.float() - global_mean(real_scores)
    return (real_lead - 1).square().mean() + (fake_lead + 1).square().mean()


def relativistic_generator_loss(
    real_scores: torch.Tensor, fake_scores: torch.Tensor
) -> torch.Tensor:
    """Compute the relativistic average least-squares loss of the generator.

    L_G = E[(D(x_f) - E D(x_r) - 1)^2] + E[(D(x_r) - E D(x_f) + 1)^2] (Jolicoeur-Martineau 2018) is
    the discriminator's loss with real and generated images exchanged, see
    `relativistic_discriminator_loss` about Eq. 7.

    Args:
        real_scores: logits of real images, any shape.
        fake_scores: logits of generated images, any shape.

    Returns:
        Scalar, float32.
    """
    return relativistic_discriminator_loss(fake_scores, real_scores)
