"""The whole demo through SLURM, by the command that the documentation gives; its results are those of this machine."""

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

LOCAL, REMOTE = ROOT / "results" / "demo", ROOT / "results" / "demo-slurm"


@pytest.fixture(scope="module")
def local() -> Path:
    """The results of `make demo`."""
    if not (LOCAL / "report.zip").exists():
        subprocess.run(["make", "demo"], cwd=ROOT, check=True)
    return LOCAL


def test_the_demo_is_the_same_through_slurm(local: Path, cluster: Cluster, tmp_path: Path) -> None:
    shutil.rmtree(REMOTE, ignore_errors=True)
    place = tmp_path / "place.yaml"
    place.write_text(yaml.safe_dump({"results": str(REMOTE.relative_to(ROOT))}))
    command = ["--profile", "slurm", *FAST, "--configfile", "config/demo.yaml", str(place), "--", "all"]
    done = subprocess.run([sys.executable, "-m", "snakemake", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stderr.count("has been submitted with SLURM jobid") > 50
    assert len([path for path in local.rglob("*") if path.name.endswith(COMPARED)]) > 500
    assert differences(local, REMOTE) == []
