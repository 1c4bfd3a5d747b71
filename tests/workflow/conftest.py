"""Running the workflow as a user does."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[2]
Snakemake = Callable[..., subprocess.CompletedProcess]


def snakemake_command(settings: dict, *arguments: str) -> list[str]:
    """The command line of a run with these settings on top of the defaults; its lock is its own."""
    folder = next(parent for parent in Path(settings["results"]).parents if parent.is_dir())
    configfile = folder / "settings.yaml"
    configfile.write_text(yaml.safe_dump(settings))
    return [sys.executable, "-m", "snakemake", "--nolock", "--configfile", str(configfile), *arguments]


def run_snakemake(settings: dict, *arguments: str) -> subprocess.CompletedProcess:
    """Run `snakemake` from the repository's root and wait for it."""
    command = snakemake_command(settings, *arguments)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)


@pytest.fixture
def settings(tmp_path: Path) -> dict:
    """A configuration that reads and writes below tmp_path."""
    download = tmp_path / "download"
    download.mkdir()
    return {"results": str(tmp_path / "results"), "cohort": {"root": str(download)}}


@pytest.fixture
def snakemake() -> Snakemake:
    return run_snakemake


def names_in(report: Path, pairs: pd.DataFrame) -> list[str]:
    """Real names of people, scans and dated sessions that stand in a packed report: file names and contents."""
    with zipfile.ZipFile(report) as archive:
        content = b"\n".join(name.encode() + archive.read(name) for name in archive.namelist()).lower()
    names = [str(name) for column in ("subject", "t1_id", "pet_id", "pair_id") for name in pairs[column]]
    names += [name.split("_")[0].removeprefix("sub-") for name in pairs["pair_id"]]
    return [name for name in names if name.lower().encode() in content]


def write_cohort(settings: dict, n_pairs: int, n_folds: int = 10) -> list[str]:
    """Cohort tables of `n_pairs` people with empty raw files, as if scan, pair and split had run."""
    root, cohort = Path(settings["cohort"]["root"]), Path(settings["results"]) / "cohort"
    cohort.mkdir(parents=True)
    names = [f"900S{number:04d}" for number in range(n_pairs)]
    pairs = pd.DataFrame(
        {
            "pair_id": [f"sub-{name}_ses-20100101" for name in names],
            "subject": names,
            "t1_id": [f"I{number}" for number in range(n_pairs)],
            "pet_id": [f"I{n_pairs + number}" for number in range(n_pairs)],
            "t1_paths": [str(root / f"{name}_T1w.nii") for name in names],
            "pet_paths": [str(root / f"{name}_pet.nii") for name in names],
        }
    )
    for path in [*pairs["t1_paths"], *pairs["pet_paths"]]:
        Path(path).touch()
    for name in ("scans", "pairs", "exclusions"):
        pairs.to_csv(cohort / f"{name}.tsv", sep="\t", index=False)
    folds = pairs[["pair_id", "subject"]].merge(pd.Series(range(n_folds), name="fold"), how="cross")
    folds.assign(part="train").to_csv(cohort / "folds.tsv", sep="\t", index=False)
    return list(pairs["pair_id"])
