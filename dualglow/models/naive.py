"""The trivial baselines that stand in every table: the mean training PET, and a linear regression at each voxel."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor

from dualglow.errors import ConfigError, InputError
from dualglow.models.interface import Batch, Synthesiser

LINEAR_COVARIATES = 2  # age and sex, the first columns of Batch.covariates


class ClosedForm(Synthesiser):
    """A voxelwise Gaussian for PET whose mean and standard deviation come from one pass over the training data."""

    iterative: ClassVar[bool] = False
    sd: Tensor

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("sd", torch.zeros(1, 1, *shape))

    @abstractmethod
    def voxel_mean(self, mri: Tensor, covariates: Tensor) -> Tensor:
        """Expected PET (B, 1, X, Y, Z) before masking."""

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared error in the mask (window units squared); closed forms have no bits per voxel to compare."""
        prediction = self.predict(batch.mri, batch.covariates, batch.mask)
        mse = ((prediction - batch.pet).square() * batch.mask).sum() / batch.mask.sum().clamp(min=1)
        return mse, {"mse": mse.detach()}

    def predict(self, mri: Tensor, covariates: Tensor, mask: Tensor) -> Tensor:
        return self.voxel_mean(mri, covariates) * mask

    def sample(
        self, mri: Tensor, covariates: Tensor, mask: Tensor, temperature: float, generator: torch.Generator
    ) -> Tensor:
        noise = torch.randn(mri.shape, generator=generator, device=generator.device, dtype=mri.dtype).to(mri.device)
        return (self.voxel_mean(mri, covariates) + temperature * self.sd * noise) * mask


class MeanSynthesiser(ClosedForm):
    """The mean training PET at each voxel, whatever the MRI."""

    mean: Tensor

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__(shape)
        self.register_buffer("mean", torch.zeros(1, 1, *shape))

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Mean and sample standard deviation (n − 1) per voxel, summed in float64."""
        count = 0
        total = torch.zeros_like(self.mean, dtype=torch.float64)
        squares = torch.zeros_like(total)
        for batch in batches:
            pet = batch.pet.to(total)
            count += len(pet)
            total += pet.sum(0, keepdim=True)
            squares += pet.square().sum(0, keepdim=True)
        _require_pairs(count)
        mean = total / count
        self.mean.copy_(mean)
        self.sd.copy_(((squares - count * mean.square()).clamp(min=0) / max(count - 1, 1)).sqrt())

    def voxel_mean(self, mri: Tensor, covariates: Tensor) -> Tensor:
        return self.mean.expand_as(mri)


class LinearSynthesiser(ClosedForm):
    """Least squares of PET on MRI intensity, age and sex at each voxel, with an intercept.

    `ridge` is added to the diagonal of the centred normal equations. It is small beside any real variance and makes
    what the data do not tell (a voxel outside every brain, a missing covariate) a coefficient of 0.

    `pseudo_people` draws each voxel's slopes towards those of all voxels together, which count as so many people of
    mean variance, as VoxelPrior does with latents; 0 leaves least squares.
    """

    coefficients: Tensor

    @property
    def told(self) -> tuple[str, ...]:
        return "age", "sex"

    def __init__(self, shape: tuple[int, int, int], ridge: float = 1e-4, pseudo_people: float = 0.0) -> None:
        if ridge <= 0:
            raise ConfigError(f"linear: ridge is {ridge}; it must be above 0.")
        if pseudo_people < 0:
            raise ConfigError(f"linear: pseudo_people is {pseudo_people}; it must not be negative.")
        super().__init__(shape)
        self.ridge, self.pseudo_people = ridge, pseudo_people
        self.register_buffer("coefficients", torch.zeros(2 + LINEAR_COVARIATES, *shape))

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Sum the second moments of (features, PET) per voxel in float64, then solve all voxels at once."""
        size = self.coefficients.shape[0] + 1
        moments = torch.zeros(self.sd.numel(), size, size, dtype=torch.float64, device=self.sd.device)
        for batch in batches:
            for features, pet in zip(self._features(batch.mri, batch.covariates), batch.pet, strict=True):
                row = torch.cat([features, pet]).flatten(1).T.to(moments)  # (voxels, features + 1)
                moments += row[:, :, None] * row[:, None, :]
        _require_pairs(int(moments[0, 0, 0]))
        self._solve(moments)

    def _solve(self, moments: Tensor) -> None:
        """Centre the moments, solve for the slopes, then the intercept; the residual sd is over n − p."""
        count = float(moments[0, 0, 0])
        mean = moments[:, 0, 1:] / count
        centred = moments[:, 1:, 1:] - count * mean[:, :, None] * mean[:, None, :]
        gram, cross, total = centred[:, :-1, :-1], centred[:, :-1, -1:], centred[:, -1, -1]
        penalty = self.ridge * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        common = torch.linalg.solve(gram.mean(0) + penalty, cross.mean(0))
        weight = self.pseudo_people / count * torch.diag(gram.mean(0).diagonal())
        slopes = torch.linalg.solve(gram + penalty + weight, cross + weight @ common)[:, :, 0]
        intercept = mean[:, -1] - (mean[:, :-1] * slopes).sum(1)
        self.coefficients.copy_(torch.cat([intercept[:, None], slopes], 1).T.reshape(self.coefficients.shape))
        explained = 2 * (slopes * cross[:, :, 0]).sum(1) - torch.einsum("vi,vij,vj->v", slopes, gram, slopes)
        freedom = max(count - self.coefficients.shape[0], 1)
        self.sd.copy_(((total - explained).clamp(min=0) / freedom).sqrt().reshape(self.sd.shape))

    def voxel_mean(self, mri: Tensor, covariates: Tensor) -> Tensor:
        return (self._features(mri, covariates) * self.coefficients).sum(1, keepdim=True)

    def _features(self, mri: Tensor, covariates: Tensor) -> Tensor:
        """(B, 2 + LINEAR_COVARIATES, X, Y, Z): 1, MRI intensity, age, sex."""
        spread = covariates[:, :LINEAR_COVARIATES, None, None, None].expand(-1, -1, *mri.shape[2:])
        return torch.cat([torch.ones_like(mri), mri, spread], dim=1)


def _require_pairs(count: int) -> None:
    if count == 0:
        raise InputError("the training part of this fold has no pairs: check the column `part` of folds.tsv.")
