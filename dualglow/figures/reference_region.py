"""The table of what another SUVR reference region would have changed."""

import pandas as pd

from dualglow.evaluation.classification import TASKS
from dualglow.evaluation.rois import REAL
from dualglow.figures.style import method_name
from dualglow.figures.tables import Table, atlas_name


def reference_table(sensitivity: pd.DataFrame, packed: str, left_out: list[str], simulated: bool) -> Table:
    """MAE, CorCoef and accuracy per reference region and method.

    Parameters
    ----------
    sensitivity
        Rows of `dualglow.evaluation.reference_region.sensitivity`, with `atlas`.
    packed
        The reference region of the dataset.
    left_out
        Regions that do not lie on the model grid.
    """
    real = sensitivity["method"] == REAL
    cells = pd.DataFrame(
        {
            "Reference": sensitivity["reference"].replace("packed", f"as packed ({packed})"),
            "PET": sensitivity["method"].map(method_name),
            "MAE": _numbers(sensitivity["mae"].mask(real), 3),
            "MAE (% of mean)": _numbers(sensitivity["mae_percent"].mask(real), 1),
            "CorCoef": _numbers(sensitivity["cor"].mask(real), 3),
            **{
                f"Accuracy (%), {task.name}": _numbers(100 * sensitivity[f"accuracy_{i}"], 0)
                for i, task in enumerate(TASKS, start=1)
            },
        }
    )
    outside = f" Not in the brains on the model grid: {', '.join(left_out)}." if left_out else ""
    caption = (
        "Real and synthetic PET relative to other reference regions, each by its own mean there: error in the brain "
        "(in units of that reference, and in percent of the real mean), CorCoef (blind to a factor by construction), "
        f"accuracy of table 2 (regions of {atlas_name(sensitivity['atlas'].iloc[0])})." + outside
    )
    return Table(sensitivity, cells, caption, "tab:reference-region", simulated)


def _numbers(values: pd.Series, digits: int) -> list[str]:
    return ["n/a" if pd.isna(value) else f"{value:.{digits}f}" for value in values]
