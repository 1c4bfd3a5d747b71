"""DUAL-GLOW: two invertible networks and a relation network between their latent codes (Sun et al., ICCV 2019)."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import ClassVar

import torch
from torch import Tensor, nn

from dualglow.errors import ConfigError
from dualglow.flow.glow import Glow, StepOptions
from dualglow.flow.squeeze import Squeeze
from dualglow.models.covariates import Reader, check_names, columns, gradient_reversal
from dualglow.models.first_pairs import first_pairs
from dualglow.models.interface import Batch, Density, Synthesiser
from dualglow.models.likelihood import (
    Gaussian,
    bits_per_voxel,
    centred,
    dequantised,
    from_centred,
    log_density,
    standard_normal,
)
from dualglow.models.prior import PetPrior, RelationOptions
from dualglow.models.voxel_prior import LatentMoments

CONDITIONINGS = ("replace", "add")


class DualGlow(Synthesiser, Density):
    """p(PET | MRI) and p(MRI), each as a flow, tied by the relation network.

    The options' defaults are the paper's: `levels`, `steps` per level (one number or a list) and `hidden` channels of
    each network (§4.1), `relation_kernel` (voxels, odd), `prior_weight` λ of p(MRI) (eq. 12).

    `mixing`, `coupling`, `log_scale_factor`, `network_actnorm`, `edge_channel` (see StepOptions), `relation_bias`,
    `relation_leaky`, `unit_variance` (see RelationOptions) and `learn_top` are where the authors' released code
    differs; config/released-code.yaml sets them all.

    `covariates` (of age, sex, group) make the conditional model (eqs 16 and 17) with `conditioning` `replace`:
    they take the place of the top MRI latent, readers behind gradient reversal keep them out of the lower MRI latents,
    plain ones keep them in the top latents of both, each with `covariate_weight`. `add` is the released code's way: an
    embedding in the mean of every level, one reader of the PET latents.

    Beyond the paper: `spatial_prior` gives each latent voxel a line and sd of its own, see VoxelPrior. `memory` (plain,
    checkpoint, invert) is what the gradient keeps, see flow/memory.py. `channels` are those of MRI and PET; `shape`
    has one to three axes.

    Raises ConfigError if an option cannot be used.
    """

    default_covariates: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        shape: tuple[int, ...],
        levels: int = 4,
        steps: int | Sequence[int] = 16,
        hidden: int = 512,
        mixing: str = "lu",
        coupling: str = "exp",
        log_scale_factor: float = 1.0,
        network_actnorm: bool = False,
        edge_channel: bool = False,
        relation_kernel: int = 3,
        relation_bias: bool = True,
        relation_leaky: bool = False,
        unit_variance: bool = False,
        learn_top: bool = False,
        prior_weight: float = 0.001,
        covariates: Sequence[str] = (),
        conditioning: str = "replace",
        covariate_weight: float = 0.01,
        spatial_prior: bool = False,
        memory: str = "checkpoint",
        channels: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        self.names = tuple(covariates) or self.default_covariates
        _check(prior_weight, covariate_weight, conditioning, self.names, levels)
        self.prior_weight, self.covariate_weight = prior_weight, covariate_weight
        self.conditioning, self.spatial_prior = conditioning, spatial_prior
        step = StepOptions(hidden, mixing, coupling, log_scale_factor, network_actnorm, edge_channel)
        relation = RelationOptions(relation_kernel, relation_bias, relation_leaky, unit_variance, spatial_prior)
        self.mri_flow, self.pet_flow = (Glow(count, shape, levels, steps, step, memory) for count in channels)
        if channels[0] == channels[1]:
            # Both networks start from the same random rotations, so that a channel of the MRI latent says something
            # about the same channel of the PET latent from the first step on.
            self.pet_flow.load_state_dict(self.mri_flow.state_dict())
        shapes = self.mri_flow.latent_shapes, self.pet_flow.latent_shapes
        self.prior = PetPrior(*shapes, relation, self.names, conditioning, learn_top)
        self.readers = self._readers(channels[1], len(shape)) if self.names else None

    @property
    def told(self) -> tuple[str, ...]:
        return self.names

    def _readers(self, pet_channels: int, dims: int) -> nn.ModuleList:
        """One per MRI latent and one of the top PET latent; or one of the PET latents as an image (`add`)."""
        if self.conditioning == "add":
            return nn.ModuleList([Reader(pet_channels, dims, self.names)])
        shapes = [*self.mri_flow.latent_shapes, self.pet_flow.latent_shapes[-1]]
        return nn.ModuleList(Reader(shape[0], dims, self.names) for shape in shapes)

    @torch.no_grad()
    def initialise(self, batches: Iterable[Batch]) -> None:
        """Set every ActNorm from the first pairs; with `spatial_prior`, then fit the priors to all of them."""
        first, remaining = first_pairs(batches)
        self.mri_flow.initialise(self._input(torch.cat([batch.mri for batch in first])))
        self.pet_flow.initialise(self._input(torch.cat([batch.pet for batch in first])))
        if self.spatial_prior:
            self._fit_spatial_prior(chain(first, remaining), with_sd=True)

    @torch.no_grad()
    def refit(self, batches: Iterable[Batch]) -> None:
        """With `spatial_prior`, fit the priors' lines to the latents as they now are.

        Each step changes the latents of all voxels, while each voxel's line sees few people and moves by the learning
        rate at most: left to the steps, the lines lag behind, and the error of the images grows while the bits fall.
        """
        if self.spatial_prior:
            self._fit_spatial_prior(batches, with_sd=False)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Bits per voxel of PET given MRI plus λ times those of MRI (eq. 12), means over the batch.

        With covariates, plus `covariate_weight` times the readers' losses.
        """
        mri_latents, mri_ladj = self.mri_flow(self._input(batch.mri))
        pet_latents, pet_ladj = self.pet_flow(self._input(batch.pet))
        mri_log = mri_ladj + log_density(mri_latents, standard_normal(mri_latents))
        pet_log = pet_ladj + log_density(pet_latents, self._priors(mri_latents, batch.covariates))
        mri_bits, pet_bits = (
            bits_per_voxel(log, image[0].numel()).mean() for log, image in ((mri_log, batch.mri), (pet_log, batch.pet))
        )
        loss = pet_bits + self.prior_weight * mri_bits
        terms = {"pet_bits": pet_bits.detach(), "mri_bits": mri_bits.detach()}
        if self.readers is not None:
            told = self._covariate_loss(mri_latents, pet_latents, batch.covariates)
            loss = loss + self.covariate_weight * told
            terms["covariate_loss"] = told.detach()
        return loss, terms

    def bits(self, batch: Batch, generator: torch.Generator | None = None) -> Tensor:
        mri, pet = (
            centred(image) if generator is None else dequantised(image, generator) for image in (batch.mri, batch.pet)
        )
        mri_latents, _ = self.mri_flow(mri)
        pet_latents, ladj = self.pet_flow(pet)
        return bits_per_voxel(
            ladj + log_density(pet_latents, self._priors(mri_latents, batch.covariates)), pet[0].numel()
        )

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

    def networks(self) -> Iterable[nn.Module]:
        return chain(self.mri_flow.networks(), self.pet_flow.networks())

    def _conditionals(self, mri: Tensor, covariates: Tensor) -> list[Gaussian]:
        """Mean and log-sd of every PET latent given the MRI, taken at the middle of its grey values."""
        return self._priors(self.mri_flow(centred(mri))[0], covariates)

    def _priors(self, mri_latents: list[Tensor], covariates: Tensor, spatial: bool = True) -> list[Gaussian]:
        with torch.autocast(covariates.device.type, enabled=False):  # latents are never rounded
            priors: list[Gaussian] = self.prior(
                mri_latents, columns(covariates, self.names) if self.names else covariates, spatial
            )
        return priors

    def _decode(self, latents: list[Tensor], mask: Tensor) -> Tensor:
        return from_centred(self.pet_flow.inverse(latents)) * mask

    def _input(self, image: Tensor) -> Tensor:
        return dequantised(image) if self.training else centred(image)

    def _covariate_loss(self, mri_latents: list[Tensor], pet_latents: list[Tensor], covariates: Tensor) -> Tensor:
        """Sum over the readers."""
        assert self.readers is not None
        if self.conditioning == "add":
            read = [unsqueezed(pet_latents)]
        else:
            read = [*(gradient_reversal(z) for z in mri_latents[:-1]), mri_latents[-1], pet_latents[-1]]
        with torch.autocast(covariates.device.type, enabled=False):
            return torch.stack([reader(z, covariates) for reader, z in zip(self.readers, read, strict=True)]).sum()

    def _fit_spatial_prior(self, batches: Iterable[Batch], with_sd: bool) -> None:
        """Stream the training latents once, then set every level's prior from what the rest leaves of their means."""
        moments = [LatentMoments() for _ in self.prior.levels]
        for batch in batches:
            mri_latents, _ = self.mri_flow(self._input(batch.mri))
            pet_latents, _ = self.pet_flow(self._input(batch.pet))
            known = columns(batch.covariates, self.names) if self.names else None
            rest = self._priors(mri_latents, batch.covariates, spatial=False)
            for level, mri, pet, (mean, _) in zip(moments, mri_latents, pet_latents, rest, strict=True):
                level.add(mri, pet - mean, known)
        self.prior.fit(moments, with_sd)


class ConditionalDualGlow(DualGlow):
    """DUAL-GLOW with side information (eqs 16 and 17); where no covariates are given, the paper's: age."""

    default_covariates: ClassVar[tuple[str, ...]] = ("age",)


def unsqueezed(latents: Sequence[Tensor]) -> Tensor:
    """The latents of all levels, put back where they were in the image, as (B, image channels, *shape)."""
    squeeze = Squeeze()
    x = latents[-1][:, :0]
    for latent in reversed(latents):
        x = squeeze.inverse(torch.cat([x, latent], dim=1))
    return x


def _check(
    prior_weight: float, covariate_weight: float, conditioning: str, covariates: Sequence[str], levels: int
) -> None:
    for name, value in (("prior_weight", prior_weight), ("covariate_weight", covariate_weight)):
        if value < 0:
            raise ConfigError(f"dualglow: {name} is {value}; it must not be negative.")
    if conditioning not in CONDITIONINGS:
        raise ConfigError(f"dualglow: conditioning is {conditioning!r}; choose one of {', '.join(CONDITIONINGS)}.")
    check_names(covariates)
    if covariates and conditioning == "replace" and levels < 2:
        raise ConfigError(
            "dualglow: with covariates in the place of the top MRI latent and levels: 1, no MRI would reach the PET. "
            "Choose 2 levels or more, or conditioning: add."
        )
