import numpy as np
import pandas as pd
import pytest

from dualglow.evaluation.classification import (
    OWN,
    TASKS,
    beside,
    classify,
    cross_validate,
    feature_matrix,
    fold_features,
    infeasible,
    summarise,
    support_vector_machine,
    task_labels,
    within_fold_auc,
)

N, FOLDS = 60, 3


@pytest.fixture
def pairs() -> pd.DataFrame:
    ids = [f"p{i}" for i in range(N)]
    return pd.DataFrame(
        {
            "pair_id": ids,
            "subject": [f"s{i}" for i in range(N)],
            "group": ["CN", "AD"] * (N // 2),
        }
    )


@pytest.fixture
def tests(pairs: pd.DataFrame) -> dict[int, list[str]]:
    fold = np.random.default_rng(0).permutation(np.arange(N) % FOLDS)
    return {k: pairs["pair_id"][fold == k].tolist() for k in range(FOLDS)}


def features(values: np.ndarray) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([[OWN], [f"p{i}" for i in range(N)]], names=["fold", "pair_id"])
    return pd.DataFrame(values, index=index)


def labels_of(pairs: pd.DataFrame) -> pd.Series:
    return task_labels(TASKS[0], pairs, pairs["pair_id"].tolist())


def accuracy(values: np.ndarray, pairs: pd.DataFrame, tests: dict[int, list[str]]) -> float:
    return summarise(cross_validate(features(values), labels_of(pairs), pairs, tests, seed=0))["accuracy"]


def test_a_planted_difference_is_found(pairs: pd.DataFrame, tests: dict[int, list[str]]) -> None:
    values = np.random.default_rng(1).normal(size=(N, 20))
    values[1::2, 0] += 6
    assert accuracy(values, pairs, tests) > 0.9


def test_features_that_know_nothing_are_at_chance(pairs: pd.DataFrame, tests: dict[int, list[str]]) -> None:
    """Selection of C and gamma on the test folds would lift this well above one half."""
    rng = np.random.default_rng(2)
    mean = np.mean([accuracy(rng.normal(size=(N, 20)), pairs, tests) for _ in range(4)])
    assert mean == pytest.approx(0.5, abs=0.1)


def test_the_scaler_knows_only_what_it_learns_from(pairs: pd.DataFrame, tests: dict[int, list[str]]) -> None:
    values = np.random.default_rng(3).normal(size=(N, 4))
    matrix, labels, subjects = features(values), labels_of(pairs), pairs.set_index("pair_id")["subject"]
    train, test = fold_features(matrix, 0, tests[0], labels.index, subjects)
    y, people = labels.loc[train.index].to_numpy(), subjects.loc[train.index].to_numpy()
    fitted = support_vector_machine(y, people, seed=0).fit(train, y)
    learnt = fitted.best_estimator_.named_steps["standardscaler"].mean_
    assert learnt == pytest.approx(train.to_numpy().mean(axis=0))
    assert not set(train.index) & set(test.index)


def test_shifting_the_held_out_people_cannot_change_what_was_learnt(
    pairs: pd.DataFrame, tests: dict[int, list[str]]
) -> None:
    values = np.random.default_rng(4).normal(size=(N, 4))
    moved = values.copy()
    moved[[int(name[1:]) for name in tests[0]]] += 100
    labels, subjects = labels_of(pairs), pairs.set_index("pair_id")["subject"]
    a, b = (fold_features(features(v), 0, tests[0], labels.index, subjects)[0] for v in (values, moved))
    assert a.equals(b)


def test_a_subject_is_never_on_both_sides(pairs: pd.DataFrame, tests: dict[int, list[str]]) -> None:
    repeated = pairs.assign(subject=[f"s{i // 2}" for i in range(N)])
    labels, subjects = labels_of(repeated), repeated.set_index("pair_id")["subject"]
    for fold, test_ids in tests.items():
        train, _ = fold_features(features(np.zeros((N, 1))), fold, test_ids, labels.index, subjects)
        assert not set(subjects.loc[train.index]) & set(subjects.loc[test_ids])


def test_inner_folds_keep_people_whole() -> None:
    subjects = np.repeat([f"s{i}" for i in range(20)], 2)
    for train, test in support_vector_machine(np.arange(40) // 2 % 2, subjects, seed=0).cv:
        assert not set(subjects[train]) & set(subjects[test])


def test_synthetic_features_come_from_the_fold_that_held_them_out() -> None:
    index = pd.MultiIndex.from_tuples([(0, "a"), (1, "b"), (1, "a"), (0, "c")], names=["fold", "pair_id"])
    matrix = pd.DataFrame({"x": [10.0, 21.0, 11.0, 30.0]}, index=index)
    subjects = pd.Series({"a": "s1", "b": "s2", "c": "s3"})
    train, test = fold_features(matrix, 0, ["a", "c"], pd.Index(["a", "b", "c"]), subjects)
    assert test["x"].tolist() == [10.0, 30.0]
    assert train["x"].to_dict() == {"b": 21.0}


def test_rates_follow_both_readings() -> None:
    truth, predicted = [1] * 4 + [0] * 6, [1, 1, 1, 0] + [0] * 4 + [1] * 2
    got = summarise(pd.DataFrame({"fold": 0, "truth": truth, "predicted": predicted, "score": predicted}))
    assert (got["fnr_share"], got["fpr_share"], got["fnr"]) == pytest.approx((0.1, 0.2, 0.25))
    assert got["fpr"] == pytest.approx(1 / 3)
    assert got["accuracy"] + got["fnr_share"] + got["fpr_share"] == pytest.approx(1)
    assert got["accuracy_low"] < 0.7 < got["accuracy_high"]


def test_auc_does_not_compare_scores_of_different_folds() -> None:
    right = pd.DataFrame({"fold": [0, 0, 1, 1], "truth": [0, 1, 0, 1], "score": [0.0, 1.0, 10.0, 11.0]})
    assert within_fold_auc(right) == 1.0
    constant = pd.DataFrame({"fold": [0, 0, 1], "truth": [0, 1, 1], "score": [2.0, 2.0, -9.0]})
    assert within_fold_auc(constant) == 0.5


def test_too_few_people_give_a_reason_and_no_numbers(pairs: pd.DataFrame, tests: dict[int, list[str]]) -> None:
    few = pairs.assign(group=["AD"] * 4 + ["CN"] * (N - 4))
    assert "nested cross-validation needs 4" in str(infeasible(labels_of(few), few, tests))
    folds = pd.DataFrame([(k, p, "test") for k, ids in tests.items() for p in ids], columns=["fold", "pair_id", "part"])
    table, predictions = classify({"real": features(np.zeros((N, 2)))}, few, folds, list(tests), seed=0)
    assert predictions.empty
    assert table["accuracy"].isna().all()
    assert table["reason"].notna().all()
    assert table["method"].tolist() == ["majority", "real"] * 2


def test_the_same_seed_gives_the_same_table(pairs: pd.DataFrame, tests: dict[int, list[str]]) -> None:
    values = np.random.default_rng(5).normal(size=(N, 5))
    runs = [cross_validate(features(values), labels_of(pairs), pairs, tests, seed=3) for _ in range(2)]
    assert runs[0].equals(runs[1])


def test_regions_without_voxels_anywhere_are_no_features() -> None:
    tidy = pd.DataFrame(
        {
            "pair_id": ["a", "a", "b", "b"],
            "fold": pd.array([pd.NA] * 4, "Int64"),
            "region": ["A", "B"] * 2,
            "value": [1.0, np.nan, 2.0, np.nan],
        }
    )
    assert feature_matrix(tidy).columns.tolist() == ["A"]


def permuted(pairs: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The diagnoses dealt anew to the people."""
    return pairs.assign(group=rng.permutation(pairs["group"]))


@pytest.mark.parametrize("n_ad", [N // 2, N // 4])
def test_permuted_labels_give_chance(n_ad: int, pairs: pd.DataFrame, tests: dict[int, list[str]]) -> None:
    """Features that tell the true labels apart, ten permutations: accuracy of the larger class, AUC of one half.

    The mean of ten has a standard error of 0.02 (accuracy) and 0.025 (AUC). Anything fitted on the people that are
    predicted - scaler, C and gamma, the machine - would lift both: the features separate any such sample.
    """
    pairs = pairs.assign(group=["AD"] * n_ad + ["CN"] * (N - n_ad))
    values, rng = np.random.default_rng(6).normal(size=(N, 100)), np.random.default_rng(7)
    values[:n_ad, :3] += 4
    assert accuracy(values, pairs, tests) > 0.9
    found = []
    for _ in range(10):
        dealt = permuted(pairs, rng)
        found.append(summarise(cross_validate(features(values), labels_of(dealt), dealt, tests, seed=0)))
    assert np.mean([own["accuracy"] for own in found]) == pytest.approx(1 - n_ad / N, abs=0.07)
    assert np.mean([own["auc"] for own in found]) == pytest.approx(0.5, abs=0.08)


def test_a_pet_beside_the_t1_keeps_its_folds() -> None:
    index = pd.MultiIndex.from_tuples([(0, "a"), (1, "b"), (1, "a")], names=["fold", "pair_id"])
    pet = pd.DataFrame({"x": [10.0, 21.0, 11.0]}, index=index)
    own = pd.MultiIndex.from_tuples([(OWN, "b"), (OWN, "a")], names=["fold", "pair_id"])
    together = beside(pd.DataFrame({"x": [2.0, 1.0]}, index=own), pet)
    assert together["known x"].tolist() == [1, 2, 1]
    assert together["more x"].tolist() == [10, 21, 11]
    assert together.index.equals(index)


def test_predictions_are_those_that_the_table_counts(pairs: pd.DataFrame, tests: dict[int, list[str]]) -> None:
    folds = pd.DataFrame([(k, p, "test") for k, ids in tests.items() for p in ids], columns=["fold", "pair_id", "part"])
    values = np.random.default_rng(8).normal(size=(N, 3))
    table, predictions = classify({"real": features(values)}, pairs, folds, list(tests), seed=0)
    row = table[(table["task"] == "AD vs CN") & (table["method"] == "real")].iloc[0]
    own = predictions[(predictions["task"] == "AD vs CN") & (predictions["method"] == "real")]
    assert len(own) == row["n"] == N
    assert (own["truth"] == own["predicted"]).mean() == row["accuracy"]
    assert own["subject"].str.removeprefix("s").tolist() == own["pair_id"].str.removeprefix("p").tolist()
