"""Table 2: diagnosis from real and synthetic PET."""

import pandas as pd

from dualglow.evaluation.classification import WITH_MRI
from dualglow.figures.style import is_simulated, method_name
from dualglow.figures.tables import Table, atlas_name


def diagnosis(classification: pd.DataFrame) -> Table:
    """Table 2 of the paper: accuracy, FNR and FPR of an RBF-SVM on region means, per task and kind of image.

    Parameters
    ----------
    classification
        Output of `dualglow classify`; its tasks and methods keep their order. Features of T1 and PET together are left
        to the table of their gain. The cells are of the tasks that were done; the caption says why another was not.
    """
    joined = classification["method"].str.startswith(WITH_MRI)
    classification = classification[~joined].reset_index(drop=True)
    done = classification[classification["reason"].isna()]
    cells = pd.DataFrame(
        {
            "Task": done["task"],
            "Features": done["method"].map(method_name),
            "n": _counts(done),
            "Accuracy (95% CI)": [_accuracy(row) for _, row in done.iterrows()],
            "FNR / all": _percent(done["fnr_share"]),
            "FPR / all": _percent(done["fpr_share"]),
            "FNR": _percent(done["fnr"]),
            "FPR": _percent(done["fpr"]),
            "AUC": [f"{value:.2f}" if pd.notna(value) else "n/a" for value in done["auc"]],
        }
    )
    return Table(classification, cells, _caption(classification), "tab:diagnosis", is_simulated(classification))


def _caption(classification: pd.DataFrame) -> str:
    reasons = classification.dropna(subset=["reason"]).drop_duplicates("task")
    skipped = "".join(f" {row['task']}: not done, {row['reason']}." for _, row in reasons.iterrows())
    atlas = atlas_name(classification["atlas"].iloc[0])
    return (
        f"Diagnosis by an RBF support vector machine on mean values of the regions ({atlas}), "
        "nested cross-validation; n: held-out pairs with the disease / all. FNR and FPR as shares of all cases (the "
        "paper's reading), then of the diseased and of the healthy. AUC within folds." + skipped
    )


def _counts(table: pd.DataFrame) -> list[str]:
    return [
        f"{positive:.0f} / {n:.0f}" if pd.notna(n) else "n/a"
        for positive, n in zip(table["n_positive"], table["n"], strict=True)
    ]


def _accuracy(row: pd.Series) -> str:
    if pd.isna(row["accuracy"]):
        return "n/a"
    return f"{100 * row['accuracy']:.0f}% ({100 * row['accuracy_low']:.0f}–{100 * row['accuracy_high']:.0f})"


def _percent(values: pd.Series) -> list[str]:
    return [f"{100 * value:.0f}%" if pd.notna(value) else "n/a" for value in values]
