# Names of files and choices of inputs that several rules share.
import json
import pandas as pd
from functools import cache
from pathlib import Path
from snakemake.utils import validate as validate_table

from dualglow.preprocess import derivatives

RESULTS = config["results"]
METHODS = list(config["models"])
FOLDS = range(config["split"]["folds"])
PAIRS_SCHEMA = workflow.source_path("../schemas/pairs.schema.yaml")
PAIR = "sub-{sub}_ses-{ses}"


def derivative(datatype, suffix, ext=".nii.gz", pair=PAIR, **entities):
    """The path of a preprocessed file of one pair; the one place that knows is dualglow.preprocess.derivatives."""
    root = Path(RESULTS) / "derivatives"
    return str(derivatives.derivative(root, pair, datatype, suffix, ext, **entities))


def for_every_pair(*arguments, **entities):
    """An input function: this derivative of every pair of the cohort, once the pairs are known."""

    def paths(wildcards):
        return [derivative(*arguments, pair=pair, **entities) for pair in pairs().index]

    return paths


def pairs():
    """The pairs of the cohort, by pair_id."""
    path = Path(checkpoints.pair.get().output.pairs)
    return read_pairs(path, path.stat().st_mtime_ns)


@cache
def read_pairs(path, changed):
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    validate_table(table, PAIRS_SCHEMA)
    return table.set_index("pair_id")


def raw(column):
    """An input function: the raw files of this pair's T1 (t1_paths) or PET (pet_paths)."""

    def paths(wildcards):
        return pairs().loc[PAIR.format(**wildcards), column].split(";")

    return paths


def download(wildcards):
    """Nothing, as the download is read in place; if it is not there, a missing input that says what to do."""
    root = Path(config["cohort"]["root"])
    if root.is_dir() or Path(RESULTS, "cohort", "scans.tsv").exists():
        return []
    return f"{root} (no such folder: set cohort.root to your unzipped download or BIDS dataset)"


def model_options(wildcards):
    return flags(config["models"][wildcards.method])


def flags(options):
    """Configuration keys as command-line options: {prior_weight: 0.001} becomes --prior-weight 0.001."""
    return " ".join(
        flag(f"--{name.replace('_', '-')}", value) for name, value in options.items()
    )


def flag(name, value):
    if isinstance(value, bool):
        return name if value else name.replace("--", "--no-", 1)
    if isinstance(value, list):
        return f"{name} {','.join(map(str, value))}"
    return f"{name} {value}"


def of_every_fold(pattern, methods=METHODS):
    """This file of every method and fold."""
    return collect(pattern, method=methods, fold=FOLDS)
