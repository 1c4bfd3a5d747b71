"""How probable a real PET is under the model given its MRI: exact, in bits per voxel, which only a flow can say."""

from collections.abc import Iterable
from math import log

import numpy as np
import pandas as pd
import torch
from scipy.special import logsumexp

from dualglow.errors import ConfigError, InputError
from dualglow.models import METHODS, Batch
from dualglow.models.interface import Density
from dualglow.training.seeds import derived_seed
from dualglow.training.unseen import Unseen, naming

GREY_VALUES = 256
"""Of the PET window; the noise that dequantises an image is uniform in one of them."""

MEASURED = ["bits", "bits_sd", "bits_importance", "mask_share"]


def likelihood_table(unseen: Unseen, draws: int, seed: int) -> pd.DataFrame:
    """Bits per voxel of every held-out real PET given its MRI, a mean over `draws` draws of dequantisation noise.

    Each pair has a generator of its own, so it does not matter which others are measured.

    Returns
    -------
    One row per pair: method, fold, pair_id, subject, group, sex, age; `bits`, the mean over the draws, and `bits_sd`
    over the draws (missing for one); `bits_importance`, see `importance_bits`; draws; `grey_value`, SUVR; `mask_share`,
    of the voxels that are brain; split_hash, simulated.

    Raises
    ------
    InputError, ConfigError
        If the method has no density or the likelihood is not finite; if `draws` is below 1.
    """
    if draws < 1:
        raise ConfigError(f"--draws {draws}: must be at least 1.")
    model = unseen.model
    if not isinstance(model, Density):
        able = ", ".join(name for name, method in METHODS.items() if issubclass(method, Density))
        raise InputError(f"method {unseen.card['method']} has no likelihood. These have one: {able}.")
    rows = []
    for name, batch in unseen.batches():
        with naming(name):
            generator = torch.Generator(unseen.device).manual_seed(derived_seed(seed, "likelihood", name))
            rows.append(_summary(_bits(model, batch, draws, generator), batch))
    return unseen.table(
        pd.DataFrame(rows, columns=MEASURED).assign(draws=draws, grey_value=unseen.card["window"] / GREY_VALUES)
    )


def importance_bits(bits: Iterable[float], voxels: int) -> float:
    """Bits per voxel of the mean density over the draws (log-mean-exp), never above the mean of the bits.

    The probability of a grey value is the mean of the density over it, so that this comes closer to the bits of the
    image with its grey values the more draws there are. In an image of many voxels the likeliest draw alone decides:
    the gain is at most the spread of the bits and the rest log2(draws) / voxels.
    """
    nats = -np.asarray(list(bits), dtype=np.float64) * voxels * log(2)
    return float(-(logsumexp(nats) - log(len(nats))) / voxels / log(2))


@torch.no_grad()
def _bits(model: Density, batch: Batch, draws: int, generator: torch.Generator) -> np.ndarray:
    """(draws,) bits per voxel of a batch of one."""
    bits = np.array([float(model.bits(batch, generator)) for _ in range(draws)])
    if not np.isfinite(bits).all():
        raise InputError("its likelihood is not finite. See the model's training.tsv, and whether its PET is finite.")
    return bits


def _summary(bits: np.ndarray, batch: Batch) -> dict[str, float]:
    return {
        "bits": float(bits.mean()),
        "bits_sd": float(bits.std(ddof=1)) if len(bits) > 1 else float("nan"),
        "bits_importance": importance_bits(bits, batch.pet.numel()),
        "mask_share": float(batch.mask.mean()),
    }
