"""What each method costs in time and memory, from Snakemake's benchmark files."""

import logging
import re
from pathlib import Path

import pandas as pd

from dualglow.figures.style import in_order, method_name
from dualglow.figures.tables import Table, mean_sd
from dualglow.files import read_table

log = logging.getLogger(__name__)

STEPS = {"train": "Training", "synthesise": "Synthesis"}
MEASURED = ("minutes", "cpu_minutes", "memory_gb")
_NAME = re.compile(r"(?P<method>.+)_fold-(?P<fold>\d+)")


def read_benchmarks(folder: Path, methods: list[str]) -> pd.DataFrame:
    """Read `<folder>/{train,synthesise}/<method>_fold-<k>.tsv`.

    Returns
    -------
    One row per method, step and fold: minutes (wall), cpu_minutes, memory_gb (largest resident size of all processes of
    the job), the mean over repeats of a benchmark. No rows, and a warning, if the folder has none of these methods:
    benchmarks are by-products, without which nothing else is wrong.
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
        log.warning(
            "%s: holds no benchmark train/<method>_fold-<k>.tsv of %s; the table says that nothing was measured.",
            folder,
            ", ".join(methods),
        )
    return pd.DataFrame(rows, columns=["method", "step", "fold", *MEASURED])


def resources_table(benchmarks: pd.DataFrame, methods: list[str], simulated: bool) -> Table:
    """Wall time, CPU time and memory per method, mean ± sd over folds, for training and synthesis of a fold."""
    numbers, cells = [], []
    for method in in_order(methods):
        row: dict[str, object] = {"method": method}
        text: dict[str, object] = {"Method": method_name(method)}
        for step, name in STEPS.items():
            part = benchmarks[(benchmarks["method"] == method) & (benchmarks["step"] == step)]
            row[f"{step}_folds"] = len(part)
            for column in MEASURED:
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
    missing = [method_name(str(row["method"])) for row in numbers if not row["train_folds"]]
    if missing:
        caption += f" Training was not measured, or its benchmark files were removed: {', '.join(missing)}."
    return Table(pd.DataFrame(numbers), pd.DataFrame(cells), caption, "tab:resources", simulated)
