"""Figure 7: regional uptake against age, real and synthetic PET side by side."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dualglow.evaluation.ageing import STAGES, fit_line
from dualglow.figures.style import (
    STAGE_COLOURS,
    STAGE_MARKERS,
    in_order,
    is_simulated,
    method_name,
    paper_style,
    titled,
)  # fmt: skip


def roi_age(points: pd.DataFrame) -> Figure:
    """Figure 7 of the paper: mean uptake of each region against age, a line and its 95 % band per stage.

    One row per region, one column per method (real PET first); a row shares its axis, so that slopes compare.

    Parameters
    ----------
    points
        Rows of `dualglow age`: method, region, group, age (years), value (SUVR), simulated.
    """
    table = points.assign(stage=points["group"].map(STAGES)).dropna(subset=["stage", "age", "value"])
    regions, methods = list(dict.fromkeys(table["region"])), in_order(table["method"])
    with paper_style():
        size = (2.6 * len(methods) + 0.8, 2.1 * len(regions) + 0.9)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(regions), len(methods), sharex=True, sharey="row", squeeze=False)
        for (i, j), axes in np.ndenumerate(grid):
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
