"""Agreement of regional uptake: its table, and Bland-Altman plots."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dualglow.evaluation.ageing import STAGES
from dualglow.figures.style import (
    STAGE_COLOURS,
    STAGE_MARKERS,
    in_order,
    is_simulated,
    method_name,
    nothing_to_draw,
    paper_style,
    titled,
)
from dualglow.figures.tables import Table, atlas_name

OTHER = "0.5"
OTHER_MARKER = "x"  # no diagnosis, or none of the three
LACKING = "There is no AD meta-region: the atlas has not all of its regions, as AAL and AAL2 have."


def agreement_table(agreement: pd.DataFrame, atlas: str, simulated: bool) -> Table:
    """Bias, limits of agreement, ICC and concordance of the AD meta-region per method.

    Parameters
    ----------
    agreement
        Rows of `dualglow.evaluation.agreement.agreement`; none if the atlas has no such region: the caption says so.
    """
    cells = pd.DataFrame(
        {
            "Method": agreement["method"].map(method_name),
            "n": agreement["n"],
            "Bias (95% CI), SUVR": [
                _signed(row["bias"]) + (f" ({interval})" if (interval := _range(row, "bias")) != "n/a" else "")
                for _, row in agreement.iterrows()
            ],
            "Limits of agreement, SUVR": [_range(row, "loa") for _, row in agreement.iterrows()],
            **{
                name: [_number(value) for value in agreement[column]]
                for name, column in (("ICC(3,1)", "icc"), ("CCC", "ccc"), ("r", "r"))
            },
        }
    )
    caption = (
        "Mean uptake in the AD meta-region (angular and inferior and middle temporal gyri, posterior cingulate; from "
        f"{atlas_name(atlas)}), synthetic minus real PET over held-out pairs: bias, 95% limits of agreement (Bland & "
        "Altman), ICC(3,1) (consistency), Lin's concordance (CCC) and Pearson's r."
    )
    if agreement.empty:
        caption = f"{LACKING} The bias of every region of {atlas_name(atlas)} is in a table of its own."
    return Table(agreement, cells, caption, "tab:agreement", simulated)


def bland_altman(pairs: pd.DataFrame, agreement: pd.DataFrame) -> Figure:
    """Synthetic − real against their mean, a panel per method, with bias and limits of agreement (SUVR).

    Parameters
    ----------
    pairs
        One row per method and pair: method, group, real, synthetic, simulated.
    agreement
        The methods' bias, loa_low, loa_high and concordance; no rows if the atlas has no such region.
    """
    if agreement.empty:
        return nothing_to_draw(titled("Agreement in the AD meta-region", is_simulated(pairs)), LACKING)
    methods = in_order(pairs["method"])
    facts = agreement.set_index("method")
    columns = min(len(methods), 3)
    rows = -(-len(methods) // columns)
    pairs = drawn(pairs, agreement)
    with paper_style():
        figure = Figure(figsize=(3.2 * columns + 0.3, 2.6 * rows + 1.0), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, method in zip(grid.flat, methods, strict=False):
            own, row = pairs[pairs["method"] == method], facts.loc[[method]].iloc[0]
            axes.axhline(0, color="0.75", linewidth=0.8)
            axes.axhline(row["bias"], color="black", linewidth=1.3)
            for limit in (row["loa_low"], row["loa_high"]):
                axes.axhline(limit, color="black", linewidth=1.0, linestyle="--")
            for stage in [*STAGE_COLOURS, None]:
                part = own[own["stage"] == stage] if stage else own[own["stage"].isna()]
                colour, marker = STAGE_COLOURS.get(stage or "", OTHER), STAGE_MARKERS.get(stage or "", OTHER_MARKER)
                if len(part):
                    axes.scatter(part["mean"], part["difference"], s=16, color=colour, marker=marker, alpha=0.75)
            axes.set_title(f"{method_name(method)}\nbias {_signed(row['bias'])}, CCC {_number(row['ccc'])}")
        for axes in list(grid.flat)[len(methods) :]:
            axes.set_visible(False)
        reach = np.nanmax(pairs[["difference", "loa_low", "loa_high"]].abs().to_numpy(float), initial=0)
        if reach > 0:
            grid[0, 0].set_ylim(-1.15 * reach, 1.15 * reach)
        figure.supxlabel("Mean of real and synthetic uptake (SUVR)", fontsize=9)
        figure.supylabel("Synthetic − real (SUVR)", fontsize=9)
        title = titled("Agreement in the AD meta-region: solid, bias; dashed, 95 % limits", is_simulated(pairs))
        figure.suptitle(title, fontsize=10.5)
        _legend(figure, pairs["stage"])
    return figure


def drawn(pairs: pd.DataFrame, agreement: pd.DataFrame) -> pd.DataFrame:
    """The points of the figure with `mean`, `difference` and `stage`; the lines of their method: bias and limits."""
    return pairs.assign(
        mean=(pairs["real"] + pairs["synthetic"]) / 2,
        difference=pairs["synthetic"] - pairs["real"],
        stage=pairs["group"].map(STAGES),
    ).merge(agreement[["method", "bias", "loa_low", "loa_high"]], on="method", how="left")


def _legend(figure: Figure, stages: pd.Series) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker=STAGE_MARKERS[stage], color=colour, label=stage)
        for stage, colour in STAGE_COLOURS.items()
        if (stages == stage).any()
    ]
    if stages.isna().any():
        handles.append(Line2D([], [], linestyle="", marker=OTHER_MARKER, color=OTHER, label="unknown"))
    figure.legend(handles=handles, loc="outside right center", frameon=False, title="Diagnosis")


def _signed(value: float) -> str:
    return "n/a" if pd.isna(value) else f"{value:+.3f}"


def _range(row: pd.Series, name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "n/a" if pd.isna(low) else f"{low:+.3f} to {high:+.3f}"


def _number(value: float) -> str:
    return "n/a" if pd.isna(value) else f"{value:.2f}"
