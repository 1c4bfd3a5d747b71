from pathlib import Path

import pytest

from dualglow.errors import InputError
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


def test_a_folder_without_benchmarks_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no benchmark"):
        read_benchmarks(tmp_path, ["mean"])
