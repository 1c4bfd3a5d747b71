"""What every synthesis method offers, so that training, synthesis and evaluation need not know which one they run."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from dualglow.cohort.scan import GROUPS

COVARIATE_COLUMNS = {"age": slice(0, 1), "sex": slice(1, 2), "group": slice(2, 2 + len(GROUPS))}
"""Where Batch.covariates holds what: age (z-score over the training people), sex (F −1, M 1), diagnosis (one-hot)."""

COVARIATES = 2 + len(GROUPS)


class Batch(NamedTuple):
    """A few pairs on the model grid.

    mri, pet, mask are (B, 1, X, Y, Z): MRI in [0, 1]; PET in window units (SUVR / window, clipped to [0, 1]);
    mask 0 or 1.
    covariates is (B, COVARIATES), standardised on the training subjects, 0 where missing; see COVARIATE_COLUMNS.
    """

    mri: Tensor
    pet: Tensor
    mask: Tensor
    covariates: Tensor


class Synthesiser(nn.Module, ABC):
    """A method that makes PET from MRI. All volumes are (B, 1, X, Y, Z) on the model grid, PET in window units."""

    iterative: ClassVar[bool] = True
    """False if `initialise` is the whole fit, so that there is nothing for an optimiser to do."""

    stochastic: ClassVar[bool] = True
    """False if every sample is the prediction."""

    @property
    def told(self) -> tuple[str, ...]:
        """Which covariates of a person (of COVARIATE_COLUMNS) its PET depends on, beside the MRI."""
        return ()

    @abstractmethod
    def initialise(self, batches: Iterable[Batch]) -> None:
        """Set what is set from data before training, in one pass over the training batches."""

    def refit(self, batches: Iterable[Batch]) -> None:
        """Set anew what follows from all training pairs, after the steps of an epoch and before it is validated.

        Called twice in a row, it must give the same to the byte: a training may be resumed in between.
        """

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Scalar to minimise and the detached terms worth logging, each a mean over the batch.

        As several processes may share a batch, noise and what is a mean over some pairs only are those of share.py.
        """

    @abstractmethod
    def predict(self, mri: Tensor, covariates: Tensor, mask: Tensor) -> Tensor:
        """The best single PET for each MRI, 0 outside the mask."""

    @abstractmethod
    def sample(
        self, mri: Tensor, covariates: Tensor, mask: Tensor, temperature: float, generator: torch.Generator
    ) -> Tensor:
        """One random PET for each MRI, 0 outside the mask; temperature scales the latent (or voxel) noise."""

    def networks(self) -> Iterable[nn.Module]:
        """The parts that do the work, worth compiling."""
        return ()


class Density(ABC):
    """What a method offers that knows how probable a PET is."""

    @abstractmethod
    def bits(self, batch: Batch, generator: torch.Generator | None = None) -> Tensor:
        """Bits per voxel (B,) of each PET given its MRI, for images of 256 grey values in [0, 1].

        With a generator, both images are spread within their grey values by noise from it (in expectation an upper
        bound of the bits of the quantised PET); without, they stand at the middle of their grey values.
        """
