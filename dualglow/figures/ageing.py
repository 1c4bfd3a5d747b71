"""Age done right: what a model makes of age against the slopes of real PETs and, if simulated, the true ones."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dualglow.errors import ConfigError
from dualglow.evaluation.ageing import NO_REGIONS, figure7_regions
from dualglow.figures.style import STAGE_COLOURS, STAGE_MARKERS, is_simulated, method_name, paper_style, titled
from dualglow.figures.tables import Table

NOBODY = "Nobody of CN, MCI or AD was held out."


@dataclass(frozen=True)
class _Panel:
    """Two columns of the table against each other; one with `_low` and `_high` beside it is drawn with its interval."""

    x: str
    y: str
    x_label: str
    y_label: str


def panels(slopes: pd.DataFrame) -> list[_Panel]:
    """What the figure compares; without a truth only the model with the real PETs."""
    model = f"{method_name(str(slopes['method'].iloc[0]))},\nsame MRI told another age"
    real = "Real PETs, between people"
    first = _Panel("real", "model", real, model)
    if not _has_truth(slopes):
        return [first]
    true = "Truth: age alone"
    return [
        first,
        _Panel("true_same_mri", "model", f"{true}, the MRI unchanged", model),
        _Panel("true_total", "real", f"{true}, MRI and PET", real),
    ]


def _has_truth(slopes: pd.DataFrame) -> bool:
    return {"true_total", "true_same_mri"} <= set(slopes)


def slopes_compared(slopes: pd.DataFrame) -> Figure:
    """Estimated against real and true slopes: a point per region and stage, 95 % intervals, the identity as a line.

    Parameters
    ----------
    slopes
        Rows of `dualglow age-slopes`, of one method.
    """
    chosen = panels(slopes)
    with paper_style():
        figure = Figure(figsize=(3.9 * len(chosen) + 0.3, 4.7), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(chosen), squeeze=False)[0], chosen, strict=True):
            _draw(axes, slopes.dropna(subset=[panel.x, panel.y]), panel)
        shown = [axes.get_legend_handles_labels() for axes in figure.axes]
        named = {label: handle for handles, labels in shown for handle, label in zip(handles, labels, strict=True)}
        labels = [name for name in (*STAGE_COLOURS, "identity") if name in named]
        figure.legend(
            [named[name] for name in labels], labels, loc="outside lower center", ncols=len(labels), frameon=False
        )
        title = "Change of regional uptake per decade of age: cross-sectional, not how a person ages"
        figure.suptitle(titled(title, is_simulated(slopes)), fontsize=10.5)
    return figure


def _draw(axes: Axes, points: pd.DataFrame, panel: _Panel) -> None:
    for stage, colour in STAGE_COLOURS.items():
        part = points[points["stage"] == stage]
        if part.empty:
            continue
        x, y = part[panel.x], part[panel.y]
        across, up = _interval(part, panel.x), _interval(part, panel.y)
        axes.errorbar(x, y, up, across, fmt="none", ecolor=colour, elinewidth=0.5, alpha=0.25, zorder=1)
        axes.plot(x, y, STAGE_MARKERS[stage], color=colour, markersize=3.5, alpha=0.7, mew=0, label=stage, zorder=2)
    ends = _range(points, panel)
    axes.plot(ends, ends, color="0.35", linewidth=0.9, linestyle="--", zorder=0, label="identity")
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.locator_params(nbins=5)
    axes.axhline(0, color="0.88", linewidth=0.7, zorder=0)
    axes.axvline(0, color="0.88", linewidth=0.7, zorder=0)
    axes.set_xlabel(f"{panel.x_label}\n(SUVR per decade)")
    axes.set_ylabel(f"{panel.y_label}\n(SUVR per decade)")
    axes.set_title(agreement(points[panel.x], points[panel.y]), fontsize=8.5)


def agreement(x: pd.Series, y: pd.Series) -> str:
    """Pearson's correlation over regions and stages, and the mean difference y − x."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return f"n = {len(x)}"
    return f"r = {np.corrcoef(x, y)[0, 1]:.2f}, mean of vertical − horizontal {float((y - x).mean()):+.3f}"


def _interval(part: pd.DataFrame, column: str) -> np.ndarray | None:
    """Distances (2, points) to the ends of the interval."""
    if f"{column}_low" not in part:
        return None
    value = part[column].to_numpy(float)
    ends = value - part[f"{column}_low"].to_numpy(float), part[f"{column}_high"].to_numpy(float) - value
    return np.nan_to_num(np.clip(np.stack(ends), 0, None))


def _range(points: pd.DataFrame, panel: _Panel) -> tuple[float, float]:
    """Where the points are, with 0, the same on both axes; intervals may go on beyond."""
    values = np.append(points[[panel.x, panel.y]].to_numpy(float).ravel(), 0.0)
    margin = 0.05 * float(np.ptp(values)) + 1e-3
    return float(values.min()) - margin, float(values.max()) + margin


def slopes_table(slopes: pd.DataFrame, own: list[str] | None = None) -> Table:
    """All slopes of one method as numbers; in print those of the regions of figure 7, or of one's `own`.

    A side of a region (`_L`, `_R`) stands for the whole, for which alone there are slopes.

    Raises
    ------
    ConfigError
        If one of one's own regions is not among those that there are slopes of.
    """
    own = [name.removesuffix("_L").removesuffix("_R") for name in own or []]
    absent = sorted(set(own) - set(slopes["region"])) if len(slopes) else []
    if absent:
        raise ConfigError(f"--regions {absent[0]}: --slopes has no such region. Name it as the atlas does.")
    regions = own or figure7_regions(list(dict.fromkeys(slopes["region"])))
    order = {name: i for i, name in enumerate((*regions, *STAGE_COLOURS))}
    shown = slopes[slopes["region"].isin(regions)]
    shown = shown.sort_values(["region", "stage"], key=lambda column: column.map(order), kind="stable")
    cells = pd.DataFrame(
        {
            "Region": shown["region"].str.replace("_", " "),
            "Stage": shown["stage"],
            "n": shown["n"].astype(str),
            "Model, same MRI": [_printed(row, "model") for _, row in shown.iterrows()],
            "n, real": shown["n_real"].astype(str),
            "Real, between people": [_printed(row, "real") for _, row in shown.iterrows()],
        }
    )
    if _has_truth(slopes):
        cells["Truth, same MRI"] = [f"{value:.3f}" for value in shown["true_same_mri"]]
        cells["Truth, all"] = [f"{value:.3f}" for value in shown["true_total"]]
    caption = _caption(slopes, regions)
    return Table(slopes.drop(columns="simulated"), cells, caption, "tab:ageing", is_simulated(slopes))


def _caption(slopes: pd.DataFrame, regions: list[str]) -> str:
    if slopes.empty:
        return f"Change of mean regional uptake per decade of age (SUVR). {NOBODY}"
    caption = (
        "Change of mean regional uptake per decade of age (SUVR) with 95 % intervals: what "
        f"{method_name(str(slopes['method'].iloc[0]))} makes of the same n held-out MRIs when it is told another age, "
        "and the slope over the real PETs of those people whose age is known. Both are cross-sectional: neither is how "
        "a person ages."
    )
    if _has_truth(slopes):
        caption += (
            " Truth: what age alone does in the simulation, with the MRI as it is and with the cortex that thins."
        )
    return " ".join([caption, *([] if regions else [NO_REGIONS]), "The .tsv has all regions."])


def _printed(row: pd.Series, column: str) -> str:
    if pd.isna(row[column]):
        return "n/a"
    if pd.isna(row[f"{column}_low"]):
        return f"{row[column]:.3f}"
    return f"{row[column]:.3f} ({row[f'{column}_low']:.3f} to {row[f'{column}_high']:.3f})"
