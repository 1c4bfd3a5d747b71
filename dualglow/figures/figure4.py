"""Figure 4: absolute error of the synthetic PET per method."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dualglow.evaluation.comparison import check_comparable
from dualglow.figures.style import BLUE, SKY, VERMILION, in_order, is_simulated, method_name, paper_style, titled


def mae_boxplot(metrics: pd.DataFrame) -> Figure:
    """Figure 4 of the paper: MAE per method over all held-out pairs (SUVR, brain mask).

    Box: quartiles and median; whiskers: 1.5 interquartile ranges; diamond: mean; every pair is a point.

    Parameters
    ----------
    metrics
        Rows of `dualglow evaluate` for any number of methods and folds.

    Raises
    ------
    InputError
        If the rows cannot stand in one figure: other splits, data ranges or pairs, or a pair twice.
    """
    check_comparable(metrics)
    methods = in_order(metrics["method"])
    values = [metrics.loc[metrics["method"] == method, "mae_mask"].to_numpy(float) for method in methods]
    with paper_style():
        figure = Figure(figsize=(max(3.5, 1.1 * len(methods) + 1.2), 3.6), layout="constrained")
        axes = figure.subplots()
        positions = np.arange(len(methods))
        axes.boxplot(
            values,
            positions=positions,
            widths=0.55,
            showfliers=False,
            showmeans=True,
            patch_artist=True,
            boxprops={"facecolor": SKY, "alpha": 0.35, "edgecolor": BLUE},
            medianprops={"color": BLUE, "linewidth": 1.8},
            whiskerprops={"color": BLUE},
            capprops={"color": BLUE},
            meanprops={"marker": "D", "markersize": 5, "markerfacecolor": "white", "markeredgecolor": VERMILION},
        )
        for position, points in zip(positions, values, strict=True):
            jitter = np.random.default_rng(0).uniform(-0.18, 0.18, len(points))
            axes.scatter(position + jitter, points, s=9, color="black", alpha=0.45, linewidths=0, zorder=3)
        names = [f"{method_name(m)}\nn = {len(v)}" for m, v in zip(methods, values, strict=True)]
        axes.set_xticks(positions, [name.replace(" (", "\n(") for name in names])
        axes.set_ylim(bottom=0)
        axes.set_ylabel("Mean absolute error (SUVR, brain mask)")
        figure.suptitle(titled("Error of synthetic FDG-PET", is_simulated(metrics)), fontsize=10.5)
        axes.yaxis.grid(True, color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
    return figure


def drawn(metrics: pd.DataFrame) -> pd.DataFrame:
    """The points of the figure: one row per method and pair."""
    order = in_order(metrics["method"])
    table = metrics[["method", "fold", "pair_id", "subject", "group", "mae_mask"]]
    return table.sort_values("method", key=lambda column: column.map(order.index), kind="stable", ignore_index=True)
