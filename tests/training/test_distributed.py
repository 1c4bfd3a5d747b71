"""Several processes that share one training, on the CPU: what they find is what one process finds.

The sums over a batch are taken in another order, so numbers agree to rounding: gradients to 1e-5 of the largest, the
weights after two epochs to 1e-5.
"""

import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from dualglow.errors import ConfigError
from dualglow.training.data import epoch_steps
from dualglow.training.numerics import choose_devices
from dualglow.training.processes import ALONE, Place, place
from tests.training.commands import (
    DUALGLOW,
    complaints,
    farthest,
    finish,
    planted,
    saved,
    start,
    table,
    words,
)

TRAINING = "dualglow.training.steps:Training"
UNEVEN = ["--epochs", 2, "--batch-size", 5]  # steps of five pairs and of one: of the last, one process has none
CONDITIONAL = ["--method", "dualglow-conditional", "--covariates", "age,sex"]  # one age is missing

GRADIENTS = """
import os, torch
class Shown(torch.optim.Adamax):
    def step(self, closure=None):
        torch.save([p.grad for group in self.param_groups for p in group["params"]], path)
        os._exit(0)  # with the gradient of the first step
torch.optim.Adamax = Shown
from dualglow.cli import main
main()
"""


def run(dataset: Path, folds: Path, out: Path, *more: object, program: list[str] = DUALGLOW) -> None:
    status, error = finish(start(program, words(dataset, folds, out, *more)))
    assert status == 0, error
    assert complaints(error) == []


def ranks(program: list[list[str]], arguments: list[str]) -> list[tuple[int, str]]:
    """Each process with a program of its own, as srun would start them; exit status and words of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    step = {"SLURM_STEP_NUM_TASKS": len(program), "SLURM_STEP_NUM_NODES": 1, "SLURM_STEP_NODELIST": "node[3-4]"}
    step |= {"SLURM_JOB_ID": 17, "SLURM_STEP_ID": 0, "MASTER_PORT": port}
    jobs = [start(each, arguments, SLURM_PROCID=rank, SLURM_LOCALID=rank, **step) for rank, each in enumerate(program)]
    return [finish(job) for job in jobs]


@pytest.mark.parametrize("memory", ["plain", "checkpoint", "invert"])
def test_the_gradient_is_that_of_the_whole_batch(dataset: Path, folds: Path, tmp_path: Path, memory: str) -> None:
    """Five pairs, of which one process has two and the other three; one of them has the person of unknown age."""
    arguments = words(dataset, folds, tmp_path / "model", *UNEVEN, *CONDITIONAL, "--memory", memory)
    paths = [tmp_path / f"{name}.pt" for name in ("alone", "first", "second")]
    programs = [[sys.executable, "-c", f"path = {str(path)!r}\n{GRADIENTS}"] for path in paths]
    assert finish(start(programs[0], arguments))[0] == 0
    results = ranks(programs[1:], [*arguments, "--gpus", "2"])
    assert [status for status, _ in results] == [0, 0], results
    alone, first, second = (torch.load(path) for path in paths)
    largest = max(float(gradient.abs().max()) for gradient in alone)
    assert largest > 0.01
    for one, other, whole in zip(first, second, alone, strict=True):
        assert torch.equal(one, other)
        assert float((one - whole).abs().max()) < 1e-5 * largest


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "dualglow"]


@pytest.mark.parametrize(
    ("program", "more"), [(DUALGLOW, []), (TORCHRUN, [*CONDITIONAL, "--ema-decay", 0.9])], ids=["--gpus", "torchrun"]
)
def test_the_model_does_not_depend_on_the_number_of_processes(
    dataset: Path,
    folds: Path,
    tmp_path: Path,
    undisturbed: Callable[..., Path],
    program: list[str],
    more: list[object],
) -> None:
    run(dataset, folds, tmp_path / "two", *UNEVEN, *more, "--gpus", 2, program=program)
    alone = undisturbed(*UNEVEN, *more)
    for name in ("model.safetensors", "last.safetensors"):
        assert farthest(alone, tmp_path / "two", name) < 1e-5
    one, two = table(alone), table(tmp_path / "two")
    assert list(one) == list(two)
    np.testing.assert_allclose(one.to_numpy(), two.to_numpy(), rtol=1e-5)
    assert "2 \\u00d7 CPU" in (tmp_path / "two" / "model.json").read_text()


def test_two_go_on_where_one_was_stopped(
    dataset: Path, folds: Path, tmp_path: Path, undisturbed: Callable[..., Path]
) -> None:
    broken = words(dataset, folds, tmp_path / "broken", *UNEVEN)
    assert finish(start(planted(TRAINING, "_step", 3, signal.SIGTERM), broken))[0] == 1
    assert (saved(tmp_path / "broken")["epoch"], saved(tmp_path / "broken")["step"]) == (1, 1)
    run(dataset, folds, tmp_path / "broken", *UNEVEN, "--gpus", 2)
    assert farthest(undisturbed(*UNEVEN), tmp_path / "broken") < 1e-5


def test_told_to_stop_by_one_all_stop_at_the_same_step(
    dataset: Path, folds: Path, tmp_path: Path, undisturbed: Callable[..., Path]
) -> None:
    """Only the process that does not write is told; then one process goes on."""
    arguments = words(dataset, folds, tmp_path / "broken", *UNEVEN, "--gpus", 2)
    results = ranks([DUALGLOW, planted(TRAINING, "_step", 3, signal.SIGTERM)], arguments)
    assert [status for status, _ in results] == [1, 1]
    said = [line for _, error in results for line in complaints(error)]
    assert len(said) == 1, said
    assert "after step 1 of epoch 2; that state is saved" in said[0]
    run(dataset, folds, tmp_path / "broken", *UNEVEN)
    assert farthest(undisturbed(*UNEVEN), tmp_path / "broken") < 1e-5


@pytest.mark.parametrize(
    ("victim", "stop"),
    [("starter", signal.SIGTERM), ("starter", signal.SIGALRM), ("starter", signal.SIGKILL), (0, signal.SIGKILL)],
)
def test_whoever_ends_all_end_with_one_line(
    dataset: Path, folds: Path, tmp_path: Path, victim: int | str, stop: signal.Signals
) -> None:
    """No process stays behind, and none waits for one that is gone; a starter that is killed cannot say anything."""
    arguments = words(dataset, folds, tmp_path / "model", "--epochs", 100_000, "--gpus", 2)
    job = start(DUALGLOW, arguments)
    last, deadline = tmp_path / ".model.resume" / "last.ckpt", time.monotonic() + 300
    while not last.exists() and job.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    children = sorted(psutil.Process(job.pid).children(), key=lambda child: int(child.environ()["RANK"]))
    assert len(children) == 2
    (psutil.Process(job.pid) if victim == "starter" else children[int(victim)]).send_signal(stop)
    status, error = finish(job)  # until every process has closed its standard error
    assert status == (-stop if (victim, stop) == ("starter", signal.SIGKILL) else 1)
    assert len(complaints(error)) == 1, error
    assert complaints(error)[0].startswith("dualglow train: ")
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    assert saved(tmp_path / "model")["epoch"] >= 1


def test_a_divergence_of_one_ends_all_with_its_layer(dataset: Path, folds: Path, tmp_path: Path) -> None:
    """A damaged pair is in the part of one process only: both name the term, the step and the layer."""
    volumes = np.load(dataset / "volumes.npy")
    volumes[epoch_steps(6, 2, seed=1, epoch=0)[-1][0], 0, 3, 3, 3] = np.nan  # a pair that initialises nothing
    np.save(dataset / "volumes.npy", volumes)
    arguments = words(dataset, folds, tmp_path / "model", "--gpus", 2, "--batch-size", 2)
    status, error = finish(start(DUALGLOW, arguments))
    assert status == 1
    assert len(complaints(error)) == 1, error
    assert "_bits is nan in epoch 1, step " in complaints(error)[0]
    assert "The first layer that is not finite is " in complaints(error)[0]


def test_mistakes_are_one_line(dataset: Path, folds: Path, tmp_path: Path) -> None:
    """Whether one process finds them before it starts the others, or all find them."""
    too_few = words(dataset, folds, tmp_path / "model", "--batch-size", 1, "--gpus", 2)
    missing = words(dataset, tmp_path / "none.tsv", tmp_path / "model", "--gpus", 2)
    for arguments, message in (
        (too_few, "--batch-size 1: fewer pairs in a step than processes that share it (2). Give 2 or more"),
        (missing, "none.tsv"),
    ):
        status, error = finish(start(DUALGLOW, arguments))
        assert (status, len(complaints(error))) == (1, 1), error
        assert message in error


def test_a_closed_form_is_not_shared(dataset: Path, folds: Path, tmp_path: Path) -> None:
    run(dataset, folds, tmp_path / "one", "--method", "mean")
    run(dataset, folds, tmp_path / "two", "--method", "mean", "--gpus", 2)
    names = ("model.safetensors", "model.json")
    assert all((tmp_path / "one" / n).read_bytes() == (tmp_path / "two" / n).read_bytes() for n in names)


def test_where_a_process_stands() -> None:
    torchrun = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    torchrun |= {"MASTER_ADDR": "node7", "MASTER_PORT": "1234"}
    assert place(torchrun, 4) == Place(5, 8, 1, 4, "node7", 1234)
    step = {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_NODES": "2"}
    step |= {"SLURM_JOB_ID": "23456", "SLURM_STEP_ID": "2", "SLURM_STEP_NODELIST": "gpu[07-08]"}
    assert place(step, 4) == Place(5, 8, 1, 4, "gpu07", 15_000 + 3458)
    assert place(step | {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "99"}, 4) == Place(5, 8, 1, 4, "10.0.0.1", 99)
    assert place(step | {"SLURM_STEP_NUM_NODES": "1"}, 8).address == "127.0.0.1"
    assert place({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, 8) is None  # a batch script, not a step: nobody started us
    assert place({"SLURM_STEP_NUM_TASKS": "1"}, 1) is ALONE
    with pytest.raises(ConfigError, match="--gpus 1: 4 processes were started on this node"):
        place(torchrun, 1)
    with pytest.raises(ConfigError, match="8 processes on 3 nodes"):
        place(step | {"SLURM_STEP_NUM_NODES": "3"}, 4)


def test_what_each_process_trains_on(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert choose_devices("cpu", 2) == [cpu, cpu]
    assert choose_devices("auto", 0) == choose_devices("cpu", 0) == [cpu]
    for name, gpus, message in (
        ("auto", -1, "0 is the CPU"),
        ("cuda", 0, "0 is the CPU"),
        ("abacus", 1, "choose auto"),
    ):
        with pytest.raises(ConfigError, match=message):
            choose_devices(name, gpus)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_devices("auto", 1) == [cpu]
    with pytest.raises(ConfigError, match="--gpus 4: PyTorch sees 0 here"):
        choose_devices("auto", 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert choose_devices("auto", 4) == [torch.device("cuda", index) for index in range(4)]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    assert choose_devices("auto", 4) == [torch.device("cuda", 0)] * 4  # srun --gpus-per-task=1
