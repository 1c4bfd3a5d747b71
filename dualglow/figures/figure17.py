"""Figure 17: what λ of eq. 12, the weight of p(MRI), does to the error and to the likelihood of held-out PETs."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dualglow.errors import InputError
from dualglow.figures.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, is_simulated, paper_style, titled

COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
MARKERS = "os^Dv*"
LINES = ("-", "--", ":", "-.")  # another one when the colours and markers begin again
COLUMNS = 5  # of the legend
MEASURES = (
    ("mae", "Mean absolute error (SUVR, brain mask)"),
    ("bits", "Bits per voxel of the real PET given its T1"),
)


def summarised(pairs: pd.DataFrame) -> pd.DataFrame:
    """Mean and sd over the held-out pairs of each fold and λ.

    Parameters
    ----------
    pairs
        One row per run and held-out pair: prior_weight, fold, pair_id, mae_mask (SUVR), bits (per voxel), simulated.

    Returns
    -------
    Columns prior_weight, fold, n, mae, mae_sd, bits, bits_sd, simulated.

    Raises
    ------
    InputError
        If a pair stands twice, or the values of λ were not tried on the same pairs of a fold.
    """
    keys = ["prior_weight", "fold"]
    if pairs.duplicated([*keys, "pair_id"]).any():
        raise InputError("--runs holds the same λ and fold twice: give each folder once.")
    for fold, own in pairs.groupby("fold"):
        held = {frozenset(part["pair_id"]) for _, part in own.groupby("prior_weight")}
        if len(held) > 1:
            raise InputError(f"--runs: the values of λ were tried on different pairs of fold {fold}; run all again.")
    found = pairs.groupby(keys)[["mae_mask", "bits"]].agg(["size", "mean", "std"])
    columns = {
        "n": found["bits"]["size"],
        "mae": found["mae_mask"]["mean"],
        "mae_sd": found["mae_mask"]["std"],
        "bits": found["bits"]["mean"],
        "bits_sd": found["bits"]["std"],
    }
    return pd.DataFrame(columns).reset_index().assign(simulated=is_simulated(pairs))


def against_prior_weight(numbers: pd.DataFrame) -> Figure:
    """Figure 17 of the paper: error and bits per voxel against λ, a line per fold: mean ± sd over held-out pairs.

    The values of λ stand at equal distances, 0 among them.

    Parameters
    ----------
    numbers
        As `summarised` gives them.
    """
    weights = sorted(numbers["prior_weight"].unique())
    rows = -(-numbers["fold"].nunique() // COLUMNS)
    with paper_style():
        figure = Figure(figsize=(8.6, 3.5 + 0.2 * rows), layout="constrained")
        for axes, (measure, label) in zip(figure.subplots(1, 2), MEASURES, strict=True):
            _panel(axes, numbers, weights, measure)
            axes.set_ylabel(label)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        ncols = min(len(labels), COLUMNS)
        figure.legend(handles, labels, loc="outside lower center", ncols=ncols, frameon=False, handlelength=3.5)
        title = "DUAL-GLOW with more or less weight on p(MRI), mean ± sd over held-out pairs"
        figure.suptitle(titled(title, is_simulated(numbers)), fontsize=10.5)
    return figure


def _panel(axes: Axes, numbers: pd.DataFrame, weights: list[float], measure: str) -> None:
    folds = sorted(numbers["fold"].unique())
    shifts = np.linspace(-0.12, 0.12, len(folds)) if len(folds) > 1 else [0.0]
    for i, (fold, shift) in enumerate(zip(folds, shifts, strict=True)):
        own = numbers[numbers["fold"] == fold].sort_values("prior_weight")
        at = np.array([weights.index(weight) for weight in own["prior_weight"]]) + shift
        axes.errorbar(
            at,
            own[measure],
            own[f"{measure}_sd"].fillna(0),
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            linestyle=LINES[i // len(COLOURS) % len(LINES)],
            markersize=4.5,
            linewidth=1.2,
            capsize=2,
            label=f"fold {fold}",
        )
    axes.set_xticks(range(len(weights)), [f"{weight:g}" for weight in weights])
    axes.set_xlabel("λ, weight of p(MRI) (eq. 12)")
    axes.yaxis.grid(True, color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
