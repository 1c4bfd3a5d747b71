"""A prior with a line of its own for every latent voxel, fitted in closed form (beyond the paper)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

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
        """Count the latents (B, channels, *spatial) of a batch in, in float64."""
        mri, pet = mri.double(), pet.double()
        new = tuple(part.sum(0) for part in (mri, pet, mri * mri, mri * pet, pet * pet))
        self.sums = tuple(old + part for old, part in zip(self.sums, new, strict=True)) if self.sums else new
        self.count += len(mri)

    def of_pet_alone(self) -> "LatentMoments":
        """The same people with MRI latents of 0."""
        alone = LatentMoments()
        alone.count = self.count
        _, pet, _, _, pet_square = self.sums
        alone.sums = (torch.zeros_like(pet), pet, torch.zeros_like(pet), torch.zeros_like(pet), pet_square)
        return alone

    def central(self) -> tuple[Tensor, ...]:
        """Mean of MRI and PET, variance of MRI, covariance, variance of PET; each (channels, *spatial)."""
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

    @torch.no_grad()
    def fit(self, moments: LatentMoments) -> None:
        """Least squares at each voxel, its slope drawn to the channel's common slope where the voxel varies little.

        The line goes through the means, so the mean MRI latent gives the mean PET latent. The residual variance counts
        the channel's mean as one more subject: a voxel that never varied in training must not claim to be certain.
        """
        mri, pet, mri_variance, covariance, pet_variance = moments.central()
        space = tuple(range(1, mri.ndim))
        pooled = covariance.mean(space, keepdim=True)
        pooled_variance = mri_variance.mean(space, keepdim=True).clamp(min=1e-12)
        slope = (covariance + SHRINKAGE * pooled) / (mri_variance + SHRINKAGE * pooled_variance)
        residual = (pet_variance - 2 * slope * covariance + slope.square() * mri_variance).clamp(min=0)
        residual = (moments.count * residual + residual.mean(space, keepdim=True)) / (moments.count + 1)
        self.slope.copy_(slope)
        self.intercept.copy_(pet - slope * mri)
        self.log_sd.copy_(0.5 * residual.clamp(min=1e-12).log())
