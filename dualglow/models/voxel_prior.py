"""A prior with a line of its own for every latent voxel, fitted in closed form (beyond the paper)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

PSEUDO_PEOPLE = 16
"""The channel's common slopes weigh as much as so many people of mean variance; see VoxelPrior.fit.

Of 4, 16, 32, 64 and 256 the best for 6, for 12 and for 20 people to learn from, in a simulated cohort of 24.
"""


class LatentMoments:
    """Sums over the training pairs of one level's latents and covariates, from which a VoxelPrior is fitted."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: tuple[Tensor, ...] = ()

    def add(self, mri: Tensor, pet: Tensor, covariates: Tensor | None = None) -> None:
        """Count the latents (B, channels, *spatial) and covariates (B, k) of a batch in, in float64."""
        mri, pet = mri.double(), pet.double()
        known = mri.new_zeros(len(mri), 0) if covariates is None else covariates.to(mri)
        everywhere = known.reshape(*known.shape, *[1] * (mri.ndim - 1)).expand(-1, -1, *mri.shape[1:])
        predictors = torch.cat([mri[:, None], everywhere], dim=1)
        new = (
            predictors.sum(0),
            pet.sum(0),
            torch.einsum("bi...,bj...->ij...", predictors, predictors),
            torch.einsum("bi...,b...->i...", predictors, pet),
            (pet * pet).sum(0),
        )
        self.sums = tuple(old + part for old, part in zip(self.sums, new, strict=True)) if self.sums else new
        self.count += len(mri)

    def of_pet_alone(self) -> "LatentMoments":
        """The same people with MRI latents of 0."""
        alone = LatentMoments()
        alone.count = self.count
        predictors, pet, squares, products, pet_square = (part.clone() for part in self.sums)
        for part in (predictors[0], squares[0], squares[:, 0], products[0]):
            part.zero_()
        alone.sums = (predictors, pet, squares, products, pet_square)
        return alone

    def of_mri_alone(self) -> "LatentMoments":
        """The same people without their covariates."""
        alone = LatentMoments()
        alone.count = self.count
        predictors, pet, squares, products, pet_square = self.sums
        alone.sums = (predictors[:1], pet, squares[:1, :1], products[:1], pet_square)
        return alone

    def central(self) -> tuple[Tensor, ...]:
        """Means of predictors (MRI, then covariates) and PET, covariances of predictors and with the PET, its variance.

        Shapes, before those of the latents (channels, *spatial): 1 + k; none; 1 + k by 1 + k; 1 + k; none.
        """
        predictors, pet, squares, products, pet_square = (part / self.count for part in self.sums)
        return (
            predictors,
            pet,
            squares - predictors[:, None] * predictors[None, :],
            products - predictors * pet,
            (pet_square - pet * pet).clamp(min=0),
        )


class VoxelPrior(nn.Module):
    """A learned line per latent voxel: mean = slope · MRI latent + slopes · covariates + intercept, and a log-sd.

    A convolution cannot tell one place from another except by the padding at the border, but the model grid is MNI
    space, where anatomy keeps its place: with a dozen subjects there is not enough data to learn positions from
    borders. Here every latent voxel starts from its own regression on the training subjects; with `columns` covariates
    also on these, so that age may act otherwise in one place than in another.
    """

    def __init__(self, latent_shape: Sequence[int], columns: int = 0) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(*latent_shape))
        self.intercept = nn.Parameter(torch.zeros(*latent_shape))
        self.log_sd = nn.Parameter(torch.zeros(*latent_shape))
        self.covariate_slopes = nn.Parameter(torch.zeros(columns, *latent_shape)) if columns else None

    def forward(self, mri_latent: Tensor, covariates: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.slope * mri_latent + self.intercept
        if self.covariate_slopes is not None:
            mean = mean + torch.einsum("bk,k...->b...", covariates, self.covariate_slopes)
        return mean, self.log_sd

    @torch.no_grad()
    def fit(self, moments: LatentMoments, with_sd: bool = True) -> None:
        """Least squares at each voxel, its slopes drawn to the channel's common ones where the voxel varies little.

        The line goes through the means, so the mean predictors give the mean PET latent. The residual variance counts
        the channel's mean as one more subject: a voxel that never varied in training must not claim to be certain.
        Without `with_sd` the log-sds stay as they are.
        """
        known = moments if self.covariate_slopes is not None else moments.of_mri_alone()
        means, pet, squares, products, pet_variance = known.central()
        slopes = _slopes(squares, products, PSEUDO_PEOPLE / moments.count)
        explained = 2 * (slopes * products).sum(0) - torch.einsum("i...,ij...,j...->...", slopes, squares, slopes)
        residual = (pet_variance - explained).clamp(min=0)
        space = tuple(range(1, residual.ndim))
        residual = (moments.count * residual + residual.mean(space, keepdim=True)) / (moments.count + 1)
        if with_sd:
            self.log_sd.copy_(0.5 * residual.clamp(min=1e-12).log())
        self.slope.copy_(slopes[0])
        if self.covariate_slopes is not None:
            self.covariate_slopes.copy_(slopes[1:])
        self.intercept.copy_(pet - (slopes * means).sum(0))


def _slopes(squares: Tensor, products: Tensor, shrinkage: float) -> Tensor:
    """Ridge regression per voxel towards that of its whole channel: (1 + k, channels, *spatial), as `products`.

    `shrinkage` is the ridge as a share of the channel's mean variance.
    """
    own, target = squares.movedim((0, 1), (-2, -1)), products.movedim(0, -1)[..., None]
    space = tuple(range(1, own.ndim - 2))
    whole = own.mean(space, keepdim=True)
    variances = torch.diag_embed(torch.diagonal(whole, dim1=-2, dim2=-1).clamp(min=1e-12))
    common = torch.linalg.solve(whole + 1e-9 * variances, target.mean(space, keepdim=True))
    found = torch.linalg.solve(own + shrinkage * variances, target + shrinkage * (variances @ common))
    return found[..., 0].movedim(-1, 0)
