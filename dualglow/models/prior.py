"""The Gaussians of the PET latents: the relation network, and what covariates add to it or put in its place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from dualglow.errors import ConfigError
from dualglow.flow.network import CONVOLUTIONS
from dualglow.models.covariates import widths
from dualglow.models.likelihood import Gaussian
from dualglow.models.voxel_prior import LatentMoments, VoxelPrior

LOG_SD_BOUND = 4.0
"""The convolution's log-sd lies within ± this. The paper's is unbounded: one bad step could make the loss infinite."""


@dataclass(frozen=True)
class RelationOptions:
    """How one level's relation is built; the defaults are the paper's.

    kernel: voxels, odd. leaky: leaky ReLU (slope 0.2) on the mean, bias: False, unit_variance: log-sd 0 instead of a
    conditional one: these three are the released code's. spatial: a VoxelPrior beside the convolution.
    """

    kernel: int = 3
    bias: bool = True
    leaky: bool = False
    unit_variance: bool = False
    spatial: bool = False

    def __post_init__(self) -> None:
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(f"dualglow: relation_kernel is {self.kernel}; it must be an odd number of voxels.")
        if self.spatial and self.unit_variance:
            raise ConfigError("dualglow: spatial_prior fits variances, so unit_variance must be false.")


class Relation(nn.Module):
    """One level of the relation network: from the MRI latent to mean and log-sd of the PET latent (eq. 6).

    Shapes: latents, mean and log-sd are (B, channels, *spatial), the channels those of the network they belong to.
    The convolution starts at 0, that is, with the standard normal prior of Glow, or with the `spatial` prior alone,
    which has slopes for `columns` covariates.
    """

    def __init__(
        self, mri_shape: Sequence[int], pet_shape: Sequence[int], how: RelationOptions, columns: int = 0
    ) -> None:
        super().__init__()
        if how.spatial and tuple(mri_shape) != tuple(pet_shape):
            raise ConfigError("dualglow: spatial_prior needs MRI and PET with the same number of channels.")
        self.how = how
        outputs = pet_shape[0] * (1 if how.unit_variance else 2)
        convolution = CONVOLUTIONS[len(pet_shape) - 1]
        self.convolution = convolution(mri_shape[0], outputs, how.kernel, padding=how.kernel // 2, bias=how.bias)
        for parameter in self.convolution.parameters():
            nn.init.zeros_(parameter)
        self.spatial = VoxelPrior(pet_shape, columns) if how.spatial else None

    def forward(self, mri_latent: Tensor, covariates: Tensor, spatial: bool = True) -> Gaussian:
        """Mean and log-sd; `spatial` False leaves the spatial prior out."""
        found = self.convolution(mri_latent)
        mean, log_sd = (found, torch.zeros_like(found)) if self.how.unit_variance else found.chunk(2, dim=1)
        mean = leaky_relu(mean, 0.2) if self.how.leaky else mean
        log_sd = LOG_SD_BOUND * torch.tanh(log_sd / LOG_SD_BOUND)
        if self.spatial is None or not spatial:
            return mean, log_sd
        voxel_mean, voxel_log_sd = self.spatial(mri_latent, covariates)
        return mean + voxel_mean, log_sd + voxel_log_sd

    def fit(self, moments: LatentMoments, with_sd: bool) -> None:
        """Set the spatial prior, if there is one, from the training people's latents."""
        if self.spatial is not None:
            self.spatial.fit(moments, with_sd)


class CovariateLink(nn.Module):
    """Mean and log-sd of the top PET latent from covariates alone (eqs 16 and 17): linear for each of its entries.

    As anatomy keeps its place in MNI space, every entry has its own slope: age does not act everywhere alike. The
    slopes start at 0; with `spatial`, they, the intercepts and the log-sds start at the training people's.
    """

    def __init__(self, pet_shape: Sequence[int], names: Sequence[str], unit_variance: bool, spatial: bool) -> None:
        super().__init__()
        self.names, self.unit_variance = tuple(names), unit_variance
        self.slopes = nn.Parameter(torch.zeros(1 if unit_variance else 2, sum(widths(names).values()), *pet_shape))
        self.intercept = VoxelPrior(pet_shape, sum(widths(names).values())) if spatial else None
        self.offset = None if spatial else nn.Parameter(torch.zeros(1 if unit_variance else 2, *pet_shape))

    def forward(self, mri_latent: Tensor, covariates: Tensor, spatial: bool = True) -> Gaussian:
        """Mean and log-sd; `spatial` False leaves the spatial prior out."""
        found = torch.einsum("bk,pk...->pb...", covariates, self.slopes)
        if self.offset is not None:
            found = found + self.offset[:, None]
        mean, raw = found[0], (torch.zeros_like(found[0]) if self.unit_variance else found[1])
        log_sd = LOG_SD_BOUND * torch.tanh(raw / LOG_SD_BOUND)
        if self.intercept is None or not spatial:
            return mean, log_sd
        voxel_mean, voxel_log_sd = self.intercept(torch.zeros_like(mri_latent), covariates)
        return mean + voxel_mean, log_sd + voxel_log_sd

    def fit(self, moments: LatentMoments, with_sd: bool) -> None:
        """Set slopes, intercepts and log-sds from the training people's PET latents and covariates."""
        if self.intercept is not None:
            self.intercept.fit(moments.of_pet_alone(), with_sd)


class PetPrior(nn.Module):
    """The Gaussian of every PET latent given the MRI latents and the covariates (B, columns in use).

    `conditioning` with covariates: `replace` puts them in the place of the top MRI latent (paper), `add` adds a linear
    function of them, the same at every voxel, to the mean of every level (released code). `learn_top` adds a learned
    mean and log-sd per channel to the top (released code).
    """

    def __init__(
        self,
        mri_shapes: Sequence[Sequence[int]],
        pet_shapes: Sequence[Sequence[int]],
        how: RelationOptions,
        names: Sequence[str] = (),
        conditioning: str = "replace",
        learn_top: bool = False,
    ) -> None:
        super().__init__()
        columns = sum(widths(names).values()) if conditioning == "add" else 0
        levels = [Relation(*shapes, how, columns) for shapes in zip(mri_shapes, pet_shapes, strict=True)]
        self.levels: nn.ModuleList = nn.ModuleList(levels)
        self.embeddings: nn.ModuleList | None = None
        if names and conditioning == "replace":
            self.levels[-1] = CovariateLink(pet_shapes[-1], names, how.unit_variance, how.spatial)
        elif names:
            self.embeddings = nn.ModuleList(nn.Linear(columns, shape[0], bias=False) for shape in pet_shapes)
            for parameter in self.embeddings.parameters():
                nn.init.zeros_(parameter)
        top = (2, pet_shapes[-1][0], *[1] * (len(pet_shapes[-1]) - 1))
        self.top = nn.Parameter(torch.zeros(top)) if learn_top else None

    def forward(self, mri_latents: Sequence[Tensor], covariates: Tensor, spatial: bool = True) -> list[Gaussian]:
        """Mean and log-sd of every level; `spatial` False leaves the spatial priors out."""
        priors = [level(z, covariates, spatial) for level, z in zip(self.levels, mri_latents, strict=True)]
        if self.embeddings is not None:
            added = [embedding(covariates) for embedding in self.embeddings]
            priors = [
                (mean + shift.reshape(*shift.shape, *[1] * (mean.ndim - 2)), log_sd)
                for (mean, log_sd), shift in zip(priors, added, strict=True)
            ]
        if self.top is not None:
            mean, log_sd = priors[-1]
            priors[-1] = mean + self.top[0], log_sd + self.top[1]
        return priors

    def fit(self, moments: Sequence[LatentMoments], with_sd: bool) -> None:
        """Set the spatial priors from each level's moments; without `with_sd`, their log-sds stay as they are."""
        for level, sums in zip(self.levels, moments, strict=True):
            cast(Relation | CovariateLink, level).fit(sums, with_sd)
