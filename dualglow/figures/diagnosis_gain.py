"""The table of what a PET adds in the diagnosis to the T1 alone, and to T1, age and sex."""

import pandas as pd

from dualglow.evaluation.diagnosis_gain import BASES
from dualglow.figures.comparison import p_value
from dualglow.figures.style import method_name
from dualglow.figures.tables import Table, atlas_name

PRINTED = dict(zip(BASES, (("T1", "both"), ("T1, age, sex", "all")), strict=True))


def gain_table(gain: pd.DataFrame, classification: pd.DataFrame, simulated: bool) -> Table:
    """Accuracy and AUC with a PET against without it, per task and PET, beside the T1 alone and beside T1, age, sex.

    Parameters
    ----------
    gain
        Rows of `diagnosis_gain`.
    classification
        Table of `dualglow classify`: the atlas, and why a task has no rows.
    """
    cells = [
        {"Task": task, "T1 and": method_name(str(added)), "n": rows["n"].iloc[0]} | _cells(rows)
        for (task, added), rows in gain.groupby(["task", "added"], sort=False)
    ]
    reasons = classification.dropna(subset=["reason"]).drop_duplicates("task")
    skipped = "".join(f" {row['task']}: not done, {row['reason']}." for _, row in reasons.iterrows())
    caption = (
        "What a PET adds in the diagnosis: the same machine, an RBF-SVM on region means "
        f"({atlas_name(classification['atlas'].iloc[0])}), without and with it; beside the T1 alone, and beside T1, "
        "age and sex, which some methods are told. Nested cross-validation as in table 2, but a pair that several "
        "folds hold out counts with the first. p: McNemar's exact test over pairs, after Holm over the rows of a task "
        "and base. AUC within folds, its interval from a bootstrap over people." + skipped
    )
    # With too few people for any task there are no rows, and the columns are still there.
    names = ["Task", "T1 and", "n", *(name for base in BASES for name in _names(base))]
    return Table(gain, pd.DataFrame(cells, columns=names), caption, "tab:diagnosis-gain", simulated)


def _names(base: str) -> tuple[str, str, str]:
    without, joined = PRINTED[base]
    return f"Accuracy, {without} to {joined}", f"p, {joined}", f"AUC gain, {joined} (95% CI)"


def _cells(rows: pd.DataFrame) -> dict[str, str]:
    """What one PET, or age and sex, adds to each base; these are not added to themselves."""
    of_base = {row["base"]: row for _, row in rows.iterrows()}
    cells: dict[str, str] = {}
    for base in BASES:
        row = of_base.get(base)
        text = ("", "", "") if row is None else (_accuracies(row), p_value(row["p_holm"]), _gain(row))
        cells |= dict(zip(_names(base), text, strict=True))
    return cells


def _accuracies(row: pd.Series) -> str:
    return f"{100 * row['accuracy_base']:.0f}% to {100 * row['accuracy']:.0f}%"


def _gain(row: pd.Series) -> str:
    """`n/a` where no fold holds out people of both kinds."""
    if pd.isna(row["auc_gain"]):
        return "n/a"
    return f"{row['auc_gain']:+.2f} ({row['auc_gain_low']:+.2f} to {row['auc_gain_high']:+.2f})"
