"""How probable the real PETs of each diagnosis are under a model, in bits per voxel: a table, and PET by PET."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dualglow.evaluation.ageing import STAGES
from dualglow.evaluation.comparison import check_same_pairs
from dualglow.figures.style import STAGE_COLOURS, in_order, is_simulated, method_name, paper_style, titled
from dualglow.figures.tables import Table, mean_sd

COLUMNS = ["method", "fold", "pair_id", "group", "bits", "bits_importance", "grey_value", "mask_share", "simulated"]
FEWEST_BOXED = 8  # with fewer PETs quartiles say less than the points


def bits_table(table: pd.DataFrame) -> Table:
    """Bits per voxel of the held-out real PETs given their MRIs, per method; and by stage, above the fold's median.

    Parameters
    ----------
    table
        Rows of `dualglow likelihood` for any number of methods and folds.

    Raises
    ------
    InputError
        If the methods were measured on different pairs.
    """
    check_same_pairs(table)
    points = drawn(table)
    points["stage"] = points["group"].map(STAGES)
    numbers, cells = [], []
    for method in in_order(points["method"]):
        own = points[points["method"] == method]
        parts = {
            f"{stage}, above": own.loc[own["stage"] == stage, "bits_above_fold"]
            for stage in dict.fromkeys(STAGES.values())
        }
        every = {"bits": own["bits"], "bits_importance": own["bits_importance"], **parts}
        row: dict[str, object] = {"method": method, "n": len(own), "folds": own["fold"].nunique()}
        for name, values in every.items():
            key = name.replace(", above", "_above_fold").lower()
            row |= {f"{key}_mean": values.mean(), f"{key}_sd": values.std()}
        numbers.append(row | {"grey_value": own["grey_value"].mean(), "mask_share": own["mask_share"].mean()})
        text: dict[str, object] = {"Method": method_name(method), "n": len(own)}
        text |= {"Bits per voxel": mean_sd(own["bits"], 3), "Tighter bound": mean_sd(own["bits_importance"], 3)}
        cells.append(text | {name: mean_sd(values, 3) for name, values in parts.items()})
    caption = (
        "Bits per voxel of held-out real FDG-PETs given their T1s (fewer: more probable), over the whole grid and for "
        "256 grey values of the model's window; mean ± sd over held-out pairs. Tighter bound: of the mean density over "
        "the draws of dequantisation noise. Above: by diagnosis, more than the median of the pairs that the same model "
        "held out."
    )
    return Table(pd.DataFrame(numbers), pd.DataFrame(cells), caption, "tab:likelihood", is_simulated(table))


def bits_by_group(table: pd.DataFrame) -> Figure:
    """Bits per voxel of every held-out real PET given its MRI, by diagnosis, one panel per method.

    Drawn as the difference from the median of the pairs that the same model (fold) held out: models differ more from
    each other than people do. Every held-out pair is a point, the bar is the median; box: quartiles, whiskers: 1.5
    interquartile ranges. A pair that several folds hold out (`split.scheme: holdout`) is as many points.

    Parameters
    ----------
    table
        Rows of `dualglow likelihood` for any number of methods and folds.
    """
    points = drawn(table)
    methods = in_order(points["method"])
    with paper_style():
        figure = Figure(figsize=(4.4 * len(methods) + 0.8, 3.9), layout="constrained")
        grid = figure.subplots(1, len(methods), sharey=True, squeeze=False)[0]
        for axes, method in zip(grid, methods, strict=True):
            own = points[points["method"] == method]
            _panel(axes, own)
            axes.set_title(f"{method_name(method)}: median {own['bits'].median():.2f} bits, n = {len(own)}", fontsize=9)
        grid[0].set_ylabel("Bits per voxel of the real PET given its T1,\nabove the median of its fold")
        figure.suptitle(titled("How unlikely held-out FDG-PET is", is_simulated(points)), fontsize=10.5)
    return figure


def _panel(axes: Axes, own: pd.DataFrame) -> None:
    groups = own["group"].fillna("n/a").astype(str)
    order = [name for name in STAGES if (groups == name).any()]
    order += sorted(set(groups) - set(order))
    axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    for position, group in enumerate(order):
        values = own.loc[groups == group, "bits_above_fold"].to_numpy(float)
        _group(axes, position, values, STAGE_COLOURS.get(STAGES.get(group, ""), "0.4"))
    counts = groups.value_counts()
    axes.set_xticks(range(len(order)), [f"{group}\nn = {counts[group]}" for group in order])
    axes.yaxis.grid(True, color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)


def _group(axes: Axes, position: int, values: np.ndarray, colour: str) -> None:
    line = {"color": colour, "linewidth": 1.1}
    if len(values) >= FEWEST_BOXED:
        box = {"facecolor": colour, "alpha": 0.2, "edgecolor": "none"}
        axes.boxplot(
            [values], positions=[position], widths=0.55, showfliers=False, patch_artist=True,
            boxprops=box, medianprops={"linewidth": 0}, whiskerprops=line, capprops=line,
        )  # fmt: skip
    axes.hlines(float(np.median(values)), position - 0.28, position + 0.28, color=colour, linewidth=2.2)
    jitter = np.random.default_rng(0).uniform(-0.16, 0.16, len(values))
    axes.scatter(position + jitter, values, s=16, color=colour, alpha=0.75, linewidths=0, zorder=3)


def drawn(table: pd.DataFrame) -> pd.DataFrame:
    """The points of the figure: one row per method, fold and pair, with `bits_above_fold`, their difference."""
    order = in_order(table["method"])
    fold_median = table.groupby(["method", "fold"])["bits"].transform("median")
    points = table[COLUMNS].assign(bits_above_fold=table["bits"] - fold_median)
    return points.sort_values("method", key=lambda own: own.map(order.index), kind="stable", ignore_index=True)
