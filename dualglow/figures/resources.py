"""What each method costs in time and memory, from Snakemake's benchmark files."""

import re
from pathlib import Path

import pandas as pd

from dualglow.errors import InputError
from dualglow.figures.style import in_order, method_name
from dualglow.figures.tables import Table, mean_sd
from dualglow.files import read_table

STEPS = {"train": "Training", "synthesise": "Synthesis"}
_NAME = re.compile(r"(?P<method>.+)_fold-(?P<fold>\d+)")


def read_benchmarks(folder: Path, methods: list[str]) -> pd.DataFrame:
    """Read `<folder>/{train,synthesise}/<method>_fold-<k>.tsv`.

    Returns
    -------
    One row per method, step and fold: minutes (wall), cpu_minutes, memory_gb (largest resident size of all processes of
    the job), the mean over repeats of a benchmark.

    Raises
    ------
    InputError
        If the folder has no benchmark of these methods.
    """
    rows = []
    for step in STEPS:
        for path in sorted((folder / step).glob("*.tsv")):
            found = _NAME.fullmatch(path.stem)
            if not found or found["method"] not in methods:
                continue
            table = read_table(path, ["s", "max_rss", "cpu_time"])
            s, rss, cpu = (pd.to_numeric(table[name], "coerce").mean() for name in ("s", "max_rss", "cpu_time"))
            row = {"method": found["method"], "step": step, "fold": int(found["fold"])}
            rows.append(row | {"minutes": s / 60, "cpu_minutes": cpu / 60, "memory_gb": rss / 1024})
    if not rows:
        raise InputError(f"{folder}: holds no benchmark train/<method>_fold-<k>.tsv of {', '.join(methods)}.")
    return pd.DataFrame(rows)


def resources_table(benchmarks: pd.DataFrame, methods: list[str], simulated: bool) -> Table:
    """Wall time, CPU time and memory per method, mean ± sd over folds, for training and synthesis of a fold."""
    numbers, cells = [], []
    for method in in_order(methods):
        row: dict[str, object] = {"method": method}
        text: dict[str, object] = {"Method": method_name(method)}
        for step, name in STEPS.items():
            part = benchmarks[(benchmarks["method"] == method) & (benchmarks["step"] == step)]
            row[f"{step}_folds"] = len(part)
            for column in ("minutes", "cpu_minutes", "memory_gb"):
                row |= {f"{step}_{column}_mean": part[column].mean(), f"{step}_{column}_sd": part[column].std()}
            text |= {f"{name}, min": mean_sd(part["minutes"], 1), f"{name}, CPU min": mean_sd(part["cpu_minutes"], 1)}
            text |= {f"{name}, GB": mean_sd(part["memory_gb"], 2)}
        numbers.append(row)
        cells.append(text)
    caption = (
        "Time and memory of a fold's training and of the synthesis of its test people: wall minutes, CPU minutes and "
        "largest resident memory of the job, mean ± sd over folds, as Snakemake measured them. Memory of a GPU is not "
        "in it. An interrupted training counts with its last part only."
    )
    return Table(pd.DataFrame(numbers), pd.DataFrame(cells), caption, "tab:resources", simulated)
