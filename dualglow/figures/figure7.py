"""Figure 7: regional uptake against age, real and synthetic PET side by side."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from dualglow.evaluation.ageing import NO_REGIONS, STAGES, each_pair, fit_line
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
KEYS = ["method", "region", "stage"]
AT = 50  # ages that a line and its band are drawn at


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
    found = own.groupby([*KEYS, "age"], sort=False)["value"].agg(n="size", value="mean", sd="std").reset_index()
    half = stats.t.ppf(0.975, (found["n"] - 1).clip(lower=1)) * found["sd"] / np.sqrt(found["n"])
    low, high = found["value"] - half, found["value"] + half
    return found.assign(low=low, high=high, simulated=is_simulated(series)).drop(columns="sd")


def drawn(points: pd.DataFrame, told: pd.DataFrame | None = None) -> pd.DataFrame:
    """The numbers in the figure: the people who have a place in it, and the lines with their 95 % bands.

    Parameters
    ----------
    points
        Rows of `dualglow age`: method, region, group, age (years), value (SUVR), simulated.
    told
        As `curves` gives them.

    Returns
    -------
    The columns of `points`, then kind, stage, n, low, high. A row of kind `person` is one of them; `line` the fit of a
    stage at an age, with its band low..high and the n people behind it; `told` what a model made of n people's MRIs at
    an age that it was told. No rows if there is no person to draw.
    """
    people = points.assign(kind="person", stage=points["group"].map(STAGES)).dropna(subset=["stage", "age", "value"])
    lines = [_line(part) for _, part in people.groupby(KEYS, sort=False)]
    curve = told.assign(kind="told") if told is not None and len(told) and len(people) else None
    found = pd.concat([people, *lines, curve], ignore_index=True)  # leaves None out
    found = found.reindex(columns=list(dict.fromkeys([*people, "n", "low", "high"])))
    return found.astype({"n": "Int64"})


def _line(people: pd.DataFrame) -> pd.DataFrame | None:
    """The fit over the ages of these people of one method, region and stage; None where they are too few."""
    age = people["age"].to_numpy(float)
    line = fit_line(age, people["value"].to_numpy(float))
    if line is None:
        return None
    ages = np.linspace(age.min(), age.max(), AT)
    value, low, high = line.at(ages)
    facts = {name: people[name].iloc[0] for name in KEYS} | {"simulated": is_simulated(people)}
    return pd.DataFrame({"kind": "line", "age": ages, "n": line.n, "value": value, "low": low, "high": high, **facts})


def why_empty(points: pd.DataFrame) -> str:
    """Why there is nothing to draw of these rows of `dualglow age`."""
    if points.empty:
        return NO_REGIONS
    if not points["group"].isin(STAGES).any():
        return "Nobody of CN, MCI or AD was measured."
    if points["age"].isna().all():
        return "Nobody's age is known."
    return "Nobody of CN, MCI or AD has both a known age and an uptake in these regions."


def roi_age(numbers: pd.DataFrame) -> Figure:
    """Figure 7 of the paper: mean uptake of each region against age, a line and its 95 % band per stage.

    One row per region, one column per method (real PET first); a row shares its axis, so that slopes compare. A column
    more, if a model was told other ages.

    Parameters
    ----------
    numbers
        As `drawn` gives them; somebody must be among them.
    """
    people, told = numbers[numbers["kind"] == "person"], numbers[numbers["kind"] == "told"]
    regions, methods = list(dict.fromkeys(people["region"])), in_order(people["method"])
    with paper_style():
        columns = len(methods) + (len(told) > 0)
        figure = Figure(figsize=(2.6 * columns + 0.8, 2.1 * len(regions) + 0.9), layout="constrained")
        grid = figure.subplots(len(regions), columns, sharex=True, sharey="row", squeeze=False)
        if len(told):
            for axes, region in zip(grid[:, -1], regions, strict=True):
                _panel(axes, told[told["region"] == region])
            grid[0, -1].set_title(f"{method_name(told['method'].iloc[0])}\n{TOLD}")
            grid[-1, -1].set_xlabel("Age told (years)")
        own = numbers[numbers["kind"] != "told"]
        for (i, j), axes in np.ndenumerate(grid[:, : len(methods)]):
            _panel(axes, own[(own["region"] == regions[i]) & (own["method"] == methods[j])])
            if i == 0:
                axes.set_title(method_name(methods[j]))
            if i == len(regions) - 1:
                axes.set_xlabel("Age (years)")
            if j == 0:
                axes.set_ylabel(f"{regions[i].replace('_', ' ')}\nmean uptake (SUVR)")
        _legend(figure, people)
        title = titled("Regional FDG uptake against age, line and 95 % band", is_simulated(people))
        figure.suptitle(title, fontsize=10.5)
    return figure


def _panel(axes: Axes, numbers: pd.DataFrame) -> None:
    for stage, colour in STAGE_COLOURS.items():
        own = numbers[numbers["stage"] == stage]
        people, line = own[own["kind"] == "person"], own[own["kind"] != "person"].sort_values("age")
        marker = STAGE_MARKERS[stage]
        axes.scatter(people["age"], people["value"], s=13, marker=marker, color=colour, alpha=0.6, linewidths=0)
        if line.empty:
            continue
        told = line["kind"].eq("told").all()
        age, value, low, high = (line[name].to_numpy(float) for name in ("age", "value", "low", "high"))
        axes.plot(age, value, color=colour, linewidth=1.6, marker=marker if told else "", markersize=4)
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
