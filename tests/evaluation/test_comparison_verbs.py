"""`compare`, its figure and `gain` as a person gives them: planted numbers in, known numbers out, or one line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dualglow.cohort.splits import split_hash
from tests.conftest import Dualglow

AHEAD = (0.1, 0.2, 0.3, 0.4)
"""SUVR by which `cgan` is worse than `dualglow` in each of four folds."""


@pytest.fixture
def metrics(results: Path) -> list[Path]:
    """Tables of two methods and four folds, with `cgan` worse by AHEAD in every pair of a fold."""
    folds = pd.read_csv(results / "folds.tsv", sep="\t")
    found = []
    for fold, ahead in enumerate(AHEAD):
        test = folds[(folds["fold"] == fold) & (folds["part"] == "test")]
        for method, more in (("dualglow", 0.0), ("cgan", ahead)):
            error = 1 + 0.01 * np.arange(len(test)) + more
            columns = {"method": method, "fold": fold, "mae_mask": error, "psnr_mask": 30 - error}
            facts = {"split_hash": split_hash(folds, fold), "simulated": True}
            found.append(results / "metrics" / method / f"fold-{fold}.tsv")
            found[-1].parent.mkdir(parents=True, exist_ok=True)
            test[["pair_id", "subject"]].assign(**columns, **facts).to_csv(found[-1], sep="\t", index=False)
    return found


def words(results: Path, metrics: list[Path]) -> list[object]:
    where = ["--dataset", results / "dataset", "--folds", results / "folds.tsv"]
    return ["compare", "--metrics", *metrics, *where, "--out", results / "tables" / "comparison.tsv"]


def test_compare_gives_the_planted_difference_and_the_test_worked_out_by_hand(
    results: Path, metrics: list[Path], dualglow: Dualglow
) -> None:
    """Mean -0.25; variance of the folds 1/60, test to train 12/36: t = 0.25 / sqrt((1/4 + 1/3) / 60) = 2.535."""
    assert dualglow(*words(results, metrics)) == ""
    table = pd.read_csv(results / "tables" / "comparison.tsv", sep="\t").set_index("metric")
    row = table.loc["mae"]
    assert (row["reference"], row["method"], row["n_pairs"], row["folds"]) == ("dualglow", "cgan", 48, 4)
    assert row["difference"] == pytest.approx(-0.25)
    assert row["t"] == pytest.approx(-2.5355, abs=1e-4)
    angle = np.arctan(0.25 / np.sqrt((1 / 4 + 1 / 3) / 60 * 3))  # Student's t with 3 degrees of freedom, closed form
    assert row["p"] == pytest.approx(1 - 2 / np.pi * (angle + np.sin(angle) * np.cos(angle)))
    assert table.loc["psnr", "difference"] == pytest.approx(0.25)
    assert "simulated cohort" in (results / "tables" / "comparison.tex").read_text()
    figure = results / "figures" / "comparison"
    assert (
        dualglow("figure", "comparison", "--comparison", results / "tables" / "comparison.tsv", "--out", figure) == ""
    )
    assert pd.read_csv(f"{figure}.tsv", sep="\t")["ahead"].to_numpy() == pytest.approx([0.25, 0.25])


def test_one_fold_is_compared_without_a_test(results: Path, metrics: list[Path], dualglow: Dualglow) -> None:
    assert dualglow(*words(results, metrics[:2])) == ""
    out, figure = results / "tables" / "comparison.tsv", results / "figures" / "comparison"
    row = pd.read_csv(out, sep="\t").set_index("metric").loc["mae"]
    assert row["difference"] == pytest.approx(-0.1)
    assert row[["low", "high", "t", "df", "p", "p_holm"]].isna().all()
    page = out.with_suffix(".html").read_text()
    assert "There is only one fold, which allows no interval and no p over folds" in page
    assert "n/a" in page
    assert dualglow("figure", "comparison", "--comparison", out, "--out", figure) == ""
    assert pd.read_csv(f"{figure}.tsv", sep="\t")["ahead"].to_numpy() == pytest.approx([0.1, 0.1])


def test_one_method_alone_is_said_to_be_alone_and_simulated(
    results: Path, metrics: list[Path], dualglow: Dualglow
) -> None:
    assert dualglow(*words(results, metrics[::2])) == ""
    page = (results / "tables" / "comparison.html").read_text()
    assert "There is only one method: nothing to compare it with. This is a simulated cohort: no real people." in page


def test_tables_without_a_row_are_one_line(results: Path, metrics: list[Path], dualglow: Dualglow) -> None:
    for path in metrics:
        no_rows(path)
    line = dualglow(*words(results, metrics))
    said = (
        "has no rows, nor has any other table that was given. Give the tables of folds in which somebody was held out."
    )
    assert line == f"dualglow compare: {metrics[0]}: {said}\n"


def no_rows(path: Path) -> None:
    pd.read_csv(path, sep="\t").iloc[:0].to_csv(path, sep="\t", index=False)


def missing_column(path: Path) -> None:
    pd.read_csv(path, sep="\t").drop(columns="subject").to_csv(path, sep="\t", index=False)


def other_split(path: Path) -> None:
    pd.read_csv(path, sep="\t").assign(split_hash="0123456789ab").to_csv(path, sep="\t", index=False)


def one_pair_less(path: Path) -> None:
    pd.read_csv(path, sep="\t").iloc[1:].to_csv(path, sep="\t", index=False)


def no_table(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (missing_column, "lacks the column(s) subject"),
        (other_split, "of cgan, fold 3, are of another split (0123456789ab)"),
        (one_pair_less, "scored on different pairs (dualglow 48, cgan 47)"),
        (no_table, "is not a tab-separated table"),
        (Path.unlink, "no such table"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_writes_nothing(
    spoil: Callable[[Path], None], said: str, results: Path, metrics: list[Path], dualglow: Dualglow
) -> None:
    spoil(metrics[-1])
    line = dualglow(*words(results, metrics))
    assert line.startswith("dualglow compare: ")
    assert said in line
    assert line.count("\n") == 1
    assert not (results / "tables").exists()


def test_a_reference_that_was_not_measured_is_one_line(results: Path, metrics: list[Path], dualglow: Dualglow) -> None:
    line = dualglow(*words(results, metrics), "--reference", "pix2pix")
    assert line == "dualglow compare: --reference pix2pix: not in the metrics: cgan, dualglow.\n"


@pytest.fixture
def classified(tmp_path: Path) -> Path:
    """Sixteen people: T1 alone is wrong for eight, T1 and PET for nobody."""
    truth = np.arange(16) % 2
    rows = [
        {"task": "AD vs CN", "method": method, "fold": 0, "pair_id": f"p{i}", "subject": f"s{i}", "truth": truth[i]}
        | {"predicted": truth[i] if method != "mri" or i >= 8 else 1 - truth[i], "score": float(truth[i])}
        for method in ("mri", "mri+real")
        for i in range(16)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "classification_predictions.tsv", sep="\t", index=False)
    table = pd.DataFrame({"task": ["AD vs CN"], "method": ["mri"], "reason": [None], "atlas": ["aal2"]})
    table.assign(simulated=True).to_csv(tmp_path / "classification.tsv", sep="\t", index=False, na_rep="n/a")
    return tmp_path / "classification.tsv"


def test_gain_counts_who_was_won_and_tests_it_exactly(classified: Path, dualglow: Dualglow) -> None:
    """Eight won, none lost: twice 1/2 to the eighth."""
    out = classified.with_name("gain.tsv")
    assert dualglow("gain", "--classification", classified, "--out", out) == ""
    row = pd.read_csv(out, sep="\t").iloc[0]
    assert (row["base"], row["added"], row["n"]) == ("mri", "real", 16)
    assert (row["only_base_right"], row["only_joined_right"]) == (0, 8)
    assert row["p_mcnemar"] == pytest.approx(2 * 0.5**8)
    assert (row["accuracy_base"], row["accuracy"], row["auc_gain"]) == (0.5, 1, 0)


@pytest.mark.parametrize("name", ["classification.tsv", "classification_predictions.tsv"])
def test_gain_without_one_of_its_tables_is_one_line(name: str, classified: Path, dualglow: Dualglow) -> None:
    classified.with_name(name).unlink()
    out = classified.with_name("gain.tsv")
    line = dualglow("gain", "--classification", classified, "--out", out)
    assert line == f"dualglow gain: {classified.with_name(name)}: no such table.\n"
    assert not out.exists()


def test_gain_on_other_pairs_is_one_line(classified: Path, dualglow: Dualglow) -> None:
    path = classified.with_name("classification_predictions.tsv")
    pd.read_csv(path, sep="\t").iloc[1:].to_csv(path, sep="\t", index=False)
    out = classified.with_name("gain.tsv")
    line = dualglow("gain", "--classification", classified, "--out", out)
    assert line.startswith("dualglow gain: mri+real was classified on 16 pairs, mri on 15 ")
    assert line.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("verb", ["effects", "agreement", "reference-regions"])
def test_a_missing_synthesis_is_one_line_and_writes_nothing(verb: str, results: Path, dualglow: Dualglow) -> None:
    next((results / "synthesis" / "copy" / "fold-2").glob("*.nii.gz")).unlink()
    where = ["--dataset", results / "dataset", "--folds", results / "folds.tsv", "--synthesis", results / "synthesis"]
    more = ["--maps", results / "maps"] if verb == "effects" else []
    out = results / "tables" / f"{verb}.tsv"
    line = dualglow(verb, *where, "--methods", "copy", "--methods", "mean", "--atlas", "aal2", *more, "--out", out)
    assert line.startswith(f"dualglow {verb}: ")
    assert "lacks the synthetic PET of 1 (" in line
    assert line.count("\n") == 1
    assert not (results / "maps").exists()
    assert not out.parent.exists()


def test_effects_with_an_atlas_that_is_not_there_writes_no_maps(results: Path, dualglow: Dualglow) -> None:
    where = ["--dataset", results / "dataset", "--folds", results / "folds.tsv", "--synthesis", results / "synthesis"]
    more = ["--methods", "copy", "--maps", results / "maps", "--out", results / "effects.tsv"]
    line = dualglow("effects", *where, "--atlas", results / "nowhere.nii.gz", *more)
    assert "nowhere.nii.gz" in line
    assert line.count("\n") == 1
    assert not (results / "maps").exists()


@pytest.mark.parametrize("lost", ["group", "sex", "age"])
def test_what_the_cohort_does_not_know_of_people_stops_no_measurement(
    lost: str, results: Path, dualglow: Dualglow
) -> None:
    path = results / "dataset" / "pairs.tsv"
    pd.read_csv(path, sep="\t").drop(columns=lost).to_csv(path, sep="\t", index=False)
    data = ["--dataset", results / "dataset", "--folds", results / "folds.tsv"]
    many = [*data, "--synthesis", results / "synthesis", "--methods", "copy", "--atlas", "aal2"]
    one = [*data, "--synthesis", results / "synthesis" / "copy" / "fold-0", "--fold", 0, "--method", "copy"]
    assert dualglow("evaluate", *one, "--out", results / "fold-0.tsv") == ""
    assert pd.read_csv(results / "fold-0.tsv", sep="\t")[lost].isna().all()
    assert dualglow("classify", *many, "--out", results / "classification.tsv") == ""
    assert dualglow("effects", *many, "--maps", results / "maps", "--out", results / "effects.tsv") == ""
    assert dualglow("agreement", *many, "--out", results / "agreement.tsv") == ""
