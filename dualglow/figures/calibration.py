"""Whether a model is as sure as it may be: a table, and reliability curves."""

import pandas as pd
from matplotlib.figure import Figure

from dualglow.evaluation.comparison import check_alike, check_same_pairs
from dualglow.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    in_order,
    is_simulated,
    method_name,
    paper_style,
    titled,
)
from dualglow.figures.tables import Table, atlas_name, mean_sd

COLUMNS = [
    "method",
    "fold",
    "pair_id",
    "target",
    "inside_50",
    "inside_90",
    "inside_95",
    "crps",
    "mae_median",
    "sd",
    "samples",
    "temperature",
    "atlas",
]
SHOWN = ("50", "90", "95")
TARGETS = {"voxels": "Voxels of the brain", "regions": "Means of regions"}
LINES = ("-", "--", ":", "-.")
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)


def calibration_table(calibration: pd.DataFrame) -> Table:
    """Coverage of the 50, 90 and 95 % intervals and CRPS per method, for voxels and for means of regions.

    Parameters
    ----------
    calibration
        Rows of `dualglow calibrate` for any number of methods and folds.

    Raises
    ------
    InputError
        If the rows cannot stand in one table: other samples, temperatures, atlases or pairs, or a pair twice.
    """
    _check(calibration)
    first = calibration.iloc[0]
    measured = [name for name in calibration if str(name).startswith("inside_")] + ["crps", "mae_median", "sd"]
    numbers, cells = [], []
    for target, target_name in TARGETS.items():
        for method in in_order(calibration["method"]):
            part = calibration[(calibration["method"] == method) & (calibration["target"] == target)]
            row: dict[str, object] = {"target": target, "method": method, "n": len(part)}
            for name in measured:
                row |= {f"{name}_mean": part[name].mean(), f"{name}_sd": part[name].std()}
            numbers.append(row | {"samples": first["samples"], "temperature": first["temperature"]})
            text = {"Of": target_name, "Method": method_name(method), "n": len(part)}
            text |= {f"In {level}%": mean_sd(100 * part[f"inside_{level}"], 0) for level in SHOWN}
            cells.append(text | {"CRPS (SUVR)": mean_sd(part["crps"], 4), "sd (SUVR)": mean_sd(part["sd"], 3)})
    caption = (
        "Share (%) of the real PET that lies in the central 50%, 90% and 95% intervals of "
        f"{first['samples']:.0f} samples of the model (temperature {first['temperature']:g}), continuous ranked "
        "probability score and mean standard deviation of the samples; mean ± sd over held-out pairs. Regions: of "
        f"{atlas_name(first['atlas'])}."
    )
    return Table(pd.DataFrame(numbers), pd.DataFrame(cells), caption, "tab:calibration", is_simulated(calibration))


def reliability(calibration: pd.DataFrame) -> Figure:
    """Share of the real PET inside each interval against its level, for voxels and for means of regions.

    On the diagonal the model is right about its uncertainty; below, it is too sure. Bars: quartiles over pairs. Takes
    and refuses what `calibration_table` does.
    """
    _check(calibration)
    table = drawn(calibration)
    with paper_style():
        figure = Figure(figsize=(8.6, 4.0), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (target, name) in zip(panels, TARGETS.items(), strict=True):
            axes.plot([0, 100], [0, 100], color="0.6", linewidth=1.0)
            for i, method in enumerate(in_order(table["method"])):
                own = table[(table["target"] == target) & (table["method"] == method)]
                style = {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i % len(LINES)]}
                axes.plot(own["level"], own["median"], linewidth=1.6, label=method_name(method), **style)
                axes.vlines(own["level"] + (i - 1) * 0.5, own["low"], own["high"], color=style["color"], alpha=0.5)
            axes.set_title(name)
            axes.set_xlim(0, 100)
            axes.set_ylim(0, 101)
            axes.set_aspect("equal")
            axes.grid(True, color="0.92", linewidth=0.6)
            axes.set_axisbelow(True)
        panels[0].set_ylabel("Real PET inside (%)")
        panels[1].text(50, 55, "calibrated", color="0.45", fontsize=8, rotation=45, ha="center", va="center")
        what = "Central interval of the model's samples (%); curve: median over pairs, bars: quartiles"
        figure.supxlabel(what, fontsize=9)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right center", frameon=False)
        first = calibration.iloc[0]
        title = f"Calibration of {first['samples']:.0f} samples at temperature {first['temperature']:g}"
        figure.suptitle(titled(title, is_simulated(calibration)), fontsize=10.5)
    return figure


def drawn(calibration: pd.DataFrame) -> pd.DataFrame:
    """The points of the figure: target, method, level (%), median, low and high quartile of the share inside (%)."""
    levels = [str(name) for name in calibration if str(name).startswith("inside_")]
    rows = []
    for target in TARGETS:
        for method in in_order(calibration["method"]):
            part = calibration[(calibration["method"] == method) & (calibration["target"] == target)]
            for name in levels:
                low, median, high = (100 * float(part[name].quantile(q)) for q in (0.25, 0.5, 0.75))
                row = {"target": target, "method": method, "level": int(name.removeprefix("inside_"))}
                rows.append(row | {"median": median, "low": low, "high": high})
    return pd.DataFrame(rows).assign(simulated=is_simulated(calibration))


def _check(calibration: pd.DataFrame) -> None:
    for column in ("samples", "temperature", "atlas"):
        check_alike(calibration, column, "the calibrations")
    for _, part in calibration.groupby("target"):
        check_same_pairs(part)
