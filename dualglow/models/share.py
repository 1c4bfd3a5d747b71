"""A batch that several processes share: what each must know of the whole to compute its part of the loss."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Share:
    """The pairs from number `start` on of a batch; `covariates` (N, COVARIATES) are those of all its N pairs."""

    start: int
    covariates: Tensor


_SHARE: ContextVar[Share | None] = ContextVar("share", default=None)


@contextmanager
def sharing(share: Share | None) -> Iterator[None]:
    """Within it, the batch at hand is this share of a larger one; None: it is the whole."""
    token = _SHARE.set(share)
    try:
        yield
    finally:
        _SHARE.reset(token)


def uniform_noise(image: Tensor) -> Tensor:
    """Noise in [0, 1) of the shape of `image`: of a share, it is drawn for the whole batch and cut."""
    return _noise(torch.rand, image)


def normal_noise(image: Tensor) -> Tensor:
    """The same with standard normal noise."""
    return _noise(torch.randn, image)


def _noise(draw: Callable[..., Tensor], image: Tensor) -> Tensor:
    share = _SHARE.get()
    count = len(image) if share is None else len(share.covariates)
    noise = draw((count, *image.shape[1:]), device=image.device, dtype=image.dtype)
    return noise if share is None else noise[share.start : share.start + len(image)]


def weight_of_known(known: Tensor, columns: slice) -> Tensor | float:
    """What the mean over those pairs of a share in whom a covariate is known (B,) counts in the mean over all of them.

    It is such that the shares' losses, each weighted by its number of pairs, add up to the loss of the whole batch.
    """
    share = _SHARE.get()
    if share is None:
        return 1.0
    everywhere = (share.covariates[:, columns] != 0).any(dim=1).float().mean()
    return known.float().mean() / everywhere
