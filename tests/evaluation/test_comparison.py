import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dualglow.cohort.splits import split_hash
from dualglow.errors import ConfigError, InputError
from dualglow.evaluation.comparison import compare, corrected_t_test, held_out_ratio, holm


def split(folds: int = 3, people: int = 6) -> pd.DataFrame:
    rows = [
        (fold, f"p{i}", f"s{i}", "test" if i % folds == fold else "train")
        for fold in range(folds)
        for i in range(people)
    ]
    return pd.DataFrame(rows, columns=["fold", "pair_id", "subject", "part"])


def metrics(values: dict[str, list[float]], folds: pd.DataFrame, column: str = "mae_mask") -> pd.DataFrame:
    """`values`: method → a value per pair."""
    tested = folds[folds["part"] == "test"].sort_values("pair_id")
    rows = [
        {"method": method, "fold": row.fold, "pair_id": row.pair_id, "subject": row.subject, column: value}
        | {"split_hash": split_hash(folds, row.fold)}
        for method, own in values.items()
        for row, value in zip(tested.itertuples(), own, strict=True)
    ]
    return pd.DataFrame(rows)


def test_the_corrected_t_test_is_the_one_worked_out_by_hand() -> None:
    """Differences 1, 2, 3 of three folds, n_test / n_train = 1/2: variance of the mean (1/3 + 1/2) · 1 = 5/6."""
    found = corrected_t_test(np.array([1.0, 2.0, 3.0]), 0.5)
    assert found is not None
    assert (found.difference, found.df) == (2.0, 2)
    assert found.t == pytest.approx(2 / np.sqrt(5 / 6))
    assert found.p == pytest.approx(1 - found.t / np.sqrt(2 + found.t**2))  # Student's t with 2 degrees has this form
    assert found.high - found.difference == pytest.approx(4.302653 * np.sqrt(5 / 6), rel=1e-6)  # a printed table's t
    plain = corrected_t_test(np.array([1.0, 2.0, 3.0]), 0.0)
    assert plain is not None
    assert plain.p == pytest.approx(stats.ttest_1samp([1, 2, 3], 0).pvalue)
    assert corrected_t_test(np.array([1.0]), 0.5) is None


def test_an_exact_tie_is_no_difference() -> None:
    found = corrected_t_test(np.zeros(4), 0.25)
    assert found is not None
    assert (found.t, found.p, found.low, found.high) == (0, 1, 0, 0)


def test_holm_is_the_textbooks() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.5, np.nan, 0.9])) == pytest.approx([1, np.nan, 1], nan_ok=True)
    assert len(holm(np.array([]))) == 0


def rejections(corrected: bool, runs: int = 300, folds: int = 30, people: int = 60) -> float:
    """How often two predictors that are equally good are found to differ at 5 %, over new data sets.

    Each draws two unrelated features of the people and predicts an unrelated target by a line on one of them; the test
    sets of the folds are drawn anew each time, as `split.scheme: holdout` does, a tenth of the people each.
    """
    rng, hits, tested = np.random.default_rng(0), 0, people // 10
    for _ in range(runs):
        features, target = rng.normal(size=(2, people)), rng.normal(size=people)
        differences = []
        for _ in range(folds):
            order = rng.permutation(people)
            test, train = order[:tested], order[tested:]
            errors = []
            for feature in features:
                slope, intercept = np.polyfit(feature[train], target[train], 1)
                errors.append(np.abs(target[test] - intercept - slope * feature[test]).mean())
            differences.append(errors[0] - errors[1])
        found = corrected_t_test(np.array(differences), tested / (people - tested) if corrected else 0.0)
        assert found is not None
        hits += found.p < 0.05
    return hits / runs


def test_the_correction_keeps_the_error_that_the_plain_test_does_not() -> None:
    """300 data sets: the share of a 5 % test has a standard error of 1.3 %."""
    assert rejections(corrected=False) > 0.15
    assert rejections(corrected=True) < 0.08


def test_two_methods_are_compared_pair_by_pair() -> None:
    folds = split()
    better, worse = [0.1, 0.2, 0.3, 0.1, 0.2, 0.3], [0.2, 0.4, 0.6, 0.2, 0.4, 0.6]
    found = compare(metrics({"a": better, "b": worse}, folds), folds, "a").iloc[0]
    assert (found["metric"], found["region"], found["method"], found["better"]) == ("mae", "mask", "b", -1)
    assert (found["n_pairs"], found["n_people"], found["folds"]) == (6, 6, 3)
    assert found["difference"] == pytest.approx(-0.2)
    assert found["test_to_train"] == pytest.approx(0.5)
    expected = corrected_t_test(np.array([-0.1, -0.2, -0.3]), 0.5)
    assert expected is not None
    assert found["p"] == pytest.approx(expected.p)
    assert found["p_wilcoxon"] == pytest.approx(2 / 2**6)  # all six of one sign: exact


def test_several_methods_are_adjusted_within_a_metric() -> None:
    folds, rng = split(), np.random.default_rng(1)
    values = {name: rng.uniform(0, 1, 6).tolist() for name in "abcd"}
    found = compare(metrics(values, folds), folds, "b")
    assert found["method"].tolist() == ["a", "c", "d"]
    assert found["p_holm"].to_numpy() == pytest.approx(holm(found["p"].to_numpy()))
    assert (found["p_holm"] >= found["p"]).all()


def test_a_bias_is_compared_by_its_size() -> None:
    folds = split()
    found = compare(metrics({"a": [0.1] * 6, "b": [-0.3] * 6}, folds, "bias_mask"), folds, "a").iloc[0]
    assert (found["reference_mean"], found["method_mean"], found["difference"]) == pytest.approx((0.1, 0.3, -0.2))


def test_people_who_are_scanned_twice_count_once_in_the_ranks() -> None:
    folds = split()
    folds["subject"] = folds["subject"].replace({"s3": "s0", "s4": "s1", "s5": "s2"})
    found = compare(metrics({"a": [1.0] * 6, "b": [2.0] * 6}, folds), folds, "a").iloc[0]
    assert (found["n_pairs"], found["n_people"]) == (6, 3)


def test_folds_that_share_training_people_are_counted() -> None:
    folds = split(3, 9)
    folds.loc[(folds["fold"] == 0) & (folds["pair_id"] == "p1"), "part"] = "validation"
    assert held_out_ratio(folds, [0, 1, 2]) == pytest.approx(0.5)


def test_other_splits_other_pairs_and_unknown_references_are_refused() -> None:
    folds = split()
    table = metrics({"a": [1.0] * 6, "b": [2.0] * 6}, folds)
    with pytest.raises(ConfigError, match=r"--reference c: not in the metrics: a, b"):
        compare(table, folds, "c")
    with pytest.raises(InputError, match="the metrics of b, fold 0, are of another split"):
        compare(table.assign(split_hash=table["split_hash"].where(table["method"] == "a", "0123")), folds, "a")
    with pytest.raises(InputError, match="different pairs"):
        compare(table.iloc[:-1], folds, "a")
    with pytest.raises(InputError, match="of a, fold 0 twice"):
        compare(pd.concat([table, table.iloc[:1]]), folds, "a")


def test_one_method_alone_gives_no_rows() -> None:
    folds = split()
    assert compare(metrics({"a": [1.0] * 6}, folds), folds, "a").empty


def test_one_fold_allows_no_test_over_folds() -> None:
    folds = split()
    one = metrics({"a": [1.0] * 6, "b": [2.0] * 6}, folds).query("fold == 0")
    found = compare(one, folds, "a").iloc[0]
    assert (found["difference"], found["folds"], found["n_people"]) == (-1, 1, 2)
    assert found[["low", "high", "t", "df", "p", "p_holm"]].isna().all()
    assert found["p_wilcoxon"] == 0.5  # two people of one sign


def test_a_metric_that_one_method_lacks_is_missing_and_the_others_are_not() -> None:
    """A constant prediction has no correlation."""
    folds, values = split(), np.linspace(0.1, 0.6, 6)
    table = metrics({"a": values.tolist(), "b": (values**2).tolist(), "c": [0.9] * 6}, folds)
    table["cor_mask"] = table["mae_mask"].where(table["method"] != "c")
    found = compare(table, folds, "a").set_index(["metric", "method"])
    alone = compare(table[table["method"] != "b"], folds, "a").set_index(["metric", "method"])
    for lacking in (found.loc[("cor", "c")], alone.loc[("cor", "c")]):
        assert (lacking["n_pairs"], lacking["folds"]) == (0, 0)
        assert lacking[["difference", "low", "high", "t", "df", "p", "p_holm", "p_wilcoxon"]].isna().all()
    whole = found.loc[[("mae", "b"), ("mae", "c"), ("cor", "b")], ["difference", "low", "t", "df", "p", "p_holm"]]
    assert whole.notna().all(axis=None)
    assert found.loc[("cor", "b"), "p_holm"] == found.loc[("cor", "b"), "p"]  # the only one of its metric
