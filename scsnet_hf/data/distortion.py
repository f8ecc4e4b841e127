"""Elastic distortion of references (Simard et al. 2003)."""

import torch


def _gaussian_kernel(sigma: float, device: torch.device) -> torch.Tensor:
    radius = max(1, round(3 * sigma))
    positions = torch.arange(-radius, radius + 1, device=device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (positions / sigma) ** 2)
    return kernel / kernel.sum()


def _draws(
    batch: int,
    height: int,
    width: int,
    generator: torch.Generator | list[torch.Generator] | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw noise in [-1, 1), (2 B, 1, H, W), and which images to flip, (B,)."""
    if isinstance(generator, list):
        if len(generator) != batch:
            raise ValueError(f"{len(generator)} generators for {batch} images: give one for each")
        draws = [_draws(1, height, width, one) for one in generator]
        fields, flips = zip(*draws, strict=True)
        return torch.cat(fields), torch.cat(flips)
    field = torch.rand(2 * batch, 1, height, width, generator=generator) * 2 - 1
    return field, torch.rand(batch, generator=generator) < 0.5


def elastic_distortion(
    images: torch.Tensor,
    amplitude: float | torch.Tensor = 0.03,
    smoothness: float = 0.08,
    generator: torch.Generator | list[torch.Generator] | None = None,
) -> torch.Tensor:
    """Distort each image elastically, and flip half of them horizontally (Simard et al. 2003).

    Args:
        images: (B, C, H, W), float, of any range.
        amplitude: root mean square of the displacement, as a share of the side; (B,) gives each
            image its own.
        smoothness: standard deviation of the Gaussian that smooths the displacement field, as a
            share of the shorter side.
        generator: source of the randomness, on the CPU; a list has one for each image, so that
            an image's distortion does not depend on the others of the batch.

    Returns:
        The distorted images, (B, C, H, W), with repeated borders.

    Raises:
        ValueError: if the number of generators differs from that of images.
    """
    batch, _, height, width = images.shape
    field, flip = _draws(batch, height, width, generator)
    field, flip = field.to(images.device), flip.to(images.device)
    kernel = _gaussian_kernel(max(0.5, smoothness * min(height, width)), images.device)
    radius = len(kernel) // 2
    for shape, padding in (((1, 1, -1, 1), (radius, 0)), ((1, 1, 1, -1), (0, radius))):
        field = torch.nn.functional.conv2d(field, kernel.view(shape), padding=padding)
    field = field.view(batch, 2, height, width)
    field = field / field.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
    identity = torch.eye(2, 3, device=images.device).repeat(batch, 1, 1)
    identity[:, 0, 0] = torch.where(flip, -1.0, 1.0)
    grid = torch.nn.functional.affine_grid(identity, list(images.shape), align_corners=False)
    amplitude = torch.as_tensor(amplitude, device=images.device).view(-1, 1, 1, 1)
    grid = grid + 2 * amplitude * field.permute(0, 2, 3, 1)
    return torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
