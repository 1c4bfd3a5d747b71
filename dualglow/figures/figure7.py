"""Figure 7: regional uptake against age, real and synthetic PET side by side."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from dualglow.evaluation.ageing import STAGES, each_pair, fit_line
from dualglow.figures.style import (
    STAGE_COLOURS,
    STAGE_MARKERS,
    in_order,
    is_simulated,
    method_name,
    paper_style,
    titled,
)  # fmt: skip

TOLD = "same MRIs at other ages"


def curves(series: pd.DataFrame, regions: list[str]) -> pd.DataFrame:
    """What a conditional model makes of each stage at other ages: mean over its held-out people, 95 % interval of it.

    Parameters
    ----------
    series
        Rows of `dualglow age-series` for any number of folds of one method.

    Returns
    -------
    Columns method, region, stage, age (years, as told), n, value, low, high (SUVR), simulated.
    """
    own = each_pair(series[series["region"].isin(regions)]).rename(columns={"told_age": "age"})
    keys = ["method", "region", "stage", "age"]
    found = own.groupby(keys, sort=False)["value"].agg(n="size", value="mean", sd="std").reset_index()
    half = stats.t.ppf(0.975, (found["n"] - 1).clip(lower=1)) * found["sd"] / np.sqrt(found["n"])
    low, high = found["value"] - half, found["value"] + half
    return found.assign(low=low, high=high, simulated=is_simulated(series)).drop(columns="sd")


def roi_age(points: pd.DataFrame, told: pd.DataFrame | None = None) -> Figure:
    """Figure 7 of the paper: mean uptake of each region against age, a line and its 95 % band per stage.

    One row per region, one column per method (real PET first); a row shares its axis, so that slopes compare.

    Parameters
    ----------
    points
        Rows of `dualglow age`: method, region, group, age (years), value (SUVR), simulated.
    told
        As `curves` gives them: a column more, with the same people's MRIs at other ages.
    """
    table = points.assign(stage=points["group"].map(STAGES)).dropna(subset=["stage", "age", "value"])
    regions, methods = list(dict.fromkeys(table["region"])), in_order(table["method"])
    with paper_style():
        columns = len(methods) + (told is not None)
        figure = Figure(figsize=(2.6 * columns + 0.8, 2.1 * len(regions) + 0.9), layout="constrained")
        grid = figure.subplots(len(regions), columns, sharex=True, sharey="row", squeeze=False)
        if told is not None:
            for axes, region in zip(grid[:, -1], regions, strict=True):
                _told_panel(axes, told[told["region"] == region])
            grid[0, -1].set_title(f"{method_name(told['method'].iloc[0])}\n{TOLD}")
            grid[-1, -1].set_xlabel("Age told (years)")
        for (i, j), axes in np.ndenumerate(grid[:, : len(methods)]):
            chosen = table[(table["region"] == regions[i]) & (table["method"] == methods[j])]
            _panel(axes, chosen)
            if i == 0:
                axes.set_title(method_name(methods[j]))
            if i == len(regions) - 1:
                axes.set_xlabel("Age (years)")
            if j == 0:
                axes.set_ylabel(f"{regions[i].replace('_', ' ')}\nmean uptake (SUVR)")
        _legend(figure, table)
        title = titled("Regional FDG uptake against age, line and 95 % band", is_simulated(points))
        figure.suptitle(title, fontsize=10.5)
    return figure


def _panel(axes: Axes, points: pd.DataFrame) -> None:
    for stage, colour in STAGE_COLOURS.items():
        part = points[points["stage"] == stage]
        age, value = part["age"].to_numpy(float), part["value"].to_numpy(float)
        axes.scatter(age, value, s=13, marker=STAGE_MARKERS[stage], color=colour, alpha=0.6, linewidths=0)
        line = fit_line(age, value)
        if line is not None:
            x = np.linspace(age.min(), age.max(), 50)
            mean, low, high = line.at(x)
            axes.plot(x, mean, color=colour, linewidth=1.6)
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.yaxis.grid(True, color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)


def _told_panel(axes: Axes, told: pd.DataFrame) -> None:
    for stage, colour in STAGE_COLOURS.items():
        part = told[told["stage"] == stage].sort_values("age")
        age, value, low, high = (part[name].to_numpy(float) for name in ("age", "value", "low", "high"))
        axes.plot(age, value, color=colour, marker=STAGE_MARKERS[stage], markersize=4, linewidth=1.6)
        axes.fill_between(age, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.yaxis.grid(True, color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)


def _legend(figure: Figure, table: pd.DataFrame) -> None:
    groups = set(table["group"])
    members = {stage: [g for g, own in STAGES.items() if own == stage and g in groups] for stage in STAGE_COLOURS}
    present = [stage for stage in STAGE_COLOURS if (table["stage"] == stage).any()]
    handles = [
        Line2D([], [], color=STAGE_COLOURS[stage], marker=STAGE_MARKERS[stage], markersize=4.5, linewidth=1.6)
        for stage in present
    ]
    labels = [stage if members[stage] == [stage] else f"{stage} ({', '.join(members[stage])})" for stage in present]
    figure.legend(handles, labels, loc="outside lower center", ncols=len(present), frameon=False)
