"""DUAL-GLOW with random weights, and random pairs to feed it with: nothing here comes from people.

The pairs do not look like brains either; figures made with them say nothing of a cohort.
"""

from typing import cast

import torch
from torch import nn
from torch.nn.functional import interpolate

from dualglow.models import COVARIATES, Batch, build
from dualglow.models.dualglow import DualGlow
from tests.benchmarks.networks import Size


def random_pairs(count: int, shape: tuple[int, int, int], device: torch.device, seed: int = 0) -> Batch:
    """Smooth random images in [0, 1], zero outside an ellipsoid, as brains are."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 2, *(size // 4 for size in shape), generator=generator)
    images = interpolate(coarse, shape, mode="trilinear") + 0.05 * torch.randn(count, 2, *shape, generator=generator)
    axes = torch.meshgrid(*(torch.linspace(-1, 1, size) for size in shape), indexing="ij")
    mask = (torch.stack(axes).square().sum(0) < 0.8).float().expand(count, 1, *shape).contiguous()
    mri, pet = (images.clamp(0, 1) * mask).split(1, dim=1)
    covariates = torch.zeros(count, COVARIATES)
    return Batch(*(tensor.contiguous().to(device) for tensor in (mri, pet, mask, covariates)))


def new_model(size: Size, device: torch.device, perturbed: float = 0.0) -> DualGlow:
    """Initialised from random pairs; `perturbed` is the spread of what is then added to the coupling networks' and the
    relations' weights, relative to 1/√inputs, for they start at 0."""
    torch.manual_seed(0)
    with device:
        options = {"levels": size.levels, "steps": size.steps, "hidden": size.hidden, "memory": "plain"}
        model = cast(DualGlow, build("dualglow", size.shape, options))
    model.to(device).initialise([random_pairs(4, size.shape, device)])
    for module in model.modules():
        if perturbed and isinstance(module, nn.Conv3d):
            weight = module.weight
            weight.data.add_(torch.randn_like(weight) * perturbed / weight[0].numel() ** 0.5)
    return model


def keep(model: DualGlow, memory: str) -> None:
    """Choose what the gradient keeps: plain, checkpoint or invert."""
    model.mri_flow.memory = model.pet_flow.memory = memory
