"""The verbs end to end, on a small results tree."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dualglow.cli import app
from dualglow.cohort.splits import split_hash
from dualglow.errors import ConfigError, InputError
from dualglow.evaluation.rois import Regions
from dualglow.preprocess.grid import Grid

CONTRACT = ["method", "fold", "pair_id", "subject", "group", "sex", "age"]
CONTRACT += ["mae_mask", "cor_mask", "psnr_mask", "ssim_mask", "msssim_mask", "nmi_mask", "nmse_mask", "bias_mask"]
CONTRACT += ["mae_box", "cor_box", "psnr_box", "ssim_box", "msssim_box", "nmi_box"]
CONTRACT += ["data_range", "split_hash", "simulated"]


def run(*words: str | Path) -> str:
    outcome = CliRunner().invoke(app, [str(word) for word in words])
    if outcome.exception:
        raise outcome.exception
    return outcome.output


def held_out(results: Path, method: str, fold: int) -> Path:
    return results / "synthesis" / method / f"fold-{fold}"


def evaluate(results: Path, method: str, fold: int) -> Path:
    out = results / "metrics" / method / f"fold-{fold}.tsv"
    where = ("--dataset", results / "dataset", "--synthesis", held_out(results, method, fold))
    run("evaluate", *where, "--folds", results / "folds.tsv", "--fold", fold, "--method", method, "--out", out)
    return out


def test_evaluate_measures_each_held_out_pair(results: Path) -> None:
    table = pd.read_csv(evaluate(results, "copy", 1), sep="\t")
    assert table.columns.tolist() == CONTRACT
    assert len(table) == 12
    assert table["mae_mask"].to_numpy() == pytest.approx(0.1, abs=1e-5)
    assert table["psnr_mask"].to_numpy() == pytest.approx(20 * np.log10(25), abs=1e-3)
    assert set(table["split_hash"]) == {split_hash(pd.read_csv(results / "folds.tsv", sep="\t"), 1)}
    assert table["simulated"].all()


def test_a_method_that_copies_the_mean_scores_as_the_mean(results: Path) -> None:
    table = pd.read_csv(evaluate(results, "mean", 0), sep="\t").set_index("pair_id")
    volumes = np.load(results / "dataset" / "volumes.npy")[:, 1]
    mask = np.load(results / "dataset" / "masks.npy")[0]
    test = pd.read_csv(results / "dataset" / "pairs.tsv", sep="\t")["pair_id"].isin(table.index).to_numpy()
    errors = np.abs(volumes[test] - volumes[~test].mean(axis=0))[:, mask].mean(axis=1)
    assert table["mae_mask"].to_numpy() == pytest.approx(errors, abs=1e-6)


def test_missing_and_extra_files_are_named(results: Path) -> None:
    folder = held_out(results, "copy", 2)
    first = sorted(folder.iterdir())[0]
    first.rename(folder / "sub-other_ses-1_desc-synthetic_pet.nii.gz")
    with pytest.raises(InputError, match=r"lacks the synthetic PET of 1 \(sub-900S9"):
        evaluate(results, "copy", 2)
    (folder / "sub-other_ses-1_desc-synthetic_pet.nii.gz").rename(first)
    (folder / "sub-other_ses-1_desc-synthetic_pet.nii.gz").write_bytes(first.read_bytes())
    with pytest.raises(InputError, match=r"sub-other_ses-1.*does not hold out"):
        evaluate(results, "copy", 2)


def test_an_unknown_fold_is_named(results: Path) -> None:
    with pytest.raises(ConfigError, match=r"fold 9 .* 0, 1, 2, 3"):
        evaluate(results, "copy", 9)


def test_classify_ranks_real_above_chance_and_mean_at_chance(results: Path) -> None:
    out = results / "diagnosis.tsv"
    where = ("--dataset", results / "dataset", "--folds", results / "folds.tsv")
    methods = ("--synthesis", results / "synthesis", "--methods", "copy", "--methods", "mean")
    run("classify", *where, *methods, "--atlas", "aal2", "--out", out)
    table = pd.read_csv(out, sep="\t")
    pets = ["real", "copy", "mean"]
    joined = ["mri+age-sex", *(f"mri+{name}" for name in pets), *(f"mri+age-sex+{name}" for name in pets)]
    assert table["method"].tolist() == ["majority", "real", "mri", "copy", "mean", "age-sex", *joined] * 2
    ad = table[table["task"] == "AD vs CN"].set_index("method")
    assert ad.loc["real", "accuracy"] > 0.9
    assert ad.loc["copy", "accuracy"] == pytest.approx(ad.loc["real", "accuracy"], abs=0.13)
    assert (ad.loc["mean", "auc"], ad.loc["mri", "auc"]) == (0.5, 0.5)
    assert set(table["n_features"]) == {0, 2, 116, 118, 232, 234}
    assert len(pd.read_csv(results / "diagnosis_predictions.tsv", sep="\t")) == 13 * (16 + 48)
    run("gain", "--classification", out, "--out", results / "gain.tsv")
    gain = pd.read_csv(results / "gain.tsv", sep="\t").set_index(["task", "base", "added"])
    assert gain.loc[("AD vs CN", "mri", "real"), "gain"] > 0.3  # the T1 knows nothing here
    assert gain.loc[("AD vs CN", "mri", "mean"), "auc_gain"] == 0
    assert gain.loc[("AD vs CN", "mri", "real"), "p_mcnemar"] < 0.05
    assert gain.loc["AD vs CN"].index.tolist() == [
        ("mri", "age-sex"), *(("mri", name) for name in pets), *(("mri+age-sex", name) for name in pets),
    ]  # fmt: skip


@pytest.mark.parametrize("verb", ["classify", "effects", "reference-regions"])
def test_pets_of_a_model_that_was_told_the_diagnosis_are_not_asked_for_it(verb: str, results: Path) -> None:
    (results / "synthesis" / "copy" / "fold-1" / "synthesis.json").write_text('{"told": ["age", "group"]}')
    where = ("--dataset", results / "dataset", "--folds", results / "folds.tsv", "--synthesis", results / "synthesis")
    maps = ("--maps", results / "maps") if verb == "effects" else ()
    with pytest.raises(InputError, match=r"--methods copy: .*told the diagnosis.*Leave this method out"):
        run(
            verb, *where, "--methods", "mean", "--methods", "copy", "--atlas", "aal2", *maps, "--out", results / "t.tsv"
        )
    assert not (results / "t.tsv").exists()


def test_methods_with_different_folds_cannot_be_classified_together(results: Path) -> None:
    held_out(results, "mean", 3).rename(results / "elsewhere")
    where = ("--dataset", results / "dataset", "--folds", results / "folds.tsv")
    methods = ("--synthesis", results / "synthesis", "--methods", "copy", "--methods", "mean")
    with pytest.raises(InputError, match="copy: 0, 1, 2, 3; mean: 0, 1, 2"):
        run("classify", *where, *methods, "--atlas", "aal2", "--out", results / "diagnosis.tsv")


def age(results: Path, *words: str | Path) -> tuple[pd.DataFrame, str]:
    """The table, and what the verb printed."""
    out = results / "roi_age.tsv"
    methods = ("--synthesis", results / "synthesis", "--methods", "copy", "--folds", results / "folds.tsv")
    said = run("age", "--dataset", results / "dataset", *methods, "--atlas", "aal2", *words, "--out", out)
    return pd.read_csv(out, sep="\t"), said


def test_age_shows_the_same_people_in_real_and_synthetic(results: Path) -> None:
    table, said = age(results)
    assert said == ""
    wide = table.pivot_table(index=["pair_id", "region"], columns="method", values="value")
    assert len(wide) == 48 * 3
    assert (wide["copy"] - wide["real"]).to_numpy() == pytest.approx(0.1, abs=1e-5)
    assert len(pd.read_csv(results / "roi_age_slopes.tsv", sep="\t")) == 2 * 3 * 3


def test_age_takes_the_folds_of_the_table_alone(results: Path) -> None:
    """Folders of an earlier split lie beside them; one that stands in a fold's place is no longer the fold's."""
    for name in ("fold-old", "fold-9"):
        stale = results / "synthesis" / "copy" / name
        stale.mkdir()
        (stale / "sub-900S9999_ses-20060523_desc-synthetic_pet.nii.gz").touch()
    assert len(age(results)[0]) == 2 * 48 * 3
    held_out(results, "copy", 3).rename(results / "synthesis" / "copy" / "fold-3-of-4")
    (results / "synthesis" / "copy" / "fold-9").rename(held_out(results, "copy", 3))
    with pytest.raises(InputError, match="fold-3: lacks the synthetic PET of 12"):
        age(results)


def test_age_needs_the_folds_of_synthetic_pets(results: Path) -> None:
    methods = ("--synthesis", results / "synthesis", "--methods", "copy")
    with pytest.raises(ConfigError, match="--synthesis, --methods and --folds belong together"):
        run("age", "--dataset", results / "dataset", *methods, "--out", results / "roi_age.tsv")


def test_age_says_of_an_atlas_that_it_has_none_of_the_regions(results: Path, regions: Regions, grid: Grid) -> None:
    nib.save(grid.image((regions.labels > 0).astype(np.uint8)), results / "own.nii.gz")
    (results / "own.tsv").write_text("index\tname\n1\tBrain\n")
    table, said = age(results, "--atlas", results / "own.nii.gz")
    assert table.empty
    assert pd.read_csv(results / "roi_age_slopes.tsv", sep="\t").empty
    assert "name regions of its own in figures.regions (--regions)" in said
    table, said = age(results, "--atlas", results / "own.nii.gz", "--regions", "Brain")
    assert set(table["region"]) == {"Brain"}
    assert said == ""
    with pytest.raises(InputError, match="the atlas has no region Precuneus"):
        age(results, "--atlas", results / "own.nii.gz", "--regions", "Precuneus")


def test_age_without_synthesis_measures_everyone(results: Path) -> None:
    out = results / "roi_age.tsv"
    run("age", "--dataset", results / "dataset", "--atlas", "aal2", "--regions", "Thalamus", "--out", out)
    table = pd.read_csv(out, sep="\t")
    assert len(table) == 48
    assert set(table["region"]) == {"Thalamus"}


def test_figure_5_and_the_tables_from_files(results: Path) -> None:
    metrics = [evaluate(results, method, fold) for method in ("copy", "mean") for fold in range(2)]
    figure = results / "figures" / "figure5"
    where = ("--dataset", results / "dataset", "--synthesis", results / "synthesis", "--method", "copy")
    run("figure", "5", *where, "--metrics", *metrics, "--out", figure)
    assert pd.read_csv(f"{figure}.tsv", sep="\t")["group"].tolist() == ["CN", "MCI", "AD"]
    run("table", "1", "--metrics", *metrics, "--out", results / "table1.tsv")
    assert pd.read_csv(results / "table1.tsv", sep="\t")["n"].tolist() == [24, 24]
    run("table", "3", "--pairs", results / "dataset" / "pairs.tsv", "--out", results / "table3.tsv")
    assert "simulated cohort" in (results / "table3.tex").read_text()


def test_somebody_who_is_trained_on_and_tested_is_refused(results: Path) -> None:
    folds = pd.read_csv(results / "folds.tsv", sep="\t")
    again = folds[(folds["fold"] == 0) & (folds["part"] == "test")].head(1).assign(part="train")
    pd.concat([folds, again]).to_csv(results / "folds.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match=again["pair_id"].iloc[0]):
        evaluate(results, "copy", 0)


def test_a_fold_of_which_nobody_is_left_to_test_has_an_empty_table(results: Path) -> None:
    """Preprocessing lost all test people of fold 3; the other folds go on, and the paper's table is theirs."""
    folds = pd.read_csv(results / "folds.tsv", sep="\t")
    lost = folds.loc[(folds["fold"] == 3) & (folds["part"] == "test"), ["pair_id"]]
    pairs = pd.read_csv(results / "dataset" / "pairs.tsv", sep="\t")
    kept = ~pairs["pair_id"].isin(lost["pair_id"]).to_numpy()
    for name in ("volumes.npy", "masks.npy"):
        np.save(results / "dataset" / name, np.load(results / "dataset" / name)[kept])
    pairs[kept].to_csv(results / "dataset" / "pairs.tsv", sep="\t", index=False)
    lost.assign(reason="t1_registration", detail="").to_csv(results / "dataset/exclusions.tsv", sep="\t", index=False)
    for path in held_out(results, "copy", 3).iterdir():
        path.unlink()
    tables = [evaluate(results, "copy", fold) for fold in range(4)]
    assert pd.read_csv(tables[3], sep="\t").columns.tolist() == CONTRACT
    assert [len(pd.read_csv(table, sep="\t")) for table in tables] == [12, 12, 12, 0]
    run("table", "1", "--metrics", *tables, "--out", results / "table1.tsv")
    row = pd.read_csv(results / "table1.tsv", sep="\t").iloc[0]
    assert (row["n"], row["folds"]) == (36, 3)
    where = ("--dataset", results / "dataset", "--folds", results / "folds.tsv", "--synthesis", results / "synthesis")
    run("classify", *where, "--methods", "copy", "--atlas", "aal2", "--out", results / "diagnosis.tsv")
    assert pd.read_csv(results / "diagnosis.tsv", sep="\t")["n"].max() <= 36
