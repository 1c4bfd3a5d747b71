"""Figure 14: uptake of thirty regions over six ages, as a conditional model makes them of held-out people's MRIs."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dualglow.evaluation.ageing import each_pair, figure7_regions
from dualglow.figures.style import STAGE_COLOURS, STAGE_MARKERS, is_simulated, method_name, paper_style, titled

REGIONS, COLUMNS = 30, 6
LEAST_SPAN = 0.1  # SUVR, of every panel's axis


def shown_regions(table: pd.DataFrame) -> list[str]:
    """The three regions of figure 7 and the largest others (most voxels), thirty in all, in the atlas's order."""
    sizes = table.groupby("region", sort=False)["n_voxels"].max()
    sizes = sizes[sizes > 0]
    first = figure7_regions(list(sizes.index))
    rest = sizes.drop(first).sort_values(ascending=False, kind="stable").index[: REGIONS - len(first)]
    chosen = {*first, *rest}
    return [name for name in sizes.index if name in chosen]


def drawn(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and sd over the held-out people of each stage, for each region shown and age.

    Parameters
    ----------
    table
        Rows of `dualglow age-series` for any number of folds of one method.

    Returns
    -------
    Columns method, region, stage, told_age (years), n, mean, sd (SUVR), simulated.
    """
    own = each_pair(table[table["region"].isin(shown_regions(table))])
    keys = ["method", "region", "stage", "told_age"]
    found = own.groupby(keys, sort=False)["value"].agg(n="size", mean="mean", sd="std").reset_index()
    return found.assign(simulated=is_simulated(table))


def regions_over_ages(numbers: pd.DataFrame) -> Figure:
    """Figure 14 of the paper: a panel per region; line: mean over the people of a stage, band: ± 1 sd of people.

    The axes of all panels are equally long, so that slopes compare between regions.

    Parameters
    ----------
    numbers
        As `drawn` gives them.
    """
    regions = list(dict.fromkeys(numbers["region"]))
    rows = -(-len(regions) // COLUMNS)
    with paper_style():
        figure = Figure(figsize=(11.0, 1.75 * rows + 1.2), layout="constrained")
        grid = figure.subplots(rows, COLUMNS, sharex=True, squeeze=False)
        span = max(_span(numbers), LEAST_SPAN)
        for axes, region in zip(grid.flat, regions, strict=False):
            own = numbers[numbers["region"] == region]
            _panel(axes, own)
            middle = ((own["mean"] - own["sd"].fillna(0)).min() + (own["mean"] + own["sd"].fillna(0)).max()) / 2
            axes.set_ylim(middle - 0.55 * span, middle + 0.55 * span)
            axes.set_title(region.replace("_", " "), fontsize=8.5)
        for axes in list(grid.flat)[len(regions) :]:
            axes.set_visible(False)
        present = [stage for stage in STAGE_COLOURS if (numbers["stage"] == stage).any()]
        handles = [grid[0, 0].get_lines()[i] for i in range(len(present))]
        counts = numbers.groupby("stage")["n"].max()
        names = [f"{stage} (n = {counts[stage]})" for stage in present]
        figure.legend(handles, names, loc="outside lower center", ncols=len(present), frameon=False)
        for axes in grid[-1]:
            axes.set_xlabel("Age told (years)", fontsize=8.5)
            axes.set_xticks(np.linspace(numbers["told_age"].min(), numbers["told_age"].max(), 3))
        figure.supylabel("Mean uptake (SUVR)", fontsize=9)
        title = f"{method_name(numbers['method'].iloc[0])}: the same held-out MRIs at six ages, mean ± sd over people"
        figure.suptitle(titled(title, is_simulated(numbers)), fontsize=10.5)
    return figure


def _span(numbers: pd.DataFrame) -> float:
    """The largest range of any region, bands included."""
    low = (numbers["mean"] - numbers["sd"].fillna(0)).groupby(numbers["region"]).min()
    high = (numbers["mean"] + numbers["sd"].fillna(0)).groupby(numbers["region"]).max()
    return float((high - low).max())


def _panel(axes: Axes, own: pd.DataFrame) -> None:
    for stage, colour in STAGE_COLOURS.items():
        part = own[own["stage"] == stage].sort_values("told_age")
        if part.empty:
            continue
        age, mean, sd = (part[name].to_numpy(float) for name in ("told_age", "mean", "sd"))
        axes.plot(age, mean, color=colour, marker=STAGE_MARKERS[stage], markersize=2.5, linewidth=1.3)
        axes.fill_between(
            age, mean - np.nan_to_num(sd), mean + np.nan_to_num(sd), color=colour, alpha=0.15, linewidth=0
        )
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.grid(True, color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
