"""Densities in the units of the paper: bits per voxel of an image with 256 grey values in [0, 1]."""

from collections.abc import Iterable
from math import log, log2, pi

import torch
from torch import Tensor

from dualglow.models.share import uniform_noise

NOISE = 1 / 256
"""Width of the uniform noise that dequantises an image in [0, 1] with 256 grey values (Kingma & Dhariwal 2018, §2)."""

Gaussian = tuple[Tensor, Tensor]
"""Mean and log of the standard deviation, of the shape of the latent that they describe."""


def centred(image: Tensor) -> Tensor:
    """Image in [0, 1] to [-0.5, 0.5], at the middle of its grey value: where the training noise has its mean."""
    return image - 0.5 + NOISE / 2


def dequantised(image: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Image in [0, 1] to [-0.5, 0.5], spread over its grey value: a constant background has no infinite density."""
    if generator is None:
        noise = uniform_noise(image)
    else:
        noise = torch.rand(image.shape, generator=generator, device=image.device, dtype=image.dtype)
    return image - 0.5 + NOISE * noise


def from_centred(image: Tensor) -> Tensor:
    """The way back from `centred`."""
    return image + 0.5 - NOISE / 2


def log_density(latents: Iterable[Tensor], priors: Iterable[Gaussian]) -> Tensor:
    """Log-density (B,) in nats of latents (B, channels, *spatial) under their diagonal Gaussians."""
    return torch.stack([_log_normal(z, *prior) for z, prior in zip(latents, priors, strict=True)]).sum(0)


def _log_normal(z: Tensor, mean: Tensor, log_sd: Tensor) -> Tensor:
    terms = -0.5 * log(2 * pi) - log_sd - 0.5 * ((z - mean) * (-log_sd).exp()).square()
    return terms.flatten(1).sum(1)


def standard_normal(latents: Iterable[Tensor]) -> list[Gaussian]:
    """The prior of the MRI latents."""
    return [(torch.zeros_like(z), torch.zeros_like(z)) for z in latents]


def bits_per_voxel(log_density: Tensor, voxels: int) -> Tensor:
    """Bits per voxel (B,), from log-densities in nats (B,)."""
    return -log_density / voxels / log(2) - log2(NOISE)
