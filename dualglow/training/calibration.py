"""Whether a model is as sure as it may be: how often the real PET lies in the intervals of the model's samples."""

from math import ceil

import numpy as np
import pandas as pd

from dualglow.errors import ConfigError, InputError
from dualglow.models import Batch
from dualglow.training.seeds import derived_seed
from dualglow.training.synthesis import Sampling, samples
from dualglow.training.unseen import Unseen, naming

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Of the central intervals."""

TARGETS = ("voxels", "regions")
MEASURED = ["target", "n", *(f"inside_{100 * level:.0f}" for level in LEVELS), "crps", "mae_median", "sd"]


def calibration_table(unseen: Unseen, sampling: Sampling, labels: np.ndarray, seed: int) -> pd.DataFrame:
    """Coverage and CRPS of every held-out pair, over the voxels of its brain mask and over the means of the regions.

    The real PET is cut to [0, window], as the samples are. Each pair has a generator of its own.

    Parameters
    ----------
    labels
        (X, Y, Z) integers on the model grid: the atlas's regions, 0 outside.

    Returns
    -------
    Two rows per pair (`target` voxels, regions): n of them; inside_50 and so on, the share of them that lies in the
    central interval of that level; crps, mae_median and sd as `scores` gives them; samples, temperature.

    Raises
    ------
    ConfigError, InputError
        If there are too few samples for the widest interval; if a brain mask is empty or a real PET is not finite.
    """
    needed = ceil(2 / (1 - max(LEVELS)) - 1 - 1e-6)
    if sampling.samples < needed:
        raise ConfigError(f"--samples {sampling.samples}: the {max(LEVELS):.0%} interval needs {needed} or more.")
    rows: list[list[dict[str, float]]] = []
    for name, batch in unseen.batches():
        with naming(name):
            rows.append(_of_pair(unseen, batch, sampling, labels, derived_seed(seed, "calibration", name)))
    tables = []
    for i, target in enumerate(TARGETS):
        measured = pd.DataFrame([own[i] for own in rows], columns=MEASURED).assign(target=target)
        tables.append(unseen.table(measured.assign(samples=sampling.samples, temperature=sampling.temperature)))
    return pd.concat(tables, ignore_index=True)


def scores(real: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
    """Coverage of the central intervals, CRPS, error of the median and spread, each a mean over what is measured.

    The bounds of an interval are the quantiles at q (n + 1) of the ordered samples, so that one more draw of the model
    lies within it as often as its level says, however few samples there are. CRPS is the fair estimator (Ferro 2014):
    mean |x − y| − mean |x − x'| / 2 over different samples, SUVR; that of a single certain value is its absolute error.

    Parameters
    ----------
    real, drawn
        (V,) and (samples, V), SUVR.
    """
    ordered = np.sort(drawn.astype(np.float64), axis=0)
    n = len(ordered)
    found: dict[str, float] = {"n": len(real)}
    for level in LEVELS:
        low, high = (_ordered_quantile(ordered, q) for q in ((1 - level) / 2, (1 + level) / 2))
        found[f"inside_{100 * level:.0f}"] = float(((low <= real) & (real <= high)).mean())
    spread = ((2 * np.arange(1, n + 1) - n - 1)[:, None] * ordered).sum(axis=0) / (n * (n - 1))
    found["crps"] = float((np.abs(ordered - real).mean(axis=0) - spread).mean())
    found["mae_median"] = float(np.abs(np.median(ordered, axis=0) - real).mean())
    found["sd"] = float(ordered.std(axis=0, ddof=1).mean())
    return found


def _ordered_quantile(ordered: np.ndarray, q: float) -> np.ndarray:
    """Quantile of rows in rising order, at the position q (n + 1), counted from 1, as numpy's `weibull`."""
    place = min(max(q * (len(ordered) + 1) - 1, 0), len(ordered) - 1)
    below = int(np.floor(place + 1e-9))
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def region_means(volumes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Means (n, regions) of volumes (n, V) over the labels (V,) above 0 that occur."""
    present, index = np.unique(labels, return_inverse=True)
    sums = np.stack([np.bincount(index, weights=volume, minlength=len(present)) for volume in volumes])
    return (sums / np.bincount(index))[:, present > 0]


def _of_pair(unseen: Unseen, batch: Batch, sampling: Sampling, labels: np.ndarray, seed: int) -> list[dict[str, float]]:
    window = unseen.card["window"]
    mask = batch.mask[0, 0].cpu().numpy() > 0
    real = (batch.pet * window)[0, 0].cpu().numpy()[mask]
    if not mask.any() or not np.isfinite(real).all():
        raise InputError("the PET is not finite, or the brain mask is empty. Pack the dataset again.")
    drawn = np.stack([volume[mask] for volume in samples(unseen.model, batch, window, sampling, seed)])
    inside = labels[mask]
    return [scores(real, drawn), scores(region_means(real[None], inside)[0], region_means(drawn, inside))]
