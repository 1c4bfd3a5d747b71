"""Which held-out people the figures show: chosen by a rule from the metrics, never by eye."""

import numpy as np
import pandas as pd

from dualglow.evaluation.ageing import STAGES
from dualglow.figures.style import STAGE_COLOURS, is_simulated, titled

QUANTILES = (0.05, 0.35, 0.65, 0.95)
"""Of the MAE within a stage: the people of figures 9, 10 and 11, from nearly the best to nearly the worst."""

STAGE_OF_FIGURE = {9: "CN", 10: "MCI", 11: "AD"}


def people_of_figure(number: int, metrics: pd.DataFrame) -> pd.DataFrame:
    """Rows of one method's metrics that figure 5, 9, 10 or 11 shows, from left to right; perhaps none."""
    return typical_pairs(metrics) if number == 5 else spread_pairs(metrics, STAGE_OF_FIGURE[number])


def figure_title(number: int, metrics: pd.DataFrame) -> str:
    """What figure 5, 9, 10 or 11 shows, and whether the people are simulated."""
    if number == 5:
        return titled("Synthetic FDG-PET of held-out people with the median error", is_simulated(metrics))
    stage = STAGE_OF_FIGURE[number]
    return titled(f"Synthetic FDG-PET of held-out people, {stage}, from low to high error", is_simulated(metrics))


def why_nobody(number: int) -> str:
    """Why figure 5, 9, 10, 11 or 12 has nobody to show: the groups that it looks for."""
    stage = STAGE_OF_FIGURE.get(number)
    return f"No held-out person is of {either([group for group, own in STAGES.items() if stage in (own, None)])}."


def either(names: list[str]) -> str:
    """One or more names as `A, B or C`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def typical_pairs(metrics: pd.DataFrame) -> pd.DataFrame:
    """The pair with the median MAE (brain mask) of each group CN, MCI and AD: typical, not picked by eye.

    Of an even number it is the lower middle one; ties go by pair_id. Where a group is empty, its stage stands in (SMC
    for CN, EMCI and LMCI for MCI); perhaps there is nobody of any. The rows keep all columns of the metrics.
    """
    table = metrics.sort_values(["mae_mask", "pair_id"])
    parts = [_group_or_stage(table, stage) for stage in STAGE_COLOURS]
    rows = [part.iloc[[(len(part) - 1) // 2]] for part in parts if len(part)]
    return pd.concat(rows, ignore_index=True) if rows else table.iloc[:0]


def spread_pairs(metrics: pd.DataFrame, stage: str) -> pd.DataFrame:
    """The pairs of a stage (SMC with CN, EMCI and LMCI with MCI) nearest to the QUANTILES of its MAE (brain mask).

    Ties go by pair_id; of few people nobody is shown twice; a cohort may lack the stage. A column `quantile` says which
    one each stands for.
    """
    own = metrics[metrics["group"].map(STAGES) == stage].sort_values(["mae_mask", "pair_id"])
    last = len(own) - 1
    places = {int(np.rint(quantile * last)): quantile for quantile in reversed(QUANTILES)} if len(own) else {}
    chosen = own.iloc[sorted(places)].reset_index(drop=True)
    return chosen.assign(quantile=[places[place] for place in sorted(places)])


def _group_or_stage(table: pd.DataFrame, stage: str) -> pd.DataFrame:
    group = table[table["group"] == stage]
    return group if len(group) else table[table["group"].map(STAGES) == stage]


def person_label(row: pd.Series) -> str:
    """Diagnosis, age, sex and error (and the quantile that it stands for), as is printed above a person."""
    age = f"{row['age']:.0f} y" if pd.notna(row["age"]) else "age n/a"
    sex = row["sex"] if pd.notna(row["sex"]) else "sex n/a"
    place = f" ({100 * row['quantile']:.0f} % quantile)" if "quantile" in row else ""
    return f"{row['group']}, {age}, {sex}, MAE {row['mae_mask']:.3f} SUVR{place}"
