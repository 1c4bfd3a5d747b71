"""Folds: nobody in two parts, everyone somewhere, edited tables checked."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualglow.cohort.splits import PARTS, demographics, make_folds, person, split_hash, validate_folds
from dualglow.errors import ConfigError, InputError

TABLE3 = {"CN": 259, "SMC": 18, "EMCI": 171, "MCI": 114, "LMCI": 102, "AD": 142}  # 806 people


def cohort(counts: dict[str, int], visits: int = 1, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    groups = [group for group, count in counts.items() for _ in range(count)]
    rows = [
        {"pair_id": f"sub-{i:04d}_ses-{v}", "subject": f"900_S_{i:04d}", "group": group, "age": rng.uniform(60, 90)}
        for i, group in enumerate(groups)
        for v in range(visits)
    ]
    return pd.DataFrame(rows)


def test_case_37_person_is_the_roster_number() -> None:
    assert person("002_S_0295") == person("941_S_0295") == person("ADNI002S0295") == "RID 295"
    assert person("002_S_10155") != person("002_S_1015")
    assert person("01") == "01"


def test_kfold_of_the_papers_cohort() -> None:
    pairs = cohort(TABLE3)
    folds = make_folds(pairs, "kfold", 10, 0.1, 1)
    validate_folds(folds, pairs)
    test = folds[folds["part"] == "test"]
    assert sorted(test["pair_id"]) == sorted(pairs["pair_id"])  # everyone once
    assert sorted(test.groupby("fold").size()) == [80] * 4 + [81] * 6
    groups = test.merge(pairs, on="pair_id").groupby(["fold", "group"]).size().unstack(fill_value=0)
    assert ((groups.max() - groups.min()) <= 1).all()
    validation = folds[folds["part"] == "validation"].merge(pairs, on="pair_id")
    assert set(validation.groupby("fold").size()) <= {72, 73}
    share = validation.groupby(["fold", "group"]).size().unstack(fill_value=0)
    expected = pd.Series(TABLE3) * 0.9 * 0.1
    assert ((share - expected).abs().max() <= 2.1).all()


def test_age_is_balanced_too() -> None:
    pairs = cohort(dict.fromkeys(TABLE3, 120))
    folds = make_folds(pairs, "kfold", 10, 0.1, 3).merge(pairs, on="pair_id")
    test = folds[folds["part"] == "test"]
    cells = test.groupby(["fold", "group", test["age"] >= 75]).size().unstack([1, 2])
    assert (cells.max() - cells.min()).max() <= 1


def test_holdout_is_drawn_anew() -> None:
    pairs = cohort(TABLE3)
    folds = make_folds(pairs, "holdout", 10, 0.1, 1)
    validate_folds(folds, pairs)
    tests = [set(rows["pair_id"]) for _, rows in folds[folds["part"] == "test"].groupby("fold")]
    assert [len(test) for test in tests] == [80] * 10  # 726/80, §4 of the paper
    assert len(set.union(*tests)) < 806


@settings(max_examples=60, deadline=None)
@given(
    counts=st.dictionaries(
        st.sampled_from(["CN", "SMC", "EMCI", "MCI", "LMCI", "AD", ""]), st.integers(1, 9), min_size=1
    ),
    visits=st.integers(1, 3),
    scheme=st.sampled_from(["kfold", "holdout"]),
    folds=st.integers(2, 6),
    validation=st.sampled_from([0.0, 0.1, 0.5, 0.99]),
    seed=st.integers(0, 2**31),
)
def test_nobody_is_in_two_parts(
    counts: dict[str, int], visits: int, scheme: str, folds: int, validation: float, seed: int
) -> None:
    pairs = cohort(counts, visits)
    pairs.loc[::4, "age"] = np.nan
    pairs["group"] = pairs["group"].replace("", None)
    # every fourth person has a second visit at another site
    moved = pairs["pair_id"].str.endswith("ses-1") & (pairs.index % 4 == 1)
    pairs.loc[moved, "subject"] = pairs.loc[moved, "subject"].str.replace("900_S", "901_S")
    people = pairs["subject"].map(person)
    try:
        table = make_folds(pairs, scheme, folds, validation, seed)
    except ConfigError:
        assert people.nunique() < 4
        return
    validate_folds(table, pairs)
    parts = table.assign(person=table["subject"].map(person)).groupby(["fold", "person"])["part"].nunique()
    assert (parts == 1).all()
    assert len(table) == (min(folds, people.nunique()) if scheme == "kfold" else folds) * len(pairs)
    for _, rows in table.groupby("fold"):
        assert {"train", "test"} <= set(rows["part"])
        assert ("validation" in set(rows["part"])) == (validation > 0)
    shuffled = pairs.sample(frac=1, random_state=0)
    assert make_folds(shuffled, scheme, folds, validation, seed).equals(table)


def test_the_seed_matters() -> None:
    pairs = cohort(TABLE3)
    assert not make_folds(pairs, "kfold", 10, 0.1, 1).equals(make_folds(pairs, "kfold", 10, 0.1, 2))


def spread(test: pd.DataFrame, *columns: str) -> int:
    """The largest difference between folds in the number of test people of a stratum."""
    cells = test.groupby(["fold", *columns]).size().unstack(list(columns), fill_value=0)
    return int((cells.reindex(sorted(set(test["fold"])), fill_value=0).max() - cells.min()).max())


def held_out(pairs: pd.DataFrame, folds: int) -> pd.DataFrame:
    table = make_folds(pairs, "kfold", folds, 0, 1).query("part == 'test'").merge(pairs, on="pair_id")
    return table.assign(old=table["age"] >= 75, patient=table["group"].isin(["MCI", "LMCI", "AD"]))


def test_every_stratum_is_spread_however_small(caplog: pytest.LogCaptureFixture) -> None:
    """Stage, group, group × age and group × age × sex: each differs by at most one person between folds."""
    pairs = cohort({"CN": 37, "SMC": 2, "EMCI": 11, "MCI": 6, "LMCI": 5, "AD": 23})
    pairs["sex"] = np.random.default_rng(1).choice(["F", "M"], len(pairs))
    test = held_out(pairs, 5)
    for columns in (["patient"], ["group"], ["group", "old"], ["group", "old", "sex"]):
        assert spread(test, *columns) <= 1
    assert "stratified by CN+SMC+EMCI against MCI+LMCI+AD; finer" in caplog.text
    assert "CN+ SMC" in caplog.text


def test_how_far_the_strata_go_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    even = cohort(dict.fromkeys(TABLE3, 40)).assign(age=[70, 80] * 120, sex=["F", "F", "M", "M"] * 60)
    for pairs, said in (
        (even, "stratified by group, age and sex."),
        (
            even.assign(sex=["M"] + ["F"] * 239),
            "stratified by group and age; finer",
        ),
        (cohort(dict.fromkeys(TABLE3, 5)), "stratified by group; finer"),
        (cohort({"CN": 4, "AD": 2}), "stratified by nothing; finer"),
    ):
        caplog.clear()
        make_folds(pairs, "kfold", 5, 0, 1)
        assert said in caplog.text


def test_case_38_one_person_under_two_ptids_stays_together(caplog: pytest.LogCaptureFixture) -> None:
    pairs = cohort({"CN": 10})
    moved = pairs.iloc[[3]].assign(pair_id="sub-x_ses-1", subject="941_S_0003")
    both = pd.concat([pairs, moved], ignore_index=True)
    folds = make_folds(both, "kfold", 5, 0.2, 1)
    parts = folds.assign(person=folds["subject"].map(person)).groupby(["fold", "person"])["part"].nunique()
    assert (parts == 1).all()
    assert "RID 3 is one person under 900_S_0003 and 941_S_0003" in caplog.text


def test_case_43_few_people_give_fewer_folds(caplog: pytest.LogCaptureFixture) -> None:
    folds = make_folds(cohort({"CN": 7}), "kfold", 10, 0.1, 1)
    assert set(folds["fold"]) == set(range(7))
    assert "7 people: 7 folds instead of 10" in caplog.text
    with pytest.raises(ConfigError, match="of 1 people, but a split needs at least 2"):
        make_folds(cohort({"CN": 1}), "kfold", 10, 0, 1)


def test_demographics_count_people_per_part() -> None:
    pairs = cohort({"CN": 8, "AD": 4}, visits=2).assign(sex="F", pet_level=["coregiso", "coregavg"] * 12)
    pairs.loc[pairs.index[:2], "age"] = np.nan
    folds = make_folds(pairs, "kfold", 4, 0.2, 1)
    table = demographics(folds, pairs)
    assert list(table["part"]) == list(PARTS) * 4
    assert table.groupby("fold")["n"].sum().eq(12).all()
    assert table.groupby("fold")["n_pairs"].sum().eq(24).all()
    assert table[table["part"] == "test"][["n_CN", "n_AD"]].to_numpy().tolist() == [[2, 1]] * 4
    first = folds[(folds["fold"] == 0) & (folds["part"] == "train")].merge(pairs, on="pair_id")
    ages = first.drop_duplicates("subject_x")["age"]
    row = table.iloc[0]
    assert np.allclose([row["age_mean"], row["age_sd"]], [ages.mean(), ages.std()])
    assert (row["female"], row["male"]) == (row["n"], 0)
    assert row["pet_levels"] == f"coregavg {row['n']}, coregiso {row['n']}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "at least 2"),
        ({"scheme": "loo"}, "kfold or holdout"),
        ({"validation": 1.0}, "from 0 to below 1"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    settings_ = {"scheme": "kfold", "folds": 3, "validation": 0.1, "seed": 1} | options
    with pytest.raises(ConfigError, match=message):
        make_folds(cohort({"CN": 7}), **settings_)
    with pytest.raises(ConfigError, match="at least 3"):
        make_folds(cohort({"CN": 2}), "kfold", 2, 0.1, 1)


def test_hash_depends_on_who_is_where_and_not_on_order() -> None:
    pairs = cohort({"CN": 12})
    folds = make_folds(pairs, "kfold", 3, 0.1, 1)
    digest = split_hash(folds, 0)
    assert len(digest) == 12
    assert int(digest, 16) >= 0
    assert split_hash(folds.sample(frac=1, random_state=1), 0) == digest
    assert split_hash(folds[folds["fold"] == 0], 0) == digest
    assert len({split_hash(folds, fold) for fold in range(3)}) == 3
    edited = folds.copy()
    edited.loc[edited[(edited["fold"] == 0) & (edited["part"] == "train")].index[0], "part"] = "test"
    assert split_hash(edited, 0) != digest
    with pytest.raises(InputError, match="no fold 7; it has 0, 1, 2"):
        split_hash(folds, 7)


def leak(folds: pd.DataFrame) -> pd.DataFrame:
    """Move one of a person's two pairs to another part."""
    rows = folds[(folds["fold"] == 0) & (folds["part"] == "test")]
    folds.loc[rows.index[0], "part"] = "train"
    return folds


def one_dropped(folds: pd.DataFrame) -> pd.DataFrame:
    return folds.drop(index=0)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            leak,
            r"RID \d+ is in test and train of fold 0, lines \d+ \(sub-\d+_ses-0: train\), \d+ \(sub-\d+_ses-1: test\)",
        ),
        (one_dropped, "is in pairs.tsv but not in fold 0"),
        (lambda f: f.assign(part=f["part"].replace("validation", "val")), "unknown part val; expected train"),
        (lambda f: pd.concat([f, f.head(1).assign(pair_id="sub-x_ses-1")]), "sub-x_ses-1 is not in pairs.tsv"),
        (lambda f: pd.concat([f, f.head(1)]), "more than once in fold 0"),
        (lambda f: f.assign(part=f["part"].replace("test", "train")), "nobody is in the part test"),
        (lambda f: f.assign(subject="x"), "of another subject"),
        (lambda f: f.drop(columns="part"), "lacks the column"),
        (lambda f: f.assign(fold="a"), "whole numbers"),
        (lambda f: f.head(0), "is empty"),
    ],
)
def test_edited_tables_are_checked(edit: Callable[[pd.DataFrame], pd.DataFrame], message: str) -> None:
    pairs = cohort({"CN": 12}, visits=2)
    folds = make_folds(pairs, "kfold", 3, 0.1, 1)
    validate_folds(folds, pairs)
    with pytest.raises(InputError, match=message):
        validate_folds(edit(folds.copy()), pairs)


def test_parts_are_named_once() -> None:
    assert set(make_folds(cohort({"CN": 9}), "kfold", 3, 0.2, 1)["part"]) == set(PARTS)
