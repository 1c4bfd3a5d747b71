"""Iterative Glow (Sun et al. 2019, §4): one flow of MRI and PET together; a PET is found by climbing its likelihood."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from dualglow.errors import ConfigError
from dualglow.flow.glow import Glow, StepOptions
from dualglow.models.first_pairs import first_pairs
from dualglow.models.interface import Batch, Synthesiser
from dualglow.models.likelihood import bits_per_voxel, centred, dequantised, log_density, standard_normal
from dualglow.models.mean_start import mean_pet


class IterativeGlow(Synthesiser):
    """Glow (Kingma & Dhariwal 2018) of the two images as two channels; 4 levels of 10 steps in the paper.

    A PET is found from the mean training PET by `iterations` steps of Adam (learning rate `ascent_rate`, window units)
    on log p(MRI, PET), kept in [0, 1] and in the mask; of all steps the likeliest counts. The paper calls it unstable.
    It has no noise of its own: every sample is the prediction. `memory` is what the gradient keeps (flow/memory.py).
    """

    stochastic: ClassVar[bool] = False
    mean: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        levels: int = 4,
        steps: int | Sequence[int] = 10,
        hidden: int = 512,
        iterations: int = 50,
        ascent_rate: float = 0.01,
        memory: str = "checkpoint",
    ) -> None:
        super().__init__()
        if iterations < 1:
            raise ConfigError(f"iglow: iterations is {iterations}; it must be 1 or more.")
        if ascent_rate <= 0:
            raise ConfigError(f"iglow: ascent_rate is {ascent_rate}; it must be above 0.")
        self.iterations, self.ascent_rate = iterations, ascent_rate
        self.register_buffer("mean", torch.zeros(1, 1, *shape))
        self.flow = Glow(2, shape, levels, steps, StepOptions(hidden), memory)

    @torch.no_grad()
    def initialise(self, batches: Iterable[Batch]) -> None:
        """Set every ActNorm from the first pairs, and take the mean training PET from all."""
        first, remaining = first_pairs(batches)
        self.mean.copy_(mean_pet(chain(first, remaining)))
        self.flow.initialise(dequantised(torch.cat([_both(batch.mri, batch.pet) for batch in first])))

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Bits per voxel of the two images together, half the sum of what each would have; mean over the batch."""
        images = _both(batch.mri, batch.pet)
        bits = self._bits(dequantised(images) if self.training else centred(images)).mean()
        return bits, {"joint_bits": bits.detach()}

    def predict(self, mri: Tensor, covariates: Tensor, mask: Tensor) -> Tensor:
        """The likeliest PET that the climb came by, for each MRI."""
        best = self.mean * mask
        lowest = torch.full((len(mri),), float("inf"), device=mri.device)
        with torch.enable_grad():
            climbing = best.detach().clone().requires_grad_()
            adam = torch.optim.Adam([climbing], lr=self.ascent_rate)
            for _ in range(self.iterations + 1):
                bits = self._bits(centred(_both(mri, climbing)))
                better = bits.detach() < lowest
                lowest = torch.where(better, bits.detach(), lowest)
                best = torch.where(better[:, None, None, None, None], climbing.detach(), best)
                (climbing.grad,) = torch.autograd.grad(bits.sum(), climbing)
                adam.step()
                climbing.data = climbing.data.clamp(0, 1) * mask
        return best

    def sample(self, mri: Tensor, covariates: Tensor, mask: Tensor, temperature: float, generator: Generator) -> Tensor:
        return self.predict(mri, covariates, mask)

    def networks(self) -> Iterable[nn.Module]:
        return self.flow.networks()

    def _bits(self, images: Tensor) -> Tensor:
        latents, ladj = self.flow(images)
        return bits_per_voxel(ladj + log_density(latents, standard_normal(latents)), images[0].numel())


def _both(mri: Tensor, pet: Tensor) -> Tensor:
    return torch.cat([mri, pet], dim=1)
