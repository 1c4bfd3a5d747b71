"""The verbs end to end, on a small results tree."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dualglow.cohort.splits import split_hash
from typer.testing import CliRunner

from dualglow.cli import app
from dualglow.errors import ConfigError, InputError
from dualglow.evaluation.heldout import read_folds

CONTRACT = [
    "method",
    "fold",
    "pair_id",
    "subject",
    "group",
    "sex",
    "age",
    "mae_mask",
    "cor_mask",
    "psnr_mask",
    "ssim_mask",
    "mae_box",
    "cor_box",
    "psnr_box",
    "ssim_box",
    "data_range",
    "split_hash",
    "simulated",
]


def run(*words: str | Path) -> None:
    outcome = CliRunner().invoke(app, [str(word) for word in words])
    if outcome.exception:
        raise outcome.exception


def evaluate(results, method: str, fold: int) -> Path:  # noqa: ANN001
    out = results.root / "metrics" / method / f"fold-{fold}.tsv"
    where = ("--dataset", results.root / "dataset", "--synthesis", results.synthesis(method, fold))
    run("evaluate", *where, "--folds", results.root / "folds.tsv", "--fold", fold, "--method", method, "--out", out)
    return out


def test_evaluate_measures_each_held_out_pair(results) -> None:  # noqa: ANN001
    table = pd.read_csv(evaluate(results, "copy", 1), sep="\t")
    assert table.columns.tolist() == CONTRACT
    assert len(table) == 12
    assert table["mae_mask"].to_numpy() == pytest.approx(0.1, abs=1e-5)
    assert table["psnr_mask"].to_numpy() == pytest.approx(20 * np.log10(25), abs=1e-3)
    assert set(table["split_hash"]) == {split_hash(read_folds(results.root / "folds.tsv"))}
    assert table["simulated"].all()


def test_a_method_that_copies_the_mean_scores_as_the_mean(results) -> None:  # noqa: ANN001
    table = pd.read_csv(evaluate(results, "mean", 0), sep="\t").set_index("pair_id")
    volumes = np.load(results.root / "dataset" / "volumes.npy")[:, 1]
    mask = np.load(results.root / "dataset" / "masks.npy")[0]
    test = results.pairs["pair_id"].isin(table.index).to_numpy()
    errors = np.abs(volumes[test] - volumes[~test].mean(axis=0))[:, mask].mean(axis=1)
    assert table["mae_mask"].to_numpy() == pytest.approx(errors, abs=1e-6)


def test_missing_and_extra_files_are_named(results) -> None:  # noqa: ANN001
    folder = results.synthesis("copy", 2)
    first = sorted(folder.iterdir())[0]
    first.rename(folder / "sub-other_ses-1_desc-synthetic_pet.nii.gz")
    with pytest.raises(InputError, match=r"lacks the synthetic PET of 1 \(sub-900S9"):
        evaluate(results, "copy", 2)
    (folder / "sub-other_ses-1_desc-synthetic_pet.nii.gz").rename(first)
    (folder / "sub-other_ses-1_desc-synthetic_pet.nii.gz").write_bytes(first.read_bytes())
    with pytest.raises(InputError, match="sub-other_ses-1.*does not hold out"):
        evaluate(results, "copy", 2)


def test_an_unknown_fold_is_named(results) -> None:  # noqa: ANN001
    with pytest.raises(ConfigError, match="fold 9 .* 0, 1, 2, 3"):
        evaluate(results, "copy", 9)


def test_classify_ranks_real_above_chance_and_mean_at_chance(results) -> None:  # noqa: ANN001
    out = results.root / "diagnosis.tsv"
    where = ("--dataset", results.root / "dataset", "--folds", results.root / "folds.tsv")
    methods = ("--synthesis", results.root / "synthesis", "--methods", "copy", "--methods", "mean")
    run("classify", *where, *methods, "--atlas", "aal2", "--out", out)
    table = pd.read_csv(out, sep="\t")
    assert table["method"].tolist() == ["majority", "real", "mri", "copy", "mean", "age-sex"] * 2
    ad = table[table["task"] == "AD vs CN"].set_index("method")
    assert ad.loc["real", "accuracy"] > 0.9
    assert ad.loc["copy", "accuracy"] == pytest.approx(ad.loc["real", "accuracy"], abs=0.13)
    assert (ad.loc["mean", "auc"], ad.loc["mri", "auc"]) == (0.5, 0.5)
    assert set(table["n_features"]) == {0, 2, 116}


def test_methods_with_different_folds_cannot_be_classified_together(results) -> None:  # noqa: ANN001
    results.synthesis("mean", 3).rename(results.root / "elsewhere")
    where = ("--dataset", results.root / "dataset", "--folds", results.root / "folds.tsv")
    methods = ("--synthesis", results.root / "synthesis", "--methods", "copy", "--methods", "mean")
    with pytest.raises(InputError, match="copy: 0, 1, 2, 3; mean: 0, 1, 2"):
        run("classify", *where, *methods, "--atlas", "aal2", "--out", results.root / "diagnosis.tsv")


def test_age_shows_the_same_people_in_real_and_synthetic(results) -> None:  # noqa: ANN001
    out = results.root / "roi_age.tsv"
    methods = ("--synthesis", results.root / "synthesis", "--methods", "copy")
    run("age", "--dataset", results.root / "dataset", *methods, "--atlas", "aal2", "--out", out)
    table = pd.read_csv(out, sep="\t")
    wide = table.pivot_table(index=["pair_id", "region"], columns="method", values="value")
    assert len(wide) == 48 * 3
    assert (wide["copy"] - wide["real"]).to_numpy() == pytest.approx(0.1, abs=1e-5)
    assert len(pd.read_csv(results.root / "roi_age_slopes.tsv", sep="\t")) == 2 * 3 * 3


def test_age_without_synthesis_measures_everyone(results) -> None:  # noqa: ANN001
    out = results.root / "roi_age.tsv"
    run("age", "--dataset", results.root / "dataset", "--atlas", "aal2", "--regions", "Thalamus", "--out", out)
    table = pd.read_csv(out, sep="\t")
    assert len(table) == 48
    assert set(table["region"]) == {"Thalamus"}


def test_figure_5_and_the_tables_from_files(results) -> None:  # noqa: ANN001
    metrics = [evaluate(results, method, fold) for method in ("copy", "mean") for fold in range(2)]
    figure = results.root / "figures" / "figure5"
    where = ("--dataset", results.root / "dataset", "--synthesis", results.root / "synthesis", "--method", "copy")
    run("figure", "5", *where, "--metrics", *metrics, "--out", figure)
    assert pd.read_csv(f"{figure}.tsv", sep="\t")["group"].tolist() == ["CN", "MCI", "AD"]
    run("table", "1", "--metrics", *metrics, "--out", results.root / "table1.tsv", "--print")
    assert pd.read_csv(results.root / "table1.tsv", sep="\t")["n"].tolist() == [24, 24]
    run("table", "3", "--pairs", results.root / "dataset" / "pairs.tsv", "--out", results.root / "table3.tsv")
    assert "simulated cohort" in (results.root / "table3.tex").read_text()
