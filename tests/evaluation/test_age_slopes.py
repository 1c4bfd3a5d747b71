"""Slopes with age: of a model, of real PETs, and the truth of the simulator."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from dualglow.cli import app
from dualglow.cohort.simulate import effects
from dualglow.cohort.simulate.ageing import at_both_ages
from dualglow.cohort.simulate.head import Grid
from dualglow.errors import ConfigError, InputError
from dualglow.evaluation.ageing import compared_slopes, told_slopes

AGES = (50, 60, 70, 80, 90, 100)


def series(per_decade: dict[str, float]) -> pd.DataFrame:
    """People whose answers fall by their own slope, and bend a little at the end."""
    rows = [
        {"method": "m", "fold": 0, "pair_id": name, "group": "CN", "region": region, "told_age": age}
        | {"value": level + slope * age / 10 + 0.01 * (age == 100)}
        for region, level in (("A", 1.0), ("B", 2.0))
        for name, slope in per_decade.items()
        for age in AGES
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_a_models_slope_is_the_mean_over_people_of_least_squares() -> None:
    table = series({"p1": -0.1, "p2": -0.2, "p3": -0.15})
    row = told_slopes(table).set_index("region").loc["A"]
    each = [
        10 * stats.linregress(own["told_age"], own["value"]).slope
        for _, own in table[table["region"] == "A"].groupby("pair_id")
    ]
    assert row["slope_per_decade"] == pytest.approx(np.mean(each))
    assert (row["low"], row["high"]) == pytest.approx(stats.t.interval(0.95, 2, np.mean(each), stats.sem(each)))
    assert (row["n"], row["stage"]) == (3, "CN")


def test_a_pair_that_two_folds_hold_out_is_one_person() -> None:
    """Random divisions hold people out again and again: that makes no more people, and no smaller interval."""
    once, again = series({"p1": -0.1, "p2": -0.2}), series({"p1": -0.3}).assign(fold=1)
    row = told_slopes(pd.concat([once, again])).set_index("region").loc["A"]
    expected = told_slopes(series({"p1": -0.2, "p2": -0.2})).set_index("region").loc["A"]
    assert row["n"] == 2
    assert row[["slope_per_decade", "low", "high"]].tolist() == pytest.approx(
        expected[["slope_per_decade", "low", "high"]].tolist()
    )


def test_of_one_person_there_is_no_interval() -> None:
    row = told_slopes(series({"p1": -0.1})).iloc[0]
    assert np.isnan(row["low"])


def test_model_real_and_truth_stand_in_one_row() -> None:
    real = pd.DataFrame({"region": "A", "group": "CN", "age": [60.0, 65, 70, 80, 85]})
    real["value"] = 1.5 - 0.004 * real["age"]
    truth = pd.DataFrame({"region": ["A", "A"], "stage": ["CN", "AD"], "total": [-0.05, 0], "same_mri": [-0.02, 0]})
    table = compared_slopes(series({"p1": -0.1, "p2": -0.1}), real, truth).set_index("region")
    assert table.loc["A", "real"] == pytest.approx(-0.04)
    assert table.loc["A", ["true_total", "true_same_mri"]].tolist() == [-0.05, -0.02]
    assert table.loc["B", ["real", "true_total"]].isna().all()
    assert "true_total" not in compared_slopes(series({"p1": -0.1}), real, None)


@pytest.fixture(scope="module")
def coarse() -> Grid:
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = (-78, -112, -70)
    return Grid((40, 48, 40), affine)


def test_the_truth_changes_uptake_as_the_simulator_says(coarse: Grid) -> None:
    """With the MRI as it is, a region loses its own share per decade, less what its surroundings keep."""
    (young, brain), (old, _) = at_both_ages("CN", "M", "same_mri", coarse)
    relative = np.where(brain, 1 - old / np.maximum(young, 1e-6), np.nan) / 2

    def at(*mm: float) -> float:
        x, y, z = np.rint(np.linalg.inv(coarse.affine) @ [*mm, 1])[:3].astype(int)
        return float(np.nanmedian(relative[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2]))

    cingulate, precuneus, cerebellum = at(4, 36, 16), at(4, -62, 40), at(-28, -64, -36)
    share = effects.REGIONS["ACgG"].ageing
    assert 0.6 * share < cingulate < 1.05 * share  # its surroundings lose less
    assert cingulate > 2 * precuneus > 0
    assert abs(cerebellum) < 0.002


def test_a_thinning_cortex_adds_to_the_loss(coarse: Grid) -> None:
    falls = {}
    for effect in ("same_mri", "total"):
        (young, brain), (old, _) = at_both_ages("CN", "F", effect, coarse)
        falls[effect] = float((young - old)[brain].mean())
    assert falls["total"] > 2 * falls["same_mri"] > 0


def run(*words: object) -> None:
    outcome = CliRunner().invoke(app, [str(word) for word in words])
    if outcome.exception:
        raise outcome.exception


def test_the_verbs_end_to_end(results: Path) -> None:
    """On 48 people whose uptake does not follow age; those with more disease are not older."""
    pairs = pd.read_csv(results / "dataset" / "pairs.tsv", sep="\t")
    rows = [
        {"method": "copy", "fold": 0, "pair_id": row["pair_id"], "group": row["group"], "age": row["age"]}
        | {"told_age": age, "region": region, "n_voxels": 9, "value": 1.2 - 0.003 * age, "change": 0.0}
        for _, row in pairs.iterrows()
        for region in ("Precuneus", "Hippocampus")
        for age in AGES
    ]
    for number, half in enumerate((rows[: len(rows) // 2], rows[len(rows) // 2 :])):
        table = pd.DataFrame(half).assign(simulated=True)
        table.to_csv(results / f"ages-{number}.tsv", sep="\t", index=False)
    truth, slopes = results / "truth_slopes.tsv", results / "slopes.tsv"
    run("age-truth", "--dataset", results / "dataset", "--atlas", "aal2", "--out", truth)
    series_files = (results / "ages-0.tsv", results / "ages-1.tsv")
    where = ("--dataset", results / "dataset", "--atlas", "aal2", "--out", slopes)
    run("age-slopes", *where, "--truth", truth, "--ages", *series_files)
    found = pd.read_csv(slopes, sep="\t").set_index(["region", "stage"])
    assert found["model"].to_numpy() == pytest.approx(-0.03)
    assert found["n"].groupby("stage").first().to_dict() == {"AD": 8, "CN": 16, "MCI": 24}
    assert (found["true_total"] < 0).all()
    assert found["simulated"].all()
    run("table", "ageing", "--slopes", slopes, "--out", results / "ageing.tsv")
    assert "neither is how a person ages" in (results / "ageing.tex").read_text()
    run("figure", "ageing", "--slopes", slopes, "--out", results / "ageing-figure")
    drawn = pd.read_csv(results / "ageing-figure.tsv", sep="\t")
    assert drawn["real"].to_numpy() == pytest.approx(found["real"].to_numpy())


def slopes_of(results: Path, pairs: pd.DataFrame) -> pd.DataFrame:
    """`age-slopes` of a model that says 1 of these people at every age."""
    rows = pairs[["pair_id", "group", "age"]].merge(pd.DataFrame({"told_age": AGES}), how="cross")
    rows = rows.assign(method="copy", fold=0, region="Precuneus", n_voxels=9, value=1.0, change=0.0, simulated=True)
    rows.to_csv(results / "ages.tsv", sep="\t", index=False, na_rep="n/a")
    pairs.to_csv(results / "dataset" / "pairs.tsv", sep="\t", index=False, na_rep="n/a")
    where = ("--dataset", results / "dataset", "--atlas", "aal2", "--out", results / "slopes.tsv")
    run("age-slopes", *where, "--ages", results / "ages.tsv")
    return pd.read_csv(results / "slopes.tsv", sep="\t")


def test_the_real_slope_says_how_many_it_is_of(results: Path) -> None:
    """A model can be told an age of those whose own is unknown; the line over real PETs has no place for them."""
    pairs = pd.read_csv(results / "dataset" / "pairs.tsv", sep="\t")
    pairs.loc[pairs["group"] == "AD", "age"] = [np.nan, np.nan, *pairs.loc[pairs["group"] == "AD", "age"].iloc[2:]]
    found = slopes_of(results, pairs).set_index("stage")
    assert found["n"].to_dict() == {"CN": 16, "MCI": 24, "AD": 8}
    assert found["n_real"].to_dict() == {"CN": 16, "MCI": 24, "AD": 6}


def test_a_cohort_without_diagnoses_has_empty_slopes_that_say_so(results: Path) -> None:
    pairs = pd.read_csv(results / "dataset" / "pairs.tsv", sep="\t").assign(group=np.nan)
    assert slopes_of(results, pairs).empty
    run("table", "ageing", "--slopes", results / "slopes.tsv", "--out", results / "ageing.tsv")
    for page in ("ageing.html", "ageing.tex"):
        assert "Nobody of CN, MCI or AD was held out" in (results / page).read_text()
    run("figure", "ageing", "--slopes", results / "slopes.tsv", "--out", results / "ageing-figure")
    assert pd.read_csv(results / "ageing-figure.tsv", sep="\t").empty
    assert (results / "ageing-figure.png").stat().st_size > 0


@pytest.mark.parametrize("kind", ["table", "figure"])
def test_slopes_that_cannot_be_shown_are_refused(kind: str, results: Path) -> None:
    pairs = pd.read_csv(results / "dataset" / "pairs.tsv", sep="\t")
    found = slopes_of(results, pairs)
    show = (kind, "ageing", "--slopes", results / "slopes.tsv", "--out", results / "out.tsv")
    pd.concat([found, found.assign(method="mean")]).to_csv(results / "slopes.tsv", sep="\t", index=False)
    with pytest.raises(ConfigError, match=r"--slopes: holds several methods \(mean, copy\)"):
        run(*show)
    found.drop(columns=["model_low", "real_high"]).to_csv(results / "slopes.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match=r"slopes.tsv: lacks the column\(s\) model_low, real_high"):
        run(*show)


def test_nobody_knows_the_truth_of_real_people(results: Path) -> None:
    grid = results / "dataset" / "grid.json"
    grid.write_text(grid.read_text().replace('"simulated": true', '"simulated": false'))
    with pytest.raises(InputError, match="nobody knows the truth"):
        run("age-truth", "--dataset", results / "dataset", "--atlas", "aal2", "--out", results / "t.tsv")
