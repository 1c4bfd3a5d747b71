"""What the rivals share: a prediction that may start at the mean training PET."""

from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor

from dualglow.errors import InputError
from dualglow.models.interface import Batch, Synthesiser


class MeanStart(Synthesiser):
    """A method whose network draws the PET, or with `from_mean` its difference from the mean training PET.

    `from_mean` is beyond the rivals' papers, as `spatial_prior` is beyond DUAL-GLOW's: with few people to learn from,
    where things are need not be learned by convolutions.
    """

    mean: Tensor

    def __init__(self, shape: tuple[int, ...], from_mean: bool) -> None:
        super().__init__()
        self.from_mean = from_mean
        self.register_buffer("mean", torch.zeros(1, 1, *shape))

    @abstractmethod
    def drawn(self, mri: Tensor) -> Tensor:
        """What the network draws (B, 1, X, Y, Z) for each MRI without any noise."""

    def initialise(self, batches: Iterable[Batch]) -> None:
        if self.from_mean:
            self.mean.copy_(mean_pet(batches))

    def predict(self, mri: Tensor, covariates: Tensor, mask: Tensor) -> Tensor:
        return self.on_mean(self.drawn(mri), mask)

    def on_mean(self, drawn: Tensor, mask: Tensor) -> Tensor:
        """The PET, 0 outside the mask."""
        return (self.mean + drawn) * mask


def mean_pet(batches: Iterable[Batch]) -> Tensor:
    """The mean training PET (1, 1, X, Y, Z), summed in float64. Raises InputError if there is none."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for batch in batches:
        total = total.to(batch.pet.device) + batch.pet.double().sum(0, keepdim=True)
        count += len(batch.pet)
    if not count:
        raise InputError("the training part of this fold has no pairs: check the column `part` of folds.tsv.")
    return (total / count).float()


def inside(difference: Tensor, mask: Tensor) -> Tensor:
    """Mean over the mask of each pair, then over the batch."""
    return ((difference * mask).flatten(1).sum(1) / mask.flatten(1).sum(1).clamp(min=1)).mean()
