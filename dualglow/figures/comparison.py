"""Paired tests between methods: a table for print, and a forest plot of how far the reference is ahead."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dualglow.figures.style import BLUE, is_simulated, method_name, paper_style, titled
from dualglow.figures.tables import Table

NAMES = {
    "cor": "CorCoef",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "msssim": "MS-SSIM",
    "mae": "MAE (SUVR)",
    "nmse": "NMSE",
    "nmi": "NMI",
    "bias": "|bias| (SUVR)",
}
PRINTED = ("cor", "psnr", "ssim", "mae")
DRAWN = ("cor", "psnr", "ssim", "msssim", "mae", "nmse")
ALPHA = 0.05
COLUMNS = ["metric", "region", "reference", "method", "difference", "low", "high", "p_holm", "better", "simulated"]


def comparison_table(tests: pd.DataFrame, simulated: bool) -> Table:
    """The table for print: the metrics of table 1 in the brain mask; the numbers have all.

    Parameters
    ----------
    tests
        Rows as `compare` gives them; none if there is only one method, and the caption says so.
    """
    shown = tests[tests["metric"].isin(PRINTED) & (tests["region"] == "mask")]
    cells = pd.DataFrame(
        {
            "Metric (brain)": shown["metric"].map(NAMES),
            "Against": shown["method"].map(method_name),
            "Difference (95% CI)": [_interval(row) for _, row in shown.iterrows()],
            "p": [p_value(value) for value in shown["p"]],
            "p, Holm": [p_value(value) for value in shown["p_holm"]],
            "p, Wilcoxon": [p_value(value) for value in shown["p_wilcoxon"]],
            "p, Wilcoxon, Holm": [p_value(value) for value in shown["p_wilcoxon_holm"]],
        }
    )
    return Table(tests, cells, _caption(tests), "tab:comparison", simulated)


def _caption(tests: pd.DataFrame) -> str:
    if tests.empty:
        return "There is only one method: nothing to compare it with."
    folds = int(tests["folds"].max())
    over_folds = (
        f"Difference, interval and p: corrected resampled t-test (Nadeau & Bengio 2003) over {folds} folds"
        if folds > 1
        else "There is only one fold, which allows no interval and no p over folds"
    )
    return (
        f"{method_name(tests['reference'].iloc[0])} minus each other method on the same held-out pairs. {over_folds}; "
        "Wilcoxon: signed ranks over people, which takes the trained models as given. Holm: adjusted over the methods "
        "of one metric."
    )


def p_value(value: float) -> str:
    """A p-value for print."""
    if pd.isna(value):
        return "n/a"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _interval(row: pd.Series) -> str:
    digits = 2 if row["metric"] == "psnr" else 4
    if pd.isna(row["difference"]):
        return "n/a"
    middle = f"{row['difference']:+.{digits}f}"
    return middle if pd.isna(row["low"]) else f"{middle} ({row['low']:+.{digits}f} to {row['high']:+.{digits}f})"


def forest(tests: pd.DataFrame) -> Figure:
    """How far the reference is ahead of each method, a panel per metric (brain mask), with 95 % intervals.

    To the right the reference is better, whatever the metric. Filled: p < 0.05 after Holm. With one fold there are no
    intervals.
    """
    table = drawn(tests)
    folds = int(table["folds"].max())
    certainty = (
        f"95 % intervals of the corrected resampled t-test over {folds} folds; filled: p < 0.05 (Holm)"
        if folds > 1
        else "one fold allows neither an interval nor a test"
    )
    methods = list(dict.fromkeys(table["method"]))
    reference = method_name(table["reference"].iloc[0])
    with paper_style():
        figure = Figure(figsize=(9.5, 1.7 + 2 * (0.7 + 0.27 * len(methods))), layout="constrained")
        for axes, metric in zip(figure.subplots(2, 3, sharey=True).flat, DRAWN, strict=True):
            _panel(axes, table[table["metric"] == metric].set_index("method").reindex(methods), metric)
        first = figure.axes[0]
        first.set_yticks(range(len(methods)), [method_name(method) for method in methods])
        first.set_ylim(len(methods) - 0.4, -0.6)
        figure.suptitle(titled(f"How far {reference} is ahead of each method", is_simulated(tests)), fontsize=10.5)
        figure.supxlabel(f"right of the line: {reference} better; {certainty}", fontsize=8.5)
    return figure


def drawn(tests: pd.DataFrame) -> pd.DataFrame:
    """The rows of the figure, with `ahead`, `ahead_low` and `ahead_high`: the difference with more being better."""
    table = tests[tests["metric"].isin(DRAWN) & (tests["region"] == "mask")].copy()
    ends = table[["low", "high"]].mul(table["better"], axis=0)
    table["ahead"] = table["difference"] * table["better"]
    table["ahead_low"], table["ahead_high"] = ends.min(axis=1), ends.max(axis=1)
    return table


def _panel(axes: Axes, rows: pd.DataFrame, metric: str) -> None:
    axes.axvline(0, color="0.5", linewidth=0.8)
    for y, (_, row) in enumerate(rows.iterrows()):
        certain = row["p_holm"] < ALPHA
        axes.plot([row["ahead_low"], row["ahead_high"]], [y, y], color=BLUE, linewidth=1.4)
        axes.plot(row["ahead"], y, "o", color=BLUE, markersize=5.5, markerfacecolor=BLUE if certain else "white")
    reach = np.nanmax(np.abs(rows[["ahead", "ahead_low", "ahead_high"]].to_numpy(float)), initial=0)
    if reach > 0:
        axes.set_xlim(-1.08 * reach, 1.08 * reach)
    axes.locator_params(axis="x", nbins=4)
    axes.set_title(NAMES[metric])
    axes.xaxis.grid(True, color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
