"""Figures 6, 7 and 14 as verbs: planted ages in, the planted change out, or one line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Dualglow
from tests.evaluation.conftest import write_volume

PER_DECADE = -0.05
AGES = (50, 75)


@pytest.fixture
def told(results: Path) -> Path:
    """The age series of fold 0: everyone loses PER_DECADE everywhere; and the metrics by which people are chosen."""
    pairs = pd.read_csv(results / "dataset" / "pairs.tsv", sep="\t")
    folds = pd.read_csv(results / "folds.tsv", sep="\t")
    test = folds[(folds["fold"] == 0) & (folds["part"] == "test")]
    held = pairs[pairs["pair_id"].isin(test["pair_id"])]
    mask = np.load(results / "dataset" / "masks.npy")[0]
    folder = results / "ages" / "fold-0"
    folder.mkdir(parents=True)
    rows = []
    for person in held.itertuples():
        for kind, age in {"own": person.age, **{f"{age:03d}": age for age in AGES}}.items():
            level = 1.5 + PER_DECADE * (age - person.age) / 10
            write_volume(level * mask, folder / f"{person.pair_id}_desc-age{kind}_pet.nii.gz")
        rows += [
            {"method": "linear", "fold": 0, "pair_id": person.pair_id, "group": person.group, "age": person.age}
            | {"told_age": age, "region": region, "n_voxels": 9, "value": 1.5 + PER_DECADE * age / 10}
            | {"change": 0.0, "simulated": True}
            for age in AGES
            for region in ("Precuneus", "Hippocampus")
        ]
    pd.DataFrame(rows).to_csv(folder / "ages.tsv", sep="\t", index=False)
    metrics = held.assign(method="linear", fold=0, mae_mask=np.arange(len(held)), data_range=2.5, split_hash="x")
    metrics.assign(simulated=True).to_csv(results / "metrics.tsv", sep="\t", index=False)
    return folder


def figure_6(results: Path) -> list[object]:
    where = ["--dataset", results / "dataset", "--series", results / "ages", "--metrics", results / "metrics.tsv"]
    return ["figure", "6", *where, "--ages", "50,75", "--out", results / "figures" / "figure6"]


def test_figure_6_shows_the_planted_change(results: Path, told: Path, dualglow: Dualglow) -> None:
    assert dualglow(*figure_6(results)) == ""
    drawn = pd.read_csv(results / "figures" / "figure6.tsv", sep="\t")
    assert drawn["group"].nunique() == 3
    expected = PER_DECADE * (drawn["told_age"] - drawn["age"]) / 10
    assert drawn["change_mask"].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-5)
    assert drawn["simulated"].all()


def test_figure_6_without_a_volume_is_one_line(results: Path, told: Path, dualglow: Dualglow) -> None:
    for path in told.glob("*_desc-age075_pet.nii.gz"):
        path.unlink()
    line = dualglow(*figure_6(results))
    assert "_desc-age075_pet.nii.gz: cannot be read" in line
    assert line.count("\n") == 1
    assert not (results / "figures").exists()


def test_figures_7_and_14_draw_the_planted_line(results: Path, told: Path, dualglow: Dualglow) -> None:
    assert dualglow("figure", "14", "--ages", told / "ages.tsv", "--out", results / "figure14") == ""
    drawn = pd.read_csv(results / "figure14.tsv", sep="\t")
    assert drawn["mean"].to_numpy() == pytest.approx(1.5 + PER_DECADE * drawn["told_age"].to_numpy() / 10)
    real = pd.DataFrame({"pair_id": list("abcde"), "method": "real", "region": "Precuneus", "group": "CN"})
    real = real.assign(age=[60, 65, 70, 75, 80], value=1.0, simulated=True)
    real.to_csv(results / "age.tsv", sep="\t", index=False)
    words = ["--roi-age", results / "age.tsv", "--ages", told / "ages.tsv", "--out", results / "figure7"]
    assert dualglow("figure", "7", *words) == ""
    drawn = pd.read_csv(results / "figure7.tsv", sep="\t")
    curve = drawn[drawn["kind"] == "told"]
    assert curve["value"].to_numpy() == pytest.approx(1.5 + PER_DECADE * curve["age"].to_numpy() / 10)
    line = drawn[drawn["kind"] == "line"]
    assert line["value"].to_numpy() == pytest.approx(1.0)
    assert (line["age"].min(), line["age"].max(), set(line["n"])) == (60, 80, {5})
    assert drawn.loc[drawn["kind"] == "person", "pair_id"].tolist() == list("abcde")


@pytest.mark.parametrize("unknown", ["group", "age"])
def test_figures_of_people_of_whom_nothing_is_known_say_so(
    unknown: str, results: Path, told: Path, dualglow: Dualglow
) -> None:
    """Figure 14 needs no age of theirs; of one's own there is no other."""
    for name in ("metrics.tsv", "ages/fold-0/ages.tsv", "dataset/pairs.tsv"):
        table = pd.read_csv(results / name, sep="\t").assign(**{unknown: "n/a"})
        table.to_csv(results / name, sep="\t", index=False)
    methods = ("--synthesis", results / "synthesis", "--methods", "copy", "--folds", results / "folds.tsv")
    measured = ("age", "--dataset", results / "dataset", *methods, "--atlas", "aal2", "--out", results / "age.tsv")
    assert dualglow(*measured) == ""
    ages = ("--ages", told / "ages.tsv")
    assert dualglow(*figure_6(results)) == ""
    assert dualglow("figure", "7", "--roi-age", results / "age.tsv", *ages, "--out", results / "figure7") == ""
    assert dualglow("figure", "14", *ages, "--out", results / "figure14") == ""
    for name in ("figures/figure6", "figure7"):
        assert pd.read_csv(results / f"{name}.tsv", sep="\t").empty
        assert (results / f"{name}.png").stat().st_size > 0
    assert pd.read_csv(results / "figure14.tsv", sep="\t").empty == (unknown == "group")


def test_an_atlas_without_the_regions_leaves_figure_7_empty(results: Path, told: Path, dualglow: Dualglow) -> None:
    empty = pd.DataFrame(columns=["pair_id", "method", "region", "group", "age", "value", "simulated"])
    empty.to_csv(results / "age.tsv", sep="\t", index=False)
    words = ["--roi-age", results / "age.tsv", "--ages", told / "ages.tsv", "--out", results / "figure7"]
    assert dualglow("figure", "7", *words) == ""
    assert pd.read_csv(results / "figure7.tsv", sep="\t").empty


@pytest.mark.parametrize("verb", ["figure 6", "figure 7", "figure 14", "age-slopes"])
def test_two_methods_in_one_figure_are_one_line(verb: str, results: Path, told: Path, dualglow: Dualglow) -> None:
    for path in (results / "metrics.tsv", told / "ages.tsv"):
        table = pd.read_csv(path, sep="\t")
        pd.concat([table, table.assign(method="dualglow-conditional")]).to_csv(path, sep="\t", index=False)
    columns = {"pair_id": ["a"], "method": "real", "region": "Precuneus", "group": "CN", "age": 70, "value": 1}
    pd.DataFrame(columns).assign(simulated=True).to_csv(results / "age.tsv", sep="\t", index=False)
    ages, out = ("--ages", told / "ages.tsv"), ("--out", results / "figures" / "out")
    words = {
        "figure 6": figure_6(results),
        "figure 7": ["figure", "7", "--roi-age", results / "age.tsv", *ages, *out],
        "figure 14": ["figure", "14", *ages, *out],
        "age-slopes": ["age-slopes", "--dataset", results / "dataset", "--atlas", "aal2", *ages, *out],
    }
    line = dualglow(*words[verb])
    assert "holds several methods (dualglow-conditional, linear). Give the tables of one of them." in line
    assert line.count("\n") == 1
    assert not (results / "figures").exists()


def test_a_series_without_rows_is_not_the_atlas_s_fault(results: Path, told: Path, dualglow: Dualglow) -> None:
    pd.read_csv(told / "ages.tsv", sep="\t").iloc[:0].to_csv(told / "ages.tsv", sep="\t", index=False)
    words = ("--dataset", results / "dataset", "--atlas", "aal2", "--ages", told / "ages.tsv")
    line = dualglow("age-slopes", *words, "--out", results / "slopes.tsv")
    assert "ages.tsv: has no rows" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    "verb",
    [("figure", "14"), ("age-slopes", "--dataset", "{results}/dataset", "--atlas", "aal2")],
    ids=["figure 14", "age-slopes"],
)
def test_a_series_without_its_columns_is_one_line(
    verb: tuple[str, ...], results: Path, told: Path, dualglow: Dualglow
) -> None:
    table = pd.read_csv(told / "ages.tsv", sep="\t").drop(columns="told_age")
    table.to_csv(told / "ages.tsv", sep="\t", index=False)
    words = [word.format(results=results) for word in verb]
    line = dualglow(*words, "--ages", told / "ages.tsv", "--out", results / "out" / "made.tsv")
    assert "ages.tsv: lacks the column(s) told_age" in line
    assert line.count("\n") == 1
    assert not (results / "out").exists()
