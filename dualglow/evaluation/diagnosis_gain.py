"""What a PET adds to the T1 in the diagnosis: paired tests of the same machine with and without it."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats

from dualglow.cohort.splits import person
from dualglow.errors import InputError
from dualglow.evaluation.classification import AGE_SEX, WITH_MRI
from dualglow.evaluation.comparison import holm
from dualglow.evaluation.rois import MRI

BASES = (MRI, WITH_MRI + AGE_SEX)
"""What a PET is added to: the T1 alone, the claim to test; T1, age and sex, which some methods are told."""

DRAWS = 2000
COLUMNS = [
    "task", "base", "added", "n", "n_people", "accuracy_base", "accuracy", "gain", "only_base_right",
    "only_joined_right", "p_mcnemar", "p_holm", "auc_base", "auc", "auc_gain", "auc_gain_low", "auc_gain_high",
]  # fmt: skip


def diagnosis_gain(predictions: pd.DataFrame, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """Every PET beside the T1 against the T1 alone, and beside T1, age and sex against these, per task.

    Parameters
    ----------
    predictions
        Of `classify`: task, method, fold, pair_id, subject, truth, predicted, score.
    seed, draws
        Of the bootstrap over people.

    Returns
    -------
    One row per task, `base` (mri, mri+age-sex) and what is `added` to it (a PET; to the T1 alone also age-sex):
    accuracy of both and their difference; how many pairs only one of the two got right and McNemar's exact p, adjusted
    by Holm over the rows of a task and base; AUC within folds of both, and the difference with its 95 % percentile
    interval. A pair that several folds hold out counts with the first.

    Raises
    ------
    InputError
        If a base and a PET beside it were not classified on the same pairs of a task.
    """
    rows = []
    for task in dict.fromkeys(predictions["task"]):
        own = predictions[predictions["task"] == task].drop_duplicates(["method", "pair_id"])
        machines = {str(name): table for name, table in own.groupby("method", sort=False)}
        for base in BASES:
            tested = [
                {"added": name, **_row(machines[base], machines[f"{base}+{name}"], seed, draws)}
                for name in _added(base, machines)
            ]
            adjusted = holm(np.array([row["p_mcnemar"] for row in tested], float))
            rows += [{"task": task, "base": base, **row, "p_holm": p} for row, p in zip(tested, adjusted, strict=True)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _added(base: str, machines: Iterable[str]) -> list[str]:
    """What was classified beside this base, in the order of the machines."""
    beside = [name.removeprefix(f"{base}+") for name in machines if name.startswith(f"{base}+")]
    return [name for name in beside if not name.startswith(f"{AGE_SEX}+")]


def mcnemar(first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """McNemar's exact test of two sets of answers (bool, right or not) to the same questions.

    Returns
    -------
    How many only the first got right, how many only the second, the two-sided p (1 if they never differ).
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    n = only_first + only_second
    return only_first, only_second, float(stats.binomtest(only_first, n).pvalue) if n else 1.0


def auc_gain(first: pd.DataFrame, second: pd.DataFrame, seed: int, draws: int) -> tuple[float, float, float, float]:
    """AUC within folds of two machines on the same pairs, and the 95 % interval of second − first over people.

    Parameters
    ----------
    first, second
        The same rows: fold, subject, truth, score.
    """
    people, rows = np.unique(first["subject"].astype(str).map(person).to_numpy(str), return_inverse=True)
    weights = np.random.default_rng(seed).multinomial(len(people), np.full(len(people), 1 / len(people)), draws)
    weights = np.vstack([np.ones(len(people), int), weights])[:, rows].astype(float)
    right, couples = np.zeros((2, draws + 1)), np.zeros(draws + 1)
    for fold in np.unique(first["fold"]):
        here, truth = (first["fold"] == fold).to_numpy(), first["truth"].to_numpy(int)
        sick, well = np.flatnonzero(here & (truth == 1)), np.flatnonzero(here & (truth == 0))
        couples += weights[:, sick].sum(axis=1) * weights[:, well].sum(axis=1)
        for i, table in enumerate((first, second)):
            score = table["score"].to_numpy(float)
            wins = np.sign(score[sick][:, None] - score[well][None, :]) / 2 + 0.5
            right[i] += np.einsum("bi,ij,bj->b", weights[:, sick], wins, weights[:, well], optimize=True)
    with np.errstate(invalid="ignore"):
        auc = right / couples
    low, high = np.nanpercentile(auc[1, 1:] - auc[0, 1:], [2.5, 97.5]) if couples[0] else (np.nan, np.nan)
    return float(auc[0, 0]), float(auc[1, 0]), float(low), float(high)


def _row(base: pd.DataFrame, joined: pd.DataFrame, seed: int, draws: int) -> dict[str, object]:
    base, joined = base.set_index("pair_id"), joined.set_index("pair_id")
    if set(base.index) != set(joined.index):
        raise InputError(
            f"{joined['method'].iloc[0]} was classified on {len(joined)} pairs, {base['method'].iloc[0]} on "
            f"{len(base)} (or others): run `dualglow classify` again."
        )
    joined = joined.loc[base.index]
    right = [(table["truth"] == table["predicted"]).to_numpy(bool) for table in (base, joined)]
    only_base, only_joined, p = mcnemar(right[0], right[1])
    before, after, low, high = auc_gain(base, joined, seed, draws)
    return {
        "n": len(base),
        "n_people": base["subject"].astype(str).map(person).nunique(),
        "accuracy_base": right[0].mean(),
        "accuracy": right[1].mean(),
        "gain": right[1].mean() - right[0].mean(),
        "only_base_right": only_base,
        "only_joined_right": only_joined,
        "p_mcnemar": p,
        "auc_base": before,
        "auc": after,
        "auc_gain": after - before,
        "auc_gain_low": low,
        "auc_gain_high": high,
    }
