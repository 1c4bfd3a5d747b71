"""The demo through SLURM, by the command that the documentation gives; its results are those of this machine.

Every time with eight people, coarser T1s and two folds, every night as `make demo` runs it. Two of its methods: how
another one is trained makes no difference to a cluster.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.slurm.cluster import Cluster
from tests.slurm.compare import COMPARED, differences
from tests.slurm.conftest import FAST
from tests.workflow.conftest import ROOT

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm-demo")]  # both tests in one process

METHODS = ["dualglow", "mean"]
PARTS = ("cohort", "derivatives", "dataset", "qc", "benchmarks")
OF_METHODS = tuple(f"{folder}/{method}" for folder in ("models", "synthesis", "metrics") for method in METHODS)


@dataclass(frozen=True)
class Demo:
    """The demo's workflow with these methods, run on this machine and through SLURM, into two folders."""

    name: str
    changed: dict

    def run(self, where: str, *arguments: str) -> subprocess.CompletedProcess:
        """Run it with the results in `where`."""
        results = self.results(where)
        configfile = results.with_suffix(".yaml")
        settings = {"results": str(results.relative_to(ROOT)), "methods": METHODS, **self.changed}
        settings["evaluation"] = {"calibrated": METHODS}
        configfile.write_text(yaml.safe_dump(settings))
        command = ["--nolock", "--configfile", "config/demo.yaml", str(configfile), *arguments]
        done = subprocess.run([sys.executable, "-m", "snakemake", *command], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def through_slurm(self, *arguments: str) -> subprocess.CompletedProcess:
        return self.run("slurm", "--profile", "slurm", *FAST, *arguments)

    def results(self, where: str) -> Path:
        return ROOT / "results" / f"{self.name}-{where}"


@pytest.fixture(scope="module", params=["small", pytest.param("demo", marks=pytest.mark.slow)])
def demo(request: pytest.FixtureRequest, cluster: Cluster) -> Demo:
    """Both runs, from the beginning; of `make demo` what is there already is taken as this machine's."""
    (ROOT / "results").mkdir(exist_ok=True)
    made = small() if request.param == "small" else Demo("demo", {"cohort": {"root": "data/simulated-demo"}})
    for where in ("local", "slurm"):
        shutil.rmtree(made.results(where), ignore_errors=True)
    if made.name == "demo":
        take_over(ROOT / "results" / "demo", made.results("local"))
    made.run("local", "--cores", "2", "--", "all")
    done = made.through_slurm("--", "all")
    assert done.stderr.count("has been submitted with SLURM jobid") > 40
    return made


def small() -> Demo:
    """Eight people, T1s of 4 mm."""
    download = ROOT / "results" / "small-download"
    if not download.exists():
        made = ["simulate", "--out", str(download), "--subjects", "8", "--voxel", "4", "--jobs", "2"]
        subprocess.run([sys.executable, "-m", "dualglow", *made], check=True, cwd=ROOT)
    return Demo("small", {"cohort": {"root": str(download.relative_to(ROOT))}, "split": {"folds": 2}})


def take_over(finished: Path, results: Path) -> None:
    """What `make demo` made of these methods; tables and figures of fewer methods are others."""
    if not (finished / "report.zip").exists():
        subprocess.run(["make", "demo"], cwd=ROOT, check=True)
    for folder in (*PARTS, *OF_METHODS):
        shutil.copytree(finished / folder, results / folder, copy_function=os.link)


def test_the_demo_is_the_same_through_slurm(demo: Demo) -> None:
    local, remote = demo.results("local"), demo.results("slurm")
    assert len([path for path in local.rglob("*") if path.name.endswith(COMPARED)]) > 400
    assert (local / "report.zip").exists()
    assert (remote / "report.zip").exists()
    assert differences(local, remote) == []


def test_one_fold_is_trained_anew_and_nothing_else(demo: Demo) -> None:
    """-R train forces the training of this fold alone; other folds' files keep their time stamps."""
    remote = demo.results("slurm")
    before = {path: path.stat().st_mtime_ns for path in remote.rglob("*") if path.is_file()}
    demo.through_slurm("-R", "train", "--", "fold_1")
    still = {path: time for path, time in before.items() if path.exists()}  # logs of runs are tidied up
    changed = {path.relative_to(remote) for path, time in still.items() if path.stat().st_mtime_ns != time}
    made = {path for path in changed if path.parts[0] not in ("logs", "status.tsv")}
    assert Path("models/dualglow/fold-1/model.safetensors") in made
    assert {path for path in made if "fold-1" not in str(path)} == set()
    assert differences(demo.results("local"), remote) == []
