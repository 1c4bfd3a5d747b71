"""Figures 5 and 9 to 12 as verbs: who is shown, and what a cohort gets in which nobody can be."""

from pathlib import Path

import matplotlib.image
import pandas as pd
import pytest

from tests.conftest import Dualglow

NUMBERS = (5, 9, 10, 11, 12)


@pytest.fixture
def metrics(results: Path) -> Path:
    """Errors of fold 0's held-out people, of two methods; CN, SMC and AD alone."""
    folds = pd.read_csv(results / "folds.tsv", sep="\t")
    test = folds[(folds["fold"] == 0) & (folds["part"] == "test")]
    pairs = pd.read_csv(results / "dataset" / "pairs.tsv", sep="\t")
    own = pairs[pairs["pair_id"].isin(test["pair_id"]) & pairs["group"].isin(["CN", "SMC", "AD"])]
    rows = [own.assign(method=method, fold=0, mae_mask=0.1, simulated=True) for method in ("copy", "mean")]
    pd.concat(rows).to_csv(results / "metrics.tsv", sep="\t", index=False)
    return results / "metrics.tsv"


def figure(number: int, results: Path) -> list[object]:
    where = ["--dataset", results / "dataset", "--synthesis", results / "synthesis", "--method", "copy"]
    return ["figure", number, *where, "--metrics", results / "metrics.tsv", "--out", results / "figures" / str(number)]


def drawn(number: int, results: Path) -> pd.DataFrame:
    return pd.read_csv(results / "figures" / f"{number}.tsv", sep="\t")


def is_empty(number: int, results: Path) -> bool:
    """A line of text is wider than high; the people's pictures are not so wide."""
    height, width = matplotlib.image.imread(results / "figures" / f"{number}.png").shape[:2]
    return width > 3 * height


def test_a_cohort_without_a_stage_still_has_its_figures(results: Path, metrics: Path, dualglow: Dualglow) -> None:
    for number in NUMBERS:
        assert dualglow(*figure(number, results)) == ""
    shown = {number: drawn(number, results) for number in NUMBERS}
    assert [len(shown[number]) for number in NUMBERS] == [2, 4, 0, 2, 4]
    assert [is_empty(number, results) for number in NUMBERS] == [False, False, True, False, False]
    assert shown[10].columns.tolist() == shown[9].columns.tolist()


def test_a_cohort_without_diagnoses_still_has_its_figures(results: Path, metrics: Path, dualglow: Dualglow) -> None:
    table = pd.read_csv(metrics, sep="\t").assign(group="n/a")
    table.to_csv(metrics, sep="\t", index=False)
    for number in NUMBERS:
        assert dualglow(*figure(number, results)) == ""
        assert drawn(number, results).empty
        assert is_empty(number, results)


@pytest.mark.parametrize("number", [5, 12])
def test_metrics_without_age_and_sex_are_one_line(
    number: int, results: Path, metrics: Path, dualglow: Dualglow
) -> None:
    pd.read_csv(metrics, sep="\t").drop(columns=["age", "sex"]).to_csv(metrics, sep="\t", index=False)
    line = dualglow(*figure(number, results))
    assert "metrics.tsv: lacks the column(s) sex, age" in line
    assert line.count("\n") == 1
    assert not (results / "figures").exists()
