"""The demo through SLURM, by the command that the documentation gives; its results are those of this machine.

Three of its methods: how another one is trained makes no difference to a cluster, and each costs minutes.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.slurm.cluster import Cluster
from tests.slurm.compare import COMPARED, differences
from tests.slurm.conftest import FAST
from tests.workflow.conftest import ROOT

pytestmark = pytest.mark.slurm

DEMO = ROOT / "results" / "demo"
LOCAL, REMOTE = ROOT / "results" / "demo-local", ROOT / "results" / "demo-slurm"
METHODS = ["dualglow", "linear", "mean"]
OF_METHODS = ("models", "synthesis", "metrics")


@pytest.fixture(scope="module")
def local() -> Path:
    """What `make demo` made of these methods, and their tables and figures made on this machine."""
    if not (DEMO / "report.zip").exists():
        subprocess.run(["make", "demo"], cwd=ROOT, check=True)
    shutil.rmtree(LOCAL, ignore_errors=True)
    of_methods = [f"{folder}/{method}" for folder in OF_METHODS for method in METHODS]
    for folder in ("cohort", "derivatives", "dataset", "qc", "benchmarks", *of_methods):
        shutil.copytree(DEMO / folder, LOCAL / folder, copy_function=os.link)
    snakemake(LOCAL, "--cores", "2", "--", "all")
    return LOCAL


@pytest.fixture(scope="module")
def remote(cluster: Cluster) -> Path:
    """The same demo through SLURM, from the beginning."""
    shutil.rmtree(REMOTE, ignore_errors=True)
    done = through_slurm("--", "all")
    assert done.stderr.count("has been submitted with SLURM jobid") > 50
    return REMOTE


def through_slurm(*arguments: str) -> subprocess.CompletedProcess:
    return snakemake(REMOTE, "--profile", "slurm", *FAST, *arguments)


def snakemake(results: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the demo's workflow with these methods into another folder."""
    settings = results.with_suffix(".yaml")
    settings.write_text(yaml.safe_dump({"results": str(results.relative_to(ROOT)), "methods": METHODS}))
    command = ["--nolock", "--configfile", "config/demo.yaml", str(settings), *arguments]
    done = subprocess.run([sys.executable, "-m", "snakemake", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def test_the_demo_is_the_same_through_slurm(local: Path, remote: Path) -> None:
    assert len([path for path in local.rglob("*") if path.name.endswith(COMPARED)]) > 500
    assert differences(local, remote) == []


def test_one_fold_is_trained_anew_and_nothing_else(local: Path, remote: Path) -> None:
    """-R train forces the training of this fold alone; other folds' files keep their time stamps."""
    before = {path: path.stat().st_mtime_ns for path in remote.rglob("*") if path.is_file()}
    through_slurm("-R", "train", "--", "fold_1")
    still = {path: time for path, time in before.items() if path.exists()}  # logs of runs are tidied up
    changed = {path.relative_to(remote) for path, time in still.items() if path.stat().st_mtime_ns != time}
    made = {path for path in changed if path.parts[0] not in ("logs", "status.tsv")}
    assert Path("models/dualglow/fold-1/model.safetensors") in made
    assert {path for path in made if "fold-1" not in str(path)} == set()
    assert differences(local, remote) == []
