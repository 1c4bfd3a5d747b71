"""Whether one method is better than another on held-out pairs: paired tests that allow for reused training data."""

from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd
from scipy import stats

from dualglow.cohort.splits import person, split_hash
from dualglow.errors import ConfigError, InputError

BETTER = {"cor": 1, "psnr": 1, "ssim": 1, "msssim": 1, "nmi": 1, "mae": -1, "nmse": -1, "bias": -1}
"""1 where more is better, -1 where less is. The bias is compared by its absolute value."""

CONFIDENCE = 0.95
RESULTS = ["difference", "low", "high", "t", "df", "p", "p_holm", "p_wilcoxon", "p_wilcoxon_holm"]
KEYS = ["fold", "pair_id"]


@dataclass(frozen=True)
class Resampled:
    """A mean difference over folds with its confidence interval and test."""

    difference: float
    low: float
    high: float
    t: float
    df: int
    p: float


UNTESTED = dict.fromkeys((field.name for field in fields(Resampled)), np.nan)


def corrected_t_test(differences: np.ndarray, test_to_train: float) -> Resampled | None:
    """The corrected resampled t-test of Nadeau & Bengio (2003), two-sided.

    Folds share training people, so their results are not independent and the plain t-test finds differences that are
    not there. The variance of the mean is taken as (1/k + n_test/n_train) s² instead of s²/k.

    Parameters
    ----------
    differences
        (k,), one per fold: mean over its test people.
    test_to_train
        n_test / n_train of a fold.

    Returns
    -------
    None with fewer than two folds.
    """
    k = len(differences)
    if k < 2:
        return None
    mean = float(differences.mean())
    error = float(np.sqrt((1 / k + test_to_train) * differences.var(ddof=1)))
    half = stats.t.ppf((1 + CONFIDENCE) / 2, k - 1) * error
    t = mean / error if error > 0 else float(np.copysign(np.inf, mean)) if mean else 0.0
    return Resampled(mean, mean - half, mean + half, t, k - 1, float(2 * stats.t.sf(abs(t), k - 1)))


def holm(p: np.ndarray) -> np.ndarray:
    """P-values that are adjusted for being several (Holm 1979), in the order given; missing ones stay missing."""
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else steps
    return adjusted


def compare(metrics: pd.DataFrame, folds: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Every other method against the reference, per metric: reference minus method.

    Parameters
    ----------
    metrics
        Rows of `dualglow evaluate` of all methods and folds.
    folds
        folds.tsv as `read_folds` gives it: how many train and are tested.

    Returns
    -------
    One row per metric and method: reference, method; n_pairs, n_people, folds; mean of the reference and of the method
    over pairs; difference (mean over folds of the mean over the fold's pairs), its 95 % interval low..high, t, df and
    p of the corrected resampled t-test, which are missing with fewer than two folds; p_wilcoxon of the signed-rank test
    over people; both also adjusted by Holm over the methods; `better`, 1 where more is better, -1 where less.

    Raises
    ------
    ConfigError, InputError
        If the reference has no rows; if the tables are of another split than `folds`, or of different pairs.
    """
    if reference not in set(metrics["method"]):
        raise ConfigError(f"--reference {reference}: not in the metrics: {', '.join(sorted(set(metrics['method'])))}.")
    check_split(metrics, folds)
    ratio = held_out_ratio(folds, sorted(set(metrics["fold"])))
    others = [method for method in dict.fromkeys(metrics["method"]) if method != reference]
    columns = [name for name in metrics.columns if name.rpartition("_")[0] in BETTER and name.endswith(("mask", "box"))]
    rows = []
    for column in columns:
        tested = pd.DataFrame([_row(metrics, column, reference, method, ratio) for method in others])
        for name in ("p", "p_wilcoxon") if others else ():
            tested[f"{name}_holm"] = holm(tested[name].to_numpy(float))
        rows.append(tested)
    table = pd.concat(rows, ignore_index=True)
    first = ["metric", "region", "reference", "method", "n_pairs", "n_people", "folds", "reference_mean", "method_mean"]
    return table.reindex(columns=[*first, *RESULTS, "test_to_train", "better"]).astype({"df": "Int64"})


def check_split(metrics: pd.DataFrame, folds: pd.DataFrame) -> None:
    """Raise InputError unless every row was measured on this split, and each pair once by every method."""
    for key, part in metrics.groupby(["method", "fold"], sort=False):
        method, fold = str(key[0]), int(part["fold"].iloc[0])
        expected = split_hash(folds, fold)
        if found := sorted(set(part["split_hash"].astype(str)) - {expected}):
            raise InputError(
                f"the metrics of {method}, fold {fold}, are of another split ({found[0]}) than folds.tsv ({expected}): "
                "train and evaluate all methods on the same folds."
            )
    check_same_pairs(metrics)


def check_comparable(metrics: pd.DataFrame) -> None:
    """Raise InputError unless rows of `dualglow evaluate` can stand side by side.

    They must have one data range, one split per fold, and the same pairs, each once, for every method.
    """
    check_alike(metrics, "data_range", "the metrics")
    for fold, part in metrics.groupby("fold"):
        check_alike(part, "split_hash", f"the metrics of fold {fold}")
    check_same_pairs(metrics)


def check_alike(table: pd.DataFrame, column: str, what: str) -> None:
    """Raise InputError unless a column has one value only; `what` names the rows in the message."""
    found = sorted(table[column].astype(str).unique())
    if len(found) > 1:
        raise InputError(f"{what} differ in {column} ({', '.join(found)}): train and measure all methods alike.")


def check_same_pairs(metrics: pd.DataFrame) -> None:
    """Raise InputError unless every method was scored once on each of the same pairs of the same folds."""
    keys = ["method", *KEYS]
    if metrics.duplicated(keys).any():
        method, fold, pair_id = metrics.loc[metrics.duplicated(keys), keys].iloc[0]
        raise InputError(f"the tables hold {pair_id} of {method}, fold {fold} twice: give each file once.")
    pairs = {
        str(method): frozenset(zip(part["fold"], part["pair_id"], strict=True))
        for method, part in metrics.groupby("method", sort=False)
    }
    if len(set(pairs.values())) > 1:
        counts = ", ".join(f"{method} {len(held)}" for method, held in pairs.items())
        raise InputError(f"the methods were scored on different pairs ({counts}): evaluate all on the same folds.")


def held_out_ratio(folds: pd.DataFrame, used: list[int]) -> float:
    """Mean over folds of test pairs / training pairs; those that chose the epoch count as training."""
    parts = folds[folds["fold"].isin(used)].groupby("fold")["part"]
    tested = parts.agg(lambda part: (part == "test").sum())
    return float((tested / (parts.size() - tested)).mean())


def _row(metrics: pd.DataFrame, column: str, reference: str, method: str, ratio: float) -> dict[str, object]:
    metric, _, region = column.rpartition("_")
    wide = metrics.set_index([*KEYS, "subject", "method"])[column].unstack("method")
    pair = wide[[reference, method]].replace([np.inf, -np.inf], np.nan).dropna()
    pair = pair.abs() if metric == "bias" else pair
    difference = pair[reference] - pair[method]
    people = difference.groupby(difference.index.get_level_values("subject").map(person)).mean()
    tested = corrected_t_test(difference.groupby("fold").mean().to_numpy(), ratio)
    return {
        "metric": metric,
        "region": region,
        "reference": reference,
        "method": method,
        "n_pairs": len(pair),
        "n_people": len(people),
        "folds": pair.index.get_level_values("fold").nunique(),
        "reference_mean": pair[reference].mean(),
        "method_mean": pair[method].mean(),
        **(asdict(tested) if tested else UNTESTED | {"difference": difference.mean()}),
        "p_wilcoxon": _wilcoxon(people.to_numpy()),
        "test_to_train": ratio,
        "better": BETTER[metric],
    }


def _wilcoxon(differences: np.ndarray) -> float:
    """Two-sided signed-rank test; 1 where no two values differ, missing for fewer than two people."""
    if len(differences) < 2:
        return float("nan")
    return float(stats.wilcoxon(differences).pvalue) if np.any(differences) else 1.0
