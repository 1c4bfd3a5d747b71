"""One training shared by the tasks of a real `srun`."""

import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dualglow.files import read_json
from tests.slurm.cluster import Cluster
from tests.training.commands import DUALGLOW, words
from tests.training.conftest import dataset, folds  # noqa: F401 fixtures

pytestmark = pytest.mark.slurm


@pytest.mark.parametrize(
    ("tasks", "per_node"),
    [(("-p", "gpu", "--nodes", "1", "--ntasks-per-node", "2"), 2), (("-p", "cpu", "--nodes", "2", "--ntasks", "2"), 1)],
)
def test_tasks_share_a_training(
    tasks: tuple[str, ...],
    per_node: int,
    cluster: Cluster,
    dataset: Path,  # noqa: F811
    folds: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one process would do it; the two nodes are this machine, whose nodes' names nobody else knows."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    subprocess.run([*DUALGLOW, *words(dataset, folds, alone)], check=True, capture_output=True)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    step = ["srun", "--time", "10", "--mem-per-cpu", "1000", *tasks, "--kill-on-bad-exit=1"]
    done = subprocess.run(
        [*step, *DUALGLOW, *words(dataset, folds, shared), "--gpus", str(per_node)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "epoch 3/3" in done.stderr
    one, two = load_file(alone / "last.safetensors"), load_file(shared / "last.safetensors")
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-5)
    assert read_json(shared / "model.json")["device"].startswith("2 × ")
