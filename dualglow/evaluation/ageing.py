"""Uptake against age: cross-sectional lines per diagnosis in real and synthetic PET, and what a model makes of age."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

STAGES = {"CN": "CN", "SMC": "CN", "EMCI": "MCI", "MCI": "MCI", "LMCI": "MCI", "AD": "AD"}
"""The three stages that the six ADNI groups are drawn and compared in (SMC: no measured impairment, so with CN)."""

# Names of the three regions of figure 7 in the atlases that we know: AAL, then AAL2.
FIGURE7_REGIONS = (("Cingulum_Post", "Cingulate_Post"), ("Precuneus",), ("Hippocampus",))

NO_REGIONS = (
    "The atlas has no posterior cingulate, precuneus or hippocampus by the names of AAL; "
    "name regions of its own in figures.regions (--regions)."
)

MIN_POINTS = 4  # with fewer, the band of a straight line says nothing


@dataclass(frozen=True)
class Line:
    """Least-squares line value = intercept + slope * age, with what its 95 % confidence band needs."""

    n: int
    slope: float  # per year
    intercept: float
    slope_error: float
    residual_sd: float
    age_mean: float
    age_ss: float  # sum of squared deviations of age

    def at(self, age: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The line and its 95 % confidence band (of the mean, not of single people) at these ages."""
        line = self.intercept + self.slope * age
        error = self.residual_sd * np.sqrt(1 / self.n + (age - self.age_mean) ** 2 / self.age_ss)
        half = stats.t.ppf(0.975, self.n - 2) * error
        return line, line - half, line + half


def fit_line(age: np.ndarray, value: np.ndarray) -> Line | None:
    """Ordinary least squares of value on age (years); None with fewer than 4 points or a single age."""
    keep = np.isfinite(age) & np.isfinite(value)
    age, value = age[keep], value[keep]
    if len(age) < MIN_POINTS or np.ptp(age) == 0:
        return None
    fit = stats.linregress(age, value)
    residual = value - fit.intercept - fit.slope * age
    sd = float(np.sqrt((residual**2).sum() / (len(age) - 2)))
    ss = float(((age - age.mean()) ** 2).sum())
    return Line(len(age), fit.slope, fit.intercept, fit.stderr, sd, float(age.mean()), ss)


def figure7_regions(names: list[str]) -> list[str]:
    """The atlas's names (without side) of posterior cingulate, precuneus and hippocampus; only those it has."""
    stems = {name.removesuffix("_L").removesuffix("_R") for name in names}
    return [next(name for name in known if name in stems) for known in FIGURE7_REGIONS if stems & set(known)]


def slopes(points: pd.DataFrame) -> pd.DataFrame:
    """Change of uptake per decade of age, for each method, region and stage.

    Parameters
    ----------
    points
        Columns method, region, group, age (years), value (SUVR).

    Returns
    -------
    Columns method, region, stage, n (people of known age and uptake), slope_per_decade with its 95 % interval low..high
    (SUVR per decade), p; missing where a stage has too few of them. Cross-sectional: differences between people, not
    the course of one.
    """
    table, keys = points.assign(stage=points["group"].map(STAGES)), ["method", "region", "stage"]
    rows = []
    for stratum, part in table.groupby(keys, sort=False):
        known = part.dropna(subset=["age", "value"])
        line = fit_line(known["age"].to_numpy(float), known["value"].to_numpy(float))
        rows.append(dict(zip(keys, stratum, strict=True)) | {"n": len(known)} | _per_decade(line))
    return pd.DataFrame(rows, columns=[*keys, "n", "slope_per_decade", "low", "high", "p"])


def _per_decade(line: Line | None) -> dict[str, float]:
    if line is None:
        return dict.fromkeys(("slope_per_decade", "low", "high", "p"), float("nan"))
    half = stats.t.ppf(0.975, line.n - 2) * line.slope_error
    t = abs(line.slope) / line.slope_error if line.slope_error > 0 else np.inf
    values = (line.slope, line.slope - half, line.slope + half)
    return dict(zip(("slope_per_decade", "low", "high"), (10 * v for v in values), strict=True)) | {
        "p": float(2 * stats.t.sf(t, line.n - 2))
    }


def each_pair(series: pd.DataFrame) -> pd.DataFrame:
    """Answers of an age series, one per held-out pair: a pair that several folds hold out counts once, with their mean.

    Parameters
    ----------
    series
        Rows of `dualglow age-series` for any number of folds of one method.

    Returns
    -------
    Columns method, region, stage, pair_id, told_age, value; without pairs of unknown stage and regions without voxels.
    """
    table = series.assign(stage=series["group"].map(STAGES)).dropna(subset=["stage", "value"])
    keys = ["method", "region", "stage", "pair_id", "told_age"]
    return table.groupby(keys, sort=False)["value"].mean().reset_index()


def told_slopes(series: pd.DataFrame) -> pd.DataFrame:
    """Change of a model's answer per decade of the age that it is told, the MRI being the same.

    Parameters
    ----------
    series
        Rows of `dualglow age-series` for any number of folds of one method.

    Returns
    -------
    Columns method, region, stage, n, slope_per_decade: the mean over people of each one's least-squares slope, with
    its 95 % interval low..high (SUVR per decade; missing of one person). The interval is of people, not of trainings.
    """
    table, keys = each_pair(series), ["method", "region", "stage", "pair_id"]
    centred = table["told_age"] - table.groupby(keys)["told_age"].transform("mean")
    sums = table.assign(top=centred * table["value"], bottom=centred**2).groupby(keys, sort=False)[["top", "bottom"]]
    each = sums.sum().assign(slope=lambda part: 10 * part["top"] / part["bottom"]).reset_index()
    found = each.groupby(keys[:3], sort=False)["slope"].agg(n="size", slope_per_decade="mean", sd="std").reset_index()
    half = stats.t.ppf(0.975, (found["n"] - 1).clip(lower=1)) * found["sd"] / np.sqrt(found["n"])
    bounds = {"low": found["slope_per_decade"] - half, "high": found["slope_per_decade"] + half}
    return found.drop(columns="sd").assign(**bounds)


def compared_slopes(series: pd.DataFrame, real: pd.DataFrame, truth: pd.DataFrame | None) -> pd.DataFrame:
    """The model's slope beside that of the real PETs of the same people and, of simulated people, the true ones.

    Parameters
    ----------
    series
        Rows of `dualglow age-series`.
    real
        Columns region, group, age, value: the real PETs of the same pairs.
    truth
        Rows of `dualglow age-truth`: region, stage, total, same_mri (SUVR per decade).

    Returns
    -------
    Columns method, region, stage, n, model, model_low, model_high, n_real (fewer: whose age is unknown has no place
    on that line), real, real_low, real_high and with `truth` true_total and true_same_mri: slopes in SUVR per decade.
    """
    model = told_slopes(series).rename(columns={"slope_per_decade": "model", "low": "model_low", "high": "model_high"})
    measured = slopes(real.assign(method="real")).drop(columns=["method", "p"])
    names = {"n": "n_real", "slope_per_decade": "real", "low": "real_low", "high": "real_high"}
    both = model.merge(measured.rename(columns=names), on=["region", "stage"], how="left")
    both["n_real"] = both["n_real"].astype(float).fillna(0).astype(int)
    if truth is None:
        return both
    true = truth.rename(columns={"total": "true_total", "same_mri": "true_same_mri"})
    return both.merge(true[["region", "stage", "true_total", "true_same_mri"]], on=["region", "stage"], how="left")
