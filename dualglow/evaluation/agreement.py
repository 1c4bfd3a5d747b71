"""How well regional uptake of synthetic PET agrees with the real one: bias, limits of agreement, ICC, concordance."""

import logging

import numpy as np
import pandas as pd
from scipy import stats

from dualglow.evaluation.rois import REAL

log = logging.getLogger(__name__)

META = "AD meta-region"
META_PARTS = (
    ("Angular_L",),
    ("Angular_R",),
    ("Temporal_Inf_L", "Temporal_Mid_L"),
    ("Temporal_Inf_R", "Temporal_Mid_R"),
    ("Cingulum_Post_L", "Cingulum_Post_R", "Cingulate_Post_L", "Cingulate_Post_R"),
)
"""The five regions of the FDG meta-ROI of Landau et al. (2011), from AAL or AAL2: a proxy, not their masks."""

LIMIT = 1.96
SUMMARY = ["n", "mean_real", "bias", "bias_low", "bias_high", "sd", "percent"]
AGREEMENT = ["method", *SUMMARY, "loa_low", "loa_high", "loa_error", "proportional", "icc", "ccc", "r"]


def meta_region(rois: pd.DataFrame) -> pd.DataFrame:
    """Uptake in the AD meta-region: the mean of its five regions, each the mean over its voxels.

    Parameters
    ----------
    rois
        Tidy region means: pair_id, method, region, n_voxels, value.

    Returns
    -------
    Rows like these; none, and a warning, if the atlas lacks one of the regions.
    """
    part = {name: i for i, names in enumerate(META_PARTS) for name in names}
    chosen = rois.assign(part=rois["region"].map(part)).dropna(subset=["part", "value"])
    lacking = [names for i, names in enumerate(META_PARTS) if i not in set(chosen["part"])]
    if lacking:
        log.warning("no AD meta-region: the atlas has no region %s, as AAL and AAL2 have.", " or ".join(lacking[0]))
        chosen = chosen.iloc[:0].copy()
    chosen["total"] = chosen["value"] * chosen["n_voxels"]
    sums = chosen.groupby(["method", "pair_id", "part"], sort=False)[["total", "n_voxels"]].sum()
    means = (sums["total"] / sums["n_voxels"]).groupby(["method", "pair_id"], sort=False).mean()
    return means.rename("value").reset_index().assign(region=META)


def beside_real(means: pd.DataFrame) -> pd.DataFrame:
    """Tidy means of real and synthetic PET → one row per method, region and pair with `real` and `synthetic`."""
    real = means[means["method"] == REAL].set_index(["pair_id", "region"])["value"].rename("real")
    others = means[means["method"] != REAL][["method", "region", "pair_id", "value"]]
    return others.rename(columns={"value": "synthetic"}).join(real, on=["pair_id", "region"])


def region_bias(both: pd.DataFrame) -> pd.DataFrame:
    """Bias per method and region over pairs: mean of synthetic − real with its 95 % t-interval, sd, share of the mean.

    Parameters
    ----------
    both
        Rows of `beside_real`.
    """
    rows = []
    for _, part in both.groupby(["method", "region"], sort=False):
        which = {name: part[name].iloc[0] for name in ("method", "region")}
        rows.append(which | _bias(*_known(part)))
    return pd.DataFrame(rows, columns=["method", "region", *SUMMARY])


def agreement(both: pd.DataFrame) -> pd.DataFrame:
    """Limits of agreement (Bland & Altman 1999), ICC(3,1), Lin's concordance and r, per method.

    Returns
    -------
    The columns of `region_bias`; loa_low and loa_high, bias ± 1.96 sd, and `loa_error`, the half width of the 95 %
    interval of each; proportional, the slope of synthetic − real on their mean (0: the same error at all levels). All
    are over the pairs of which both values are known.
    """
    rows = []
    for method, part in both.groupby("method", sort=False):
        real, synthetic = _known(part)
        found = _bias(real, synthetic)
        n, bias, sd = len(real), found["bias"], found["sd"]
        row: dict[str, object] = {"method": method, **found}
        row |= {"loa_low": bias - LIMIT * sd, "loa_high": bias + LIMIT * sd}
        error = sd * np.sqrt(1 / n + LIMIT**2 / (2 * (n - 1))) if n > 1 else np.nan
        row |= {"loa_error": stats.t.ppf(0.975, n - 1) * error if n > 1 else np.nan}
        row |= {"proportional": _slope((real + synthetic) / 2, synthetic - real)}
        row |= {"icc": icc_3_1(np.column_stack([real, synthetic])), "ccc": concordance(real, synthetic)}
        rows.append(row | {"r": np.corrcoef(real, synthetic)[0, 1] if _vary(real, synthetic) else np.nan})
    return pd.DataFrame(rows, columns=AGREEMENT)


def icc_3_1(ratings: np.ndarray) -> float:
    """ICC(3,1) of Shrout & Fleiss (1979): two-way mixed, consistency, single ratings; blind to a constant bias.

    Parameters
    ----------
    ratings
        (people, raters).
    """
    n, k = ratings.shape
    if n < 2 or np.ptp(ratings) == 0:
        return float("nan")
    centred = ratings - ratings.mean()
    between = k * (centred.mean(axis=1) ** 2).sum() / (n - 1)
    residual = centred - centred.mean(axis=1, keepdims=True) - centred.mean(axis=0, keepdims=True)
    error = (residual**2).sum() / ((n - 1) * (k - 1))
    return float((between - error) / (between + (k - 1) * error))


def concordance(a: np.ndarray, b: np.ndarray) -> float:
    """Lin's concordance correlation (1989): 1 only on the line of identity, so a bias lowers it; nan of one pair."""
    if len(a) < 2:
        return float("nan")
    spread = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    return float(2 * ((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else float("nan")


def _known(part: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Real and synthetic uptake of the pairs of which both are known."""
    real, synthetic = part["real"].to_numpy(float), part["synthetic"].to_numpy(float)
    known = np.isfinite(real) & np.isfinite(synthetic)
    return real[known], synthetic[known]


def _bias(real: np.ndarray, synthetic: np.ndarray) -> dict[str, float]:
    difference = synthetic - real
    n = len(difference)
    if n == 0:
        return dict.fromkeys(SUMMARY, np.nan) | {"n": 0}
    mean, sd = float(difference.mean()), float(difference.std(ddof=1)) if n > 1 else np.nan
    half = float(stats.t.ppf(0.975, n - 1)) * sd / np.sqrt(n) if n > 1 else np.nan
    numbers = (n, float(real.mean()), mean, mean - half, mean + half, sd, 100 * mean / float(real.mean()))
    return dict(zip(SUMMARY, numbers, strict=True))


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    return float(stats.linregress(x, y).slope) if len(x) > 1 and np.ptp(x) > 0 else float("nan")


def _vary(*values: np.ndarray) -> bool:
    return all(len(own) > 1 and np.ptp(own) > 0 for own in values)
