from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from dualglow.cli import app
from dualglow.figures.resources import read_benchmarks, resources_table

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"


def benchmark(path: Path, seconds: str, rss: str, cpu: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEAD}\n{seconds}\t0:02:00\t{rss}\t1\t1\t1\t1\t1\t50\t{cpu}\n")


def test_time_and_memory_are_means_over_folds(tmp_path: Path) -> None:
    benchmark(tmp_path / "train" / "dualglow-conditional_fold-0.tsv", "60", "1024", "30")
    benchmark(tmp_path / "train" / "dualglow-conditional_fold-10.tsv", "180", "3072", "90")
    benchmark(tmp_path / "train" / "old_fold-0.tsv", "60", "1", "1")
    benchmark(tmp_path / "synthesise" / "mean_fold-0.tsv", "30", "NA", "6")  # too short for Snakemake to measure
    found = read_benchmarks(tmp_path, ["dualglow-conditional", "mean"])
    table = resources_table(found, ["mean", "dualglow-conditional"], simulated=True)
    assert table.numbers["method"].tolist() == ["dualglow-conditional", "mean"]
    row = table.numbers.iloc[0]
    assert (row["train_folds"], row["train_minutes_mean"], row["train_memory_gb_mean"]) == (2, 2, 2)
    assert table.cells.loc[0, "Training, CPU min"] == "1.0 ± 0.7"
    assert table.cells.loc[0, "Synthesis, min"] == "n/a"
    assert (table.cells.loc[1, "Synthesis, min"], table.cells.loc[1, "Synthesis, GB"]) == ("0.5", "n/a")
    assert "simulated cohort" in table.full_caption


def test_without_benchmarks_the_table_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody who tidied up must still get all other tables: this one is made, and holds no number."""
    out = tmp_path / "tables" / "resources.tsv"
    words = ["table", "resources", "--benchmarks", str(tmp_path / "gone"), "--methods", "mean", "--methods", "cgan"]
    outcome = CliRunner().invoke(app, [*words, "--out", str(out)])
    assert outcome.exit_code == 0
    assert "gone: holds no benchmark" in caplog.text
    table = pd.read_csv(out, sep="\t").set_index("method")
    assert (table["train_folds"] == 0).all()
    assert table.filter(like="minutes").isna().all(axis=None)
    assert "benchmark files were removed: cGAN, Mean PET." in out.with_suffix(".tex").read_text()


def test_a_method_without_benchmark_is_named_beside_the_others(tmp_path: Path) -> None:
    benchmark(tmp_path / "train" / "mean_fold-0.tsv", "60", "1024", "30")
    table = resources_table(read_benchmarks(tmp_path, ["mean", "cgan"]), ["mean", "cgan"], simulated=False)
    assert table.caption.endswith("removed: cGAN.")
    assert table.cells.set_index("Method").loc["Mean PET", "Training, min"] == "1.0"
