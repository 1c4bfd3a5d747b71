"""The table of what a PET adds to the T1 alone in the diagnosis."""

import pandas as pd

from dualglow.evaluation.classification import WITH_MRI
from dualglow.figures.comparison import p_value
from dualglow.figures.style import method_name
from dualglow.figures.tables import Table


def gain_table(gain: pd.DataFrame, classification: pd.DataFrame, simulated: bool) -> Table:
    """Accuracy and AUC with T1 and PET together against the T1 alone, per task.

    Parameters
    ----------
    gain
        Rows of `diagnosis_gain`.
    classification
        Table of `dualglow classify`: the atlas, and why a task has no rows.
    """
    differing = zip(gain["only_mri_right"], gain["only_joined_right"], strict=True)
    cells = pd.DataFrame(
        {
            "Task": gain["task"],
            "T1 and": [method_name(method.removeprefix(WITH_MRI)) for method in gain["method"]],
            "n": gain["n"],
            "Accuracy, T1": [f"{100 * value:.0f}%" for value in gain["accuracy_mri"]],
            "Accuracy, both": [f"{100 * value:.0f}%" for value in gain["accuracy"]],
            "Lost / won": [f"{lost} / {won}" for lost, won in differing],
            "p (McNemar)": [p_value(value) for value in gain["p_mcnemar"]],
            "p, Holm": [p_value(value) for value in gain["p_holm"]],
            "AUC, both": [f"{value:.2f}" for value in gain["auc"]],
            "AUC gain (95% CI)": [_gain(row) for _, row in gain.iterrows()],
        }
    )
    reasons = classification.dropna(subset=["reason"]).drop_duplicates("task")
    skipped = "".join(f" {row['task']}: not done, {row['reason']}." for _, row in reasons.iterrows())
    caption = (
        f"What a PET beside the T1 adds to the T1 alone: RBF-SVM on region means of {classification['atlas'].iloc[0]}, "
        "nested cross-validation as in table 2. Lost / won: pairs that only the T1 alone, only both got right. "
        "AUC within folds, its interval from a bootstrap over people. Holm: over the rows of a task." + skipped
    )
    return Table(gain, cells, caption, "tab:diagnosis-gain", simulated)


def _gain(row: pd.Series) -> str:
    return f"{row['auc_gain']:+.2f} ({row['auc_gain_low']:+.2f} to {row['auc_gain_high']:+.2f})"
