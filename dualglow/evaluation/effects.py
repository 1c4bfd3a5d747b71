"""How far AD and CN lie apart at each voxel and in each region, in real and in synthetic PET."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from dualglow.cohort.splits import person
from dualglow.evaluation.rois import REAL

PATIENTS, CONTROLS = "AD", "CN"
Read = Callable[[str], np.ndarray]
"""From a pair_id to its PET (X, Y, Z), SUVR."""


def two_groups(pairs: pd.DataFrame, pair_ids: Iterable[str]) -> dict[str, list[str]]:
    """The pair_ids of people with AD and of CN, one pair (the first) of each person."""
    table = pairs[pairs["pair_id"].isin(set(pair_ids))]
    table = table[~table["subject"].map(person).duplicated()]
    return {group: table.loc[table["group"] == group, "pair_id"].tolist() for group in (PATIENTS, CONTROLS)}


def hedges_g(patients: Iterable[np.ndarray], controls: Iterable[np.ndarray]) -> np.ndarray:
    """Hedges' g, patients − controls over their pooled standard deviation, corrected for small samples.

    g = (1 − 3 / (4 (n1 + n2 − 2) − 1)) d (Hedges 1981). Age and sex are not adjusted for.

    Parameters
    ----------
    patients, controls
        Arrays of one shape, a person each; read once.

    Returns
    -------
    float64 of that shape; nan where nobody varies, and everywhere with fewer than two people in a group.
    """
    (n1, mean1, squares1), (n2, mean2, squares2) = _moments(patients), _moments(controls)
    freedom = n1 + n2 - 2
    if min(n1, n2) < 2:
        return np.full(np.broadcast_shapes(np.shape(mean1), np.shape(mean2)), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        g = (mean1 - mean2) / np.sqrt((squares1 + squares2) / freedom) * (1 - 3 / (4 * freedom - 1))
    return np.where(squares1 + squares2 > 0, g, np.nan)


def effect_maps(readers: dict[str, Read], groups: dict[str, list[str]], mask: np.ndarray) -> dict[str, np.ndarray]:
    """Hedges' g at each voxel (X, Y, Z), float32, per reader.

    nan outside the mask, where nobody varies, and everywhere with fewer than two people in a group.
    """
    maps = {}
    for name, read in readers.items():
        g = hedges_g(*((read(pair_id) for pair_id in groups[group]) for group in (PATIENTS, CONTROLS)))
        g = g if g.shape else np.full(mask.shape, np.nan)
        maps[name] = np.where(mask, g, np.nan).astype(np.float32)
    return maps


def map_agreement(maps: dict[str, np.ndarray], mask: np.ndarray, groups: dict[str, list[str]]) -> pd.DataFrame:
    """How alike each map is to that of the real PET, over the voxels of the mask where both have a g.

    Returns
    -------
    One row per method: n_ad, n_cn; n_voxels, how many voxels these are; mean of g and its sd over them; correlation
    (Pearson) with the real map; slope of the method's g on the real one (1: as large; below: too weak). What cannot be
    told is nan.
    """
    rows = []
    for name, own in maps.items():
        known = mask & np.isfinite(maps[REAL]) & np.isfinite(own)
        real, g = (each[known].astype(np.float64) for each in (maps[REAL], own))
        row = {"method": name, "n_ad": len(groups[PATIENTS]), "n_cn": len(groups[CONTROLS]), "n_voxels": len(g)}
        row |= {"mean_g": g.mean() if len(g) else np.nan, "sd_g": g.std() if len(g) else np.nan}
        varies = len(g) > 1 and real.std() > 0 and g.std() > 0
        row |= {"correlation": np.corrcoef(real, g)[0, 1] if varies else np.nan}
        rows.append(row | {"slope": np.cov(real, g)[0, 1] / real.var(ddof=1) if varies else np.nan})
    return pd.DataFrame(rows)


def region_effects(rois: pd.DataFrame, groups: dict[str, list[str]]) -> pd.DataFrame:
    """Mean uptake of both groups and Hedges' g per method and region.

    Parameters
    ----------
    rois
        Tidy region means: pair_id, method, region, n_voxels, value.
    """
    rows = []
    for key, part in rois.groupby(["method", "region"], sort=False):
        values = part.set_index("pair_id")["value"]
        sick, well = (values.reindex(groups[group]).dropna().to_numpy(float) for group in (PATIENTS, CONTROLS))
        means = {"mean_ad": sick.mean() if len(sick) else np.nan, "mean_cn": well.mean() if len(well) else np.nan}
        g = float(hedges_g(sick, well)) if len(sick) and len(well) else np.nan
        found = {"method": key[0], "region": key[1], "n_voxels": part["n_voxels"].median()}  # type: ignore[index]
        rows.append(found | means | {"difference": means["mean_ad"] - means["mean_cn"], "g": g})
    return pd.DataFrame(rows)


def region_correlations(effects: pd.DataFrame, methods: list[str]) -> list[float]:
    """Pearson's correlation over regions of each method's g with the real one; nan where one is constant or missing."""
    if effects.empty:
        return [float("nan")] * len(methods)
    wide = effects.pivot(index="region", columns="method", values="g").dropna(how="all")
    real = wide[REAL]
    return [real.corr(wide[name]) if wide[name].std() > 0 and real.std() > 0 else float("nan") for name in methods]


def _moments(arrays: Iterable[np.ndarray]) -> tuple[int, np.ndarray, np.ndarray]:
    """Number, mean and sum of squared deviations (Welford: one array in memory, no cancellation)."""
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    for count, array in enumerate(arrays, start=1):
        change = np.asarray(array, np.float64) - mean
        mean = mean + change / count
        squares = squares + change * (array - mean)
    return count, mean, squares
