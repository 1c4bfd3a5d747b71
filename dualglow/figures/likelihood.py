"""How probable the real PETs of each diagnosis are under a model: bits per voxel, person by person."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dualglow.evaluation.ageing import STAGES
from dualglow.figures.style import STAGE_COLOURS, in_order, is_simulated, method_name, paper_style, titled

COLUMNS = ["method", "fold", "pair_id", "group", "bits", "bits_importance", "grey_value", "mask_share", "simulated"]


def bits_by_group(table: pd.DataFrame) -> Figure:
    """Bits per voxel of every held-out real PET given its MRI, by diagnosis, one panel per method.

    Every person is a point; box: quartiles and median, whiskers to 1.5 interquartile ranges. Fewer bits: more probable.

    Parameters
    ----------
    table
        Rows of `dualglow likelihood` for any number of methods and folds.
    """
    methods = in_order(table["method"])
    with paper_style():
        figure = Figure(figsize=(max(4.2, 3.6 * len(methods)), 3.7), layout="constrained")
        grid = figure.subplots(1, len(methods), sharey=True, squeeze=False)[0]
        for axes, method in zip(grid, methods, strict=True):
            _panel(axes, table[table["method"] == method])
            axes.set_title(method_name(method))
        grid[0].set_ylabel("Bits per voxel of the real PET, given its T1\n(fewer: more probable)")
        title = titled("Likelihood of held-out FDG-PET by diagnosis", is_simulated(table))
        figure.suptitle(title, fontsize=10.5)
    return figure


def _panel(axes: Axes, own: pd.DataFrame) -> None:
    groups = own["group"].fillna("n/a").astype(str)
    order = [name for name in STAGES if (groups == name).any()]
    order += sorted(set(groups) - set(order))
    for position, group in enumerate(order):
        values = own.loc[groups == group, "bits"].to_numpy(float)
        colour = STAGE_COLOURS.get(STAGES.get(group, ""), "0.4")
        line = {"color": colour, "linewidth": 1.1}
        box = {"facecolor": colour, "alpha": 0.2, "edgecolor": "none"}
        axes.boxplot(
            [values], positions=[position], widths=0.55, showfliers=False, patch_artist=True,
            boxprops=box, medianprops=line | {"linewidth": 2.2}, whiskerprops=line, capprops=line,
        )  # fmt: skip
        jitter = np.random.default_rng(0).uniform(-0.16, 0.16, len(values))
        axes.scatter(position + jitter, values, s=16, color=colour, alpha=0.75, linewidths=0, zorder=3)
    counts = groups.value_counts()
    axes.set_xticks(range(len(order)), [f"{group}\nn = {counts[group]}" for group in order])
    axes.yaxis.grid(True, color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)


def drawn(table: pd.DataFrame) -> pd.DataFrame:
    """The points of the figure: one row per method and person."""
    order = in_order(table["method"])
    return table[COLUMNS].sort_values("method", key=lambda own: own.map(order.index), kind="stable", ignore_index=True)
