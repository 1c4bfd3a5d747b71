"""pix2pix (Isola et al., CVPR 2017) in 3D: U-Net generator with dropout as its noise, PatchGAN, L1."""

import torch
from torch import Generator, Tensor

from dualglow.errors import ConfigError
from dualglow.models.adversarial import Adversarial
from dualglow.models.interface import Batch
from dualglow.models.mean_start import inside
from dualglow.models.networks import Noise, PatchGan, UNet, check
from dualglow.models.share import uniform_noise


class Pix2Pix(Adversarial):
    """`l1_weight` is that of the absolute error beside the adversarial loss (100 in the paper, §3.1).

    `dropout` is the share of hidden features that the generator loses at random, in training and in samples; the
    prediction is made without. `temperature` scales its effect.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int = 64,
        l1_weight: float = 100.0,
        dropout: float = 0.5,
        from_mean: bool = False,
    ) -> None:
        check("pix2pix", shape, width)
        if l1_weight < 0:
            raise ConfigError(f"pix2pix: l1_weight is {l1_weight}; it must not be negative.")
        if not 0 <= dropout < 1:
            raise ConfigError(f"pix2pix: dropout is {dropout}; it must be at least 0 and below 1.")
        super().__init__(shape, UNet(width), PatchGan(width), 1.0, from_mean)
        self.l1_weight, self.dropout = l1_weight, dropout

    def reconstruction(self, made: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"l1": self.l1_weight * inside((made - batch.pet).abs(), batch.mask)}

    def generated(self, batch: Batch) -> Tensor:
        noise = self._dropped(uniform_noise, 1.0) if self.training else None
        return self.on_mean(self.generator(batch.mri, noise), batch.mask)

    def sample(self, mri: Tensor, covariates: Tensor, mask: Tensor, temperature: float, generator: Generator) -> Tensor:
        def drawn(hidden: Tensor) -> Tensor:
            return torch.rand(hidden.shape, generator=generator, device=generator.device).to(hidden)

        return self.on_mean(self.generator(mri, self._dropped(drawn, temperature)), mask)

    def _dropped(self, uniform: Noise, temperature: float) -> Noise:
        """Dropout that keeps the mean; at temperature 0 it does nothing."""

        def noise(hidden: Tensor) -> Tensor:
            kept = (uniform(hidden) >= self.dropout).to(hidden) / (1 - self.dropout)
            return hidden * (1 + temperature * (kept - 1))

        return noise
