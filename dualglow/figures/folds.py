"""The table of who trains, validates and is tested in every fold."""

import pandas as pd

from dualglow.cohort.scan import GROUPS
from dualglow.figures.tables import Table, plus_minus

COLUMNS = ["fold", "part", "n", "n_pairs", "age_mean", "age_sd", "female", "male", "pet_levels"]


def folds_table(demographics: pd.DataFrame, simulated: bool) -> Table:
    """People, diagnoses, age and sex per fold and part.

    Parameters
    ----------
    demographics
        folds_demographics.tsv of `dualglow split`.
    """
    counted = [name for name in (*GROUPS, "unknown") if demographics.get(f"n_{name}", pd.Series([0])).any()]
    cells = pd.DataFrame(
        {
            "Fold": demographics["fold"].astype(str),
            "Part": demographics["part"],
            "People": demographics["n"],
            "Pairs": demographics["n_pairs"],
            **{name: demographics[f"n_{name}"] for name in counted},
            "Age (years)": [
                plus_minus(mean, sd, 1)
                for mean, sd in zip(demographics["age_mean"], demographics["age_sd"], strict=True)
            ],
            "F / M": [f"{f} / {m}" for f, m in zip(demographics["female"], demographics["male"], strict=True)],
            "Pairs per PET level": demographics["pet_levels"],
        }
    )
    caption = (
        "Who trains the models of each fold, who chooses their epoch (validation) and who is held out (test): people "
        "by diagnosis, age as mean ± sd, women and men. Nobody is in two parts of a fold. PET level: how far a PET had "
        "been processed before it came here; a part with several mixes them."
    )
    return Table(demographics, cells, caption, "tab:folds", simulated)
