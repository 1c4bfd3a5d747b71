from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from dualglow.evaluation.classification import within_fold_auc
from dualglow.evaluation.diagnosis_gain import auc_gain, diagnosis_gain, mcnemar
from dualglow.figures.diagnosis_gain import gain_table
from dualglow.figures.tables import save_table
from dualglow.files import read_table

RNG = np.random.default_rng(0)


def predictions(scores: dict[str, np.ndarray], truth: np.ndarray, fold: np.ndarray) -> pd.DataFrame:
    people = [f"s{i}" for i in range(len(truth))]
    frame = {"task": "AD vs CN", "fold": fold, "pair_id": people, "subject": people, "truth": truth}
    return pd.concat(
        [pd.DataFrame(frame | {"method": m, "score": s, "predicted": (s > 0) * 1}) for m, s in scores.items()],
        ignore_index=True,
    )


def test_mcnemar_is_the_binomial_of_those_that_differ() -> None:
    """1 lost, 6 won: p = 2 (1 + 7) / 2^7."""
    first = np.array([1] * 5 + [1] + [0] * 6 + [0] * 3, bool)
    second = np.array([1] * 5 + [0] + [1] * 6 + [0] * 3, bool)
    assert mcnemar(first, second) == (1, 6, pytest.approx(2 * 8 / 128))
    assert mcnemar(first, first) == (0, 0, 1.0)


def test_aucs_are_scikit_learns_and_the_classifiers() -> None:
    truth, one_fold = RNG.integers(0, 2, 40), np.zeros(40, int)
    scores = RNG.normal(size=(2, 40)).round(1)  # with ties
    first, second = (predictions({"x": score}, truth, one_fold) for score in scores)
    before, after, low, high = auc_gain(first, second, 0, 500)
    assert (before, after) == pytest.approx([roc_auc_score(truth, score) for score in scores])
    assert low < after - before < high
    folds = np.arange(40) % 3
    first, second = (predictions({"x": score}, truth, folds) for score in scores)
    assert auc_gain(first, second, 0, 50)[:2] == pytest.approx([within_fold_auc(first), within_fold_auc(second)])


def test_the_interval_holds_no_gain_as_often_as_it_should() -> None:
    """Two equally informative scores; 200 samples of 60 people: 95 % hold 0, with a standard error of 1.5 %."""
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        truth = np.arange(60) % 2
        tables = [predictions({"x": truth + rng.normal(size=60)}, truth, np.zeros(60, int)) for _ in range(2)]
        _, _, low, high = auc_gain(tables[0], tables[1], seed, 200)
        held += low <= 0 <= high
    assert 0.9 <= held / 200 <= 0.99


def test_a_person_with_two_pairs_is_drawn_as_one() -> None:
    truth = np.arange(40) % 2
    scores = RNG.normal(size=(2, 40))
    single = [predictions({"x": score}, truth, np.zeros(40, int)) for score in scores]
    twice = [pd.concat([table, table]) for table in single]
    assert auc_gain(twice[0], twice[1], 0, 300) == pytest.approx(auc_gain(single[0], single[1], 0, 300))


def test_a_pet_that_knows_the_diagnosis_is_a_gain_and_one_that_knows_nothing_is_none() -> None:
    truth = np.arange(60) % 2
    noise, knowing = RNG.normal(size=60), truth * 4 - 2 + RNG.normal(size=60) * 0.3
    scores = {"majority": noise, "mri": noise, "mri+real": knowing, "mri+mean": noise}
    found = diagnosis_gain(predictions(scores, truth, np.arange(60) % 3), seed=0).set_index("added")
    assert found.index.tolist() == ["real", "mean"]
    assert found.loc["real", "accuracy"] == 1
    assert found.loc["real", "p_holm"] == pytest.approx(2 * found.loc["real", "p_mcnemar"])
    assert found.loc["real", "p_holm"] < 0.001
    assert found.loc["real", "auc_gain_low"] > 0.2
    assert found.loc["mean", ["gain", "auc_gain", "auc_gain_low", "auc_gain_high"]].tolist() == [0] * 4
    assert found.loc["mean", "p_mcnemar"] == 1


def test_a_pet_that_only_shows_age_is_no_gain_beside_the_age() -> None:
    """T1s say nothing; the PET says the age alone, which goes with the diagnosis."""
    truth = np.arange(60) % 2
    noise, age = RNG.normal(size=60), truth * 4 - 2 + RNG.normal(size=60) * 0.3
    scores = {"mri": noise, "mri+age-sex": age, "mri+linear": age, "mri+age-sex+linear": age}
    found = diagnosis_gain(predictions(scores, truth, np.arange(60) % 3), seed=0).set_index(["base", "added"])
    assert found.index.tolist() == [("mri", "age-sex"), ("mri", "linear"), ("mri+age-sex", "linear")]
    assert found.loc[("mri", "linear"), "p_holm"] < 0.001
    assert found.loc[("mri+age-sex", "linear"), "p_holm"] == 1
    printed = gain_table(
        found.reset_index(), pd.DataFrame({"atlas": ["aal"], "task": ["AD vs CN"], "reason": [None]}), True
    )
    control, linear = (row for _, row in printed.cells.iterrows())
    assert control["T1 and"] == "Age and sex"
    assert (control["p, both"], control["p, all"]) == ("<0.001", "")
    assert (linear["p, both"], linear["p, all"], linear["AUC gain, all (95% CI)"]) == (
        "<0.001", "1.000", "+0.00 (+0.00 to +0.00)",
    )  # fmt: skip


def test_a_gain_that_no_fold_can_show_is_not_a_number() -> None:
    """Each fold holds out one person: there is no couple to rank."""
    truth = np.arange(4) % 2
    table = predictions({"mri": RNG.normal(size=4), "mri+real": RNG.normal(size=4)}, truth, np.arange(4))
    printed = gain_table(
        diagnosis_gain(table, 0), pd.DataFrame({"atlas": ["aal"], "task": ["AD vs CN"], "reason": [None]}), True
    )
    assert printed.cells["AUC gain, both (95% CI)"].tolist() == ["n/a"]


def test_a_pair_of_several_folds_counts_once() -> None:
    truth = np.arange(20) % 2
    table = predictions({"mri": RNG.normal(size=20), "mri+real": RNG.normal(size=20)}, truth, np.zeros(20, int))
    again = diagnosis_gain(pd.concat([table, table.assign(fold=1)]), seed=0)
    pd.testing.assert_frame_equal(again, diagnosis_gain(table, seed=0))


def test_too_few_people_leave_an_empty_table_that_says_why(tmp_path: Path) -> None:
    """With six people no task can be done: the table is written all the same, for the report."""
    none = diagnosis_gain(predictions({"mri": RNG.normal(size=4)}, np.arange(4) % 2, np.zeros(4, int))[:0], 0)
    skipped = pd.DataFrame({"atlas": ["aal"], "task": ["AD vs CN"], "reason": ["2 people with AD"]})
    save_table(gain_table(none, skipped, True), tmp_path / "gain.tsv")
    assert read_table(tmp_path / "gain.tsv", ["task", "base", "added", "accuracy"]).empty
    written = (tmp_path / "gain.html").read_text()
    assert "AD vs CN: not done, 2 people with AD." in written
    assert "Accuracy, T1 to both" in written


def test_somebody_who_moved_to_another_site_is_one_person() -> None:
    """002_S_0001 and 031_S_0001 are one: the bootstrap draws them together, as the splits keep them together."""
    truth = np.array([0, 1] * 6)
    table = predictions({"mri": RNG.normal(size=12), "mri+real": RNG.normal(size=12)}, truth, np.zeros(12, int))
    sites = {f"s{i}": f"{('002', '031')[i % 2]}_S_{i // 2 + 1:04d}" for i in range(12)}
    merged = {f"s{i}": f"s{i // 2}" for i in range(12)}
    moved, known = (table.assign(subject=table["subject"].map(names)) for names in (sites, merged))
    assert diagnosis_gain(moved, 0)["n_people"].tolist() == [6]
    pd.testing.assert_frame_equal(diagnosis_gain(moved, 0), diagnosis_gain(known, 0))
