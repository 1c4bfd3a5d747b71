"""Conditional GAN (Nie et al., IEEE Trans. Biomed. Eng. 65:2720, 2018), as DUAL-GLOW was compared with it, in 3D."""

from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from dualglow.errors import ConfigError
from dualglow.models.adversarial import Adversarial
from dualglow.models.interface import Batch
from dualglow.models.mean_start import inside
from dualglow.models.networks import UNet, check, plain_generator, residual_discriminator

CONVOLUTIONS = 12  # of the generator (Sun et al. 2019, §4)


class ConditionalGan(Adversarial):
    """Adversarial loss, squared error and gradient difference (Nie et al. 2018, eqs 3 to 5).

    Generator of 12 convolutions, discriminator of 8 residual blocks; `width` is their number of channels,
    `gradient_weight` that of the gradient difference beside the squared error. It has no noise: every sample is the
    prediction.
    """

    stochastic: ClassVar[bool] = False
    name: ClassVar[str] = "cgan"

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int = 32,
        adversarial_weight: float = 0.001,
        gradient_weight: float = 1.0,
        from_mean: bool = False,
    ) -> None:
        check(self.name, shape, width)
        if gradient_weight < 0:
            raise ConfigError(f"{self.name}: gradient_weight is {gradient_weight}; it must not be negative.")
        discriminator = residual_discriminator(shape, width)
        super().__init__(shape, self.drawer(width), discriminator, adversarial_weight, from_mean)
        self.gradient_weight = gradient_weight

    def drawer(self, width: int) -> nn.Module:
        """The generator."""
        return plain_generator(width, CONVOLUTIONS)

    def reconstruction(self, made: Tensor, batch: Batch) -> dict[str, Tensor]:
        real = batch.pet * batch.mask
        return {
            "mse": inside((made - real).square(), batch.mask),
            "gradients": self.gradient_weight * gradient_difference(made, real),
        }

    def sample(self, mri: Tensor, covariates: Tensor, mask: Tensor, temperature: float, generator: Generator) -> Tensor:
        return self.predict(mri, covariates, mask)


class UNetGan(ConditionalGan):
    """The same with a U-Net of 15 convolutions for a generator (UcGAN of Sun et al. 2019, §4)."""

    name: ClassVar[str] = "ucgan"

    def drawer(self, width: int) -> nn.Module:
        return UNet(width)


def gradient_difference(one: Tensor, other: Tensor) -> Tensor:
    """Mean over voxels and axes of (|∂one| − |∂other|)², ∂ the difference of neighbours (Nie et al. 2018, eq. 4)."""
    terms = [(one.diff(dim=axis).abs() - other.diff(dim=axis).abs()).square().mean() for axis in range(2, one.ndim)]
    return torch.stack(terms).mean()
