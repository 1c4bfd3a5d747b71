"""DUAL-GLOW: two invertible networks and a relation network between their latent codes (Sun et al., ICCV 2019)."""

from collections.abc import Iterable, Sequence
from itertools import chain
from math import log, pi

import torch
from torch import Tensor, nn

from dualglow.errors import ConfigError, InputError
from dualglow.flow.glow import Glow
from dualglow.models.interface import COVARIATES, Batch, Synthesiser

NOISE = 1 / 256
"""Width of the uniform noise that dequantises an image in [0, 1] with 256 grey values (Kingma & Dhariwal 2018, §2)."""

FIRST_PAIRS = 4
"""ActNorm is set from at least so many training pairs, if there are as many."""


SHRINKAGE = 2.0
"""Pseudo-variance of the fitted slopes, as a share of the channel's mean variance over subjects; see VoxelPrior.fit.

Of 0.1, 0.5 and 2, the best by cross-validation within the training people of a simulated cohort of 24.
"""


class LatentMoments:
    """Sums over the training pairs of one level's latents, from which a VoxelPrior is fitted in closed form."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: tuple[Tensor, ...] = ()

    def add(self, mri: Tensor, pet: Tensor) -> None:
        """Count the latents (B, channels, X, Y, Z) of a batch in, in float64."""
        mri, pet = mri.double(), pet.double()
        new = tuple(part.sum(0) for part in (mri, pet, mri * mri, mri * pet, pet * pet))
        self.sums = tuple(old + part for old, part in zip(self.sums, new, strict=True)) if self.sums else new
        self.count += len(mri)

    def central(self) -> tuple[Tensor, ...]:
        """Mean of MRI and PET, variance of MRI, covariance, variance of PET; each (channels, X, Y, Z)."""
        mri, pet, mri_square, product, pet_square = (part / self.count for part in self.sums)
        return (
            mri,
            pet,
            (mri_square - mri * mri).clamp(min=0),
            product - mri * pet,
            (pet_square - pet * pet).clamp(min=0),
        )


class VoxelPrior(nn.Module):
    """A learned line per latent voxel: mean = slope · MRI latent + intercept, and a log-sd of its own.

    A convolution cannot tell one place from another except by the padding at the border, but the model grid is MNI
    space, where anatomy keeps its place: with a dozen subjects there is not enough data to learn positions from
    borders. Here every latent voxel starts from its own regression on the training subjects.
    """

    def __init__(self, latent_shape: Sequence[int]) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(*latent_shape))
        self.intercept = nn.Parameter(torch.zeros(*latent_shape))
        self.log_sd = nn.Parameter(torch.zeros(*latent_shape))

    def forward(self, mri_latent: Tensor) -> tuple[Tensor, Tensor]:
        return self.slope * mri_latent + self.intercept, self.log_sd

    def fit(self, moments: LatentMoments) -> None:
        """Least squares at each voxel, its slope drawn to the channel's common slope where the voxel varies little.

        The line goes through the means, so the mean MRI latent gives the mean PET latent. The residual variance counts
        the channel's mean as one more subject: a voxel that never varied in training must not claim to be certain.
        """
        mri, pet, mri_variance, covariance, pet_variance = moments.central()
        pooled = covariance.mean((1, 2, 3), keepdim=True)
        pooled_variance = mri_variance.mean((1, 2, 3), keepdim=True).clamp(min=1e-12)
        slope = (covariance + SHRINKAGE * pooled) / (mri_variance + SHRINKAGE * pooled_variance)
        residual = (pet_variance - 2 * slope * covariance + slope.square() * mri_variance).clamp(min=0)
        residual = (moments.count * residual + residual.mean((1, 2, 3), keepdim=True)) / (moments.count + 1)
        self.slope.copy_(slope)
        self.intercept.copy_(pet - slope * mri)
        self.log_sd.copy_(0.5 * residual.clamp(min=1e-12).log())


class Relation(nn.Module):
    """One level of the relation network: from the MRI latent to mean and log-sd of the PET latent (eq. 6).

    Shapes: the latents of both networks are (B, channels, X, Y, Z); so are mean and log-sd.
    The convolution starts at 0, that is, with the standard normal prior of Glow, or with the `spatial` prior alone.
    """

    def __init__(self, latent_shape: Sequence[int], kernel: int, spatial: bool) -> None:
        super().__init__()
        channels = latent_shape[0]
        self.convolution = nn.Conv3d(channels, 2 * channels, kernel, padding=kernel // 2)
        for parameter in self.convolution.parameters():
            nn.init.zeros_(parameter)
        self.spatial = VoxelPrior(latent_shape) if spatial else None

    def forward(self, mri_latent: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_sd = self.convolution(mri_latent).chunk(2, dim=1)
        if self.spatial is None:
            return mean, log_sd
        voxel_mean, voxel_log_sd = self.spatial(mri_latent)
        return mean + voxel_mean, log_sd + voxel_log_sd


class DualGlow(Synthesiser):
    """p(PET | MRI) and p(MRI), each as a flow, tied by the relation network.

    Options, with the paper's values as defaults: `levels`, `steps` per level and `hidden` channels of each network
    (§4.1), `relation_kernel` (voxels, odd), `prior_weight` λ of p(MRI) (eq. 12). Beyond the paper: `covariates` adds a
    linear function of age and sex to the mean of the top PET latent; `spatial_prior` gives each latent voxel a line and
    sd of its own, see VoxelPrior; `checkpoint` computes activations again in the backward pass to save memory.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        levels: int = 4,
        steps: int = 16,
        hidden: int = 512,
        relation_kernel: int = 3,
        prior_weight: float = 0.001,
        covariates: bool = False,
        spatial_prior: bool = False,
        checkpoint: bool = False,
    ) -> None:
        if relation_kernel < 1 or relation_kernel % 2 == 0:
            raise ConfigError(f"dualglow: relation_kernel is {relation_kernel}; it must be an odd number of voxels.")
        if prior_weight < 0:
            raise ConfigError(f"dualglow: prior_weight is {prior_weight}; it must not be negative.")
        super().__init__()
        self.prior_weight = prior_weight
        self.mri_flow = Glow(1, shape, levels, steps, hidden, checkpoint)
        self.pet_flow = Glow(1, shape, levels, steps, hidden, checkpoint)
        # Both networks start from the same random rotations, so that a channel of the MRI latent says something about
        # the same channel of the PET latent from the first step on.
        self.pet_flow.load_state_dict(self.mri_flow.state_dict())
        shapes = self.pet_flow.latent_shapes
        self.relations = nn.ModuleList(Relation(latent, relation_kernel, spatial_prior) for latent in shapes)
        self.covariate_mean = nn.Linear(COVARIATES, shapes[-1][0], bias=False) if covariates else None
        if self.covariate_mean is not None:
            nn.init.zeros_(self.covariate_mean.weight)

    @torch.no_grad()
    def initialise(self, batches: Iterable[Batch]) -> None:
        """Set every ActNorm from the first pairs; with `spatial_prior`, then fit the priors to all of them."""
        remaining = iter(batches)
        first: list[Batch] = []
        while sum(len(batch.mri) for batch in first) < FIRST_PAIRS and (batch := next(remaining, None)) is not None:
            first.append(batch)
        if not first:
            raise InputError("the training part of this fold has no pairs: check the column `part` of folds.tsv.")
        self.mri_flow.initialise(self._dequantised(torch.cat([batch.mri for batch in first])))
        self.pet_flow.initialise(self._dequantised(torch.cat([batch.pet for batch in first])))
        if any(relation.spatial is not None for relation in self.relations):
            self._fit_spatial_prior(chain(first, remaining))

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Bits per voxel of PET given MRI plus λ times those of MRI (eq. 12), means over the batch."""
        mri_latents, mri_ladj = self.mri_flow(self._dequantised(batch.mri))
        pet_latents, pet_ladj = self.pet_flow(self._dequantised(batch.pet))
        mri_log = mri_ladj + sum(_log_normal(z, torch.zeros_like(z), torch.zeros_like(z)) for z in mri_latents)
        priors = self._priors(mri_latents, batch.covariates)
        pet_log = pet_ladj + sum(_log_normal(z, *prior) for z, prior in zip(pet_latents, priors, strict=True))
        mri_bits, pet_bits = (_bits_per_voxel(value, batch.mri[0].numel()) for value in (mri_log, pet_log))
        loss = pet_bits + self.prior_weight * mri_bits
        return loss, {"pet_bits": pet_bits.detach(), "mri_bits": mri_bits.detach()}

    @torch.no_grad()
    def predict(self, mri: Tensor, covariates: Tensor, mask: Tensor) -> Tensor:
        """Decode the conditional means of the PET latents (the paper's synthesis, temperature 0)."""
        return self._decode([mean for mean, _ in self._conditionals(mri, covariates)], mask)

    @torch.no_grad()
    def sample(
        self, mri: Tensor, covariates: Tensor, mask: Tensor, temperature: float, generator: torch.Generator
    ) -> Tensor:
        latents = []
        for mean, log_sd in self._conditionals(mri, covariates):
            noise = torch.randn(mean.shape, generator=generator, device=generator.device, dtype=mean.dtype)
            latents.append(mean + temperature * log_sd.exp() * noise.to(mean.device))
        return self._decode(latents, mask)

    def _conditionals(self, mri: Tensor, covariates: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Mean and log-sd of every PET latent given the MRI, taken at the middle of its grey values."""
        latents, _ = self.mri_flow(_centred(mri))
        return self._priors(latents, covariates)

    def _priors(self, mri_latents: list[Tensor], covariates: Tensor) -> list[tuple[Tensor, Tensor]]:
        priors = [relation(z) for relation, z in zip(self.relations, mri_latents, strict=True)]
        if self.covariate_mean is not None:
            mean, log_sd = priors[-1]
            priors[-1] = mean + self.covariate_mean(covariates)[:, :, None, None, None], log_sd
        return priors

    def _decode(self, latents: list[Tensor], mask: Tensor) -> Tensor:
        return (self.pet_flow.inverse(latents) + 0.5 - NOISE / 2) * mask

    def _dequantised(self, image: Tensor) -> Tensor:
        """Image in [0, 1] to [-0.5, 0.5], spread over its grey value while training.

        Without the noise a constant background would have an infinite density.
        """
        if not self.training:
            return _centred(image)
        return image - 0.5 + NOISE * torch.rand_like(image)

    def _fit_spatial_prior(self, batches: Iterable[Batch]) -> None:
        """Stream the training latents once, then set every level's prior from their moments."""
        moments = [LatentMoments() for _ in self.relations]
        for batch in batches:
            mri_latents, _ = self.mri_flow(self._dequantised(batch.mri))
            pet_latents, _ = self.pet_flow(self._dequantised(batch.pet))
            for level, mri, pet in zip(moments, mri_latents, pet_latents, strict=True):
                level.add(mri, pet)
        for level, relation in zip(moments, self.relations, strict=True):
            if isinstance(relation.spatial, VoxelPrior):
                relation.spatial.fit(level)


def _centred(image: Tensor) -> Tensor:
    """Image in [0, 1] to [-0.5, 0.5], at the middle of its grey value: where the training noise has its mean."""
    return image - 0.5 + NOISE / 2


def _log_normal(z: Tensor, mean: Tensor, log_sd: Tensor) -> Tensor:
    """Log-density (B,) in nats of a diagonal Gaussian."""
    terms = -0.5 * log(2 * pi) - log_sd - 0.5 * ((z - mean) * (-log_sd).exp()).square()
    return terms.flatten(1).sum(1)


def _bits_per_voxel(log_density: Tensor, voxels: int) -> Tensor:
    """Mean bits per voxel of an image with 256 grey values in [0, 1], from its log-density in nats (B,)."""
    return (-log_density / voxels / log(2) - log(NOISE) / log(2)).mean()
