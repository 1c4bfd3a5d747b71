"""Age, sex and diagnosis as side information: which columns they are, and networks that read them from latents."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from dualglow.errors import ConfigError
from dualglow.flow.network import CONVOLUTIONS
from dualglow.models.interface import COVARIATE_COLUMNS
from dualglow.models.share import weight_of_known

LOGIT_BOUND = 5.0
"""A reader's outputs lie within ± this: behind gradient reversal an unbounded loss would be raised for ever."""


def check_names(names: Iterable[str]) -> None:
    """Raise ConfigError if a covariate is unknown."""
    unknown = [name for name in names if name not in COVARIATE_COLUMNS]
    if unknown:
        raise ConfigError(f"covariates: {unknown[0]!r} is unknown. Choose from {', '.join(COVARIATE_COLUMNS)}.")


def widths(names: Sequence[str]) -> dict[str, int]:
    """How many columns each covariate has."""
    return {name: COVARIATE_COLUMNS[name].stop - COVARIATE_COLUMNS[name].start for name in names}


def columns(covariates: Tensor, names: Sequence[str]) -> Tensor:
    """Those of (B, COVARIATES) that the model uses, in the order of `names`."""
    return torch.cat([covariates[:, COVARIATE_COLUMNS[name]] for name in names], dim=1)


class Reader(nn.Module):
    """Tells the covariates from a latent (B, channels, *spatial): regresses age, classifies sex and group."""

    def __init__(self, channels: int, dims: int, names: Sequence[str], width: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(CONVOLUTIONS[dims](channels, width, 3, stride=2, padding=1), nn.ReLU())
        self.outputs = nn.ModuleDict({name: nn.Linear(width, size) for name, size in widths(names).items()})

    def forward(self, latent: Tensor, covariates: Tensor) -> Tensor:
        """Sum over the covariates of the mean loss of those people in whom it is known; `covariates` as in Batch."""
        features = self.features(latent).flatten(2).mean(2)
        return torch.stack(
            [
                _loss(name, LOGIT_BOUND * torch.tanh(output(features) / LOGIT_BOUND), covariates)
                for name, output in self.outputs.items()
            ]
        ).sum()


def _loss(name: str, found: Tensor, covariates: Tensor) -> Tensor:
    truth = covariates[:, COVARIATE_COLUMNS[name]]
    known = (truth != 0).any(dim=1)  # 0 in every column is missing
    if not known.any():
        return covariates.new_zeros(())
    return weight_of_known(known, COVARIATE_COLUMNS[name]) * _mean_loss(name, found[known], truth[known])


def _mean_loss(name: str, found: Tensor, truth: Tensor) -> Tensor:
    if name == "age":
        return mse_loss(found, truth)
    if name == "sex":
        return binary_cross_entropy_with_logits(found, (truth > 0).to(found))
    return cross_entropy(found, truth.argmax(dim=1))


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        return -gradient


def gradient_reversal(x: Tensor) -> Tensor:
    """x; its gradient comes back with the opposite sign (Ganin & Lempitsky 2015)."""
    return _Reversed.apply(x)  # type: ignore[no-any-return]
