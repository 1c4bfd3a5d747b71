"""The report's first page: who, how, and what came out, before anyone opens a table."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from dualglow.evaluation.diagnosis_gain import BASES
from dualglow.figures.comparison import ALPHA, p_value
from dualglow.figures.methods import days_apart, groups_of
from dualglow.figures.pages import page
from dualglow.figures.style import method_name
from dualglow.figures.tables import atlas_name, first_of_each, plus_minus

PRINTED = {
    "MAE (SUVR)": ("mae_mask", 3),
    "CorCoef": ("cor_mask", 3),
    "PSNR (dB)": ("psnr_mask", 2),
    "SSIM": ("ssim_mask", 3),
}
IMAGES = ("real", "mri")


@dataclass(frozen=True)
class Findings:
    """What a finished results folder says: config.json, grid.json, pairs.tsv of the dataset and four tables."""

    config: dict[str, Any]
    grid: dict[str, Any]
    pairs: pd.DataFrame
    quality: pd.DataFrame
    diagnosis: pd.DataFrame
    tests: pd.DataFrame
    gain: pd.DataFrame


def overview_page(found: Findings) -> str:
    """The page as HTML; every number on it stands in table 1, in table 2, in its gain or in the comparison."""
    shown = found.config["figures"]["method"]
    return page(
        "overview",
        title="Overview",
        simulated=bool(found.grid["simulated"]),
        config=found.config,
        people=len(first_of_each(found.pairs)),
        n_pairs=len(found.pairs),
        groups=groups_of(found.pairs),
        days=days_apart(found.pairs, found.config["cohort"]["max_days"]),
        atlas=atlas_name(found.config["evaluation"]["atlas"]),
        left_out=sum(found.grid.get("left_out", {}).values()),
        methods=[method_name(name) for name in found.quality["method"]],
        folds=int(found.quality["folds"].max()),
        names=["Method", *PRINTED],
        rows=[[method_name(row["method"]), *_cells(row)] for _, row in found.quality.iterrows()],
        ranking=ranking(found.quality, shown),
        verdicts=verdicts(found.tests, shown),
        diagnoses=[diagnosed(part, str(task), shown) for task, part in found.diagnosis.groupby("task", sort=False)],
        gains=[gained(part, str(task), shown) for task, part in found.gain.groupby("task", sort=False)],
    )


def ranking(quality: pd.DataFrame, shown: str) -> str:
    """Where the method that the figures show stands by its mean error, and who is first."""
    ordered = quality.sort_values("mae_mask_mean", kind="stable").reset_index(drop=True)
    first = ordered.iloc[0]
    best = f"{method_name(first['method'])} has the smallest mean error ({first['mae_mask_mean']:.3f} SUVR)"
    place = ordered.index[ordered["method"] == shown]
    if len(place) == 0 or place[0] == 0:
        return f"{best}."
    own = ordered.loc[place[0]]
    return f"{best}; {method_name(shown)} is number {place[0] + 1} of {len(ordered)} ({own['mae_mask_mean']:.3f} SUVR)."


def verdicts(tests: pd.DataFrame, shown: str) -> list[str]:
    """Whom the shown method beats, who beats it and who cannot be told from it, by the mean error in the brain mask.

    A method without a p was not tested: with one fold nobody was.
    """
    rows = tests[(tests["metric"] == "mae") & (tests["region"] == "mask") & (tests["reference"] == shown)]
    certain, tested = rows["p_holm"] < ALPHA, rows["p_holm"].notna()
    kinds = {
        "is better than": certain & (rows["difference"] < 0),
        "is worse than": certain & (rows["difference"] > 0),
        "cannot be told from": tested & ~certain,
        "was not tested against": ~tested,
    }
    return [
        f"{method_name(shown)} {words} {', '.join(map(method_name, rows.loc[which, 'method']))}."
        for words, which in kinds.items()
        if which.any()
    ]


def diagnosed(part: pd.DataFrame, task: str, shown: str) -> str:
    """Accuracy of a task with real PET, T1 and the shown method's PET, or why there is none."""
    reason = part["reason"].dropna()
    if len(reason):
        return f"{task}: not done ({reason.iloc[0]})."
    rows = {str(row["method"]): row for _, row in part.iterrows()}
    wanted = [name for name in (*IMAGES, shown, "majority") if name in rows]
    return f"{task}: {'; '.join(_accuracy(name, rows[name]) for name in wanted)} (n = {part['n'].max():.0f})."


def gained(part: pd.DataFrame, task: str, shown: str) -> str:
    """What the shown method's PET adds to the T1, the real one beside it, and what is left of it beside age and sex."""
    rows = {(str(row["base"]), str(row["added"])): row for _, row in part.iterrows()}
    real, own, beside = rows[BASES[0], "real"], rows.get((BASES[0], shown)), rows.get((BASES[1], shown))
    start = f"{task}: from {_percent(real['accuracy_base'])}"
    if own is None or beside is None:
        return f"{start} {_raised(real)} with the real PET."
    name = method_name(shown)
    alone = f"{_raised(own)} with {name}'s PET, {_raised(real)} with the real one"
    known = f"from {_percent(beside['accuracy_base'])} {_raised(beside)} with {name}'s"
    return f"{start} {alone}; beside age and sex as well, {known}."


def _raised(row: pd.Series) -> str:
    p = p_value(row["p_holm"])
    return f"to {_percent(row['accuracy'])} (p {p if p.startswith('<') else f'= {p}'})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _accuracy(name: str, row: pd.Series) -> str:
    low, high = 100 * row["accuracy_low"], 100 * row["accuracy_high"]
    return f"{method_name(name)} {100 * row['accuracy']:.0f} % ({low:.0f}–{high:.0f})"


def _cells(row: pd.Series) -> list[str]:
    return [plus_minus(row[f"{name}_mean"], row[f"{name}_sd"], digits) for name, digits in PRINTED.values()]
