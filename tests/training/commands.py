"""`dualglow train` as a person runs it, as processes of their own; and what may happen to it in the middle."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file

NETWORK = ["--levels", "2", "--steps", "1", "--hidden", "4", "--spatial-prior", "--threads", "1", "--device", "cpu"]
DUALGLOW = [sys.executable, "-m", "dualglow"]

PLANTED = """
import importlib, os, signal, sys
os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # as `train` sets it; it must be set before PyTorch is imported
def plant(where, name, call, number, times):
    module, _, owner = where.partition(":")
    owner = getattr(importlib.import_module(module), owner) if owner else importlib.import_module(module)
    original, count = getattr(owner, name), 0
    def planted(*arguments, **named):
        nonlocal count
        count += 1
        if count == call:
            for _ in range(times):
                os.kill(os.getpid(), number)
        return original(*arguments, **named)
    setattr(owner, name, planted)
{plants}
from dualglow.cli import main
main()
"""


def planted(where: str, name: str, call: int, number: int, times: int = 1) -> list[str]:
    """The program `dualglow` that sends itself the signal `number` when `where`'s function is called so many times."""
    return [sys.executable, "-c", PLANTED.format(plants=f"plant({where!r}, {name!r}, {call}, {int(number)}, {times})")]


def words(dataset: Path, folds: Path, out: Path, *more: object) -> list[str]:
    """The words after `dualglow` of a training of three epochs of three steps."""
    start = ["train", "--dataset", dataset, "--folds", folds, "--fold", "0", "--out", out, *NETWORK]
    return list(map(str, [*start, "--epochs", "3", "--batch-size", "2", *more]))


def start(program: list[str], arguments: list[str], **environment: object) -> subprocess.Popen[str]:
    """The program with these arguments, and these environment variables beside ours."""
    given: Mapping[str, str] = {name: str(value) for name, value in environment.items()}
    whole = os.environ | {"OMP_NUM_THREADS": "1"} | given
    return subprocess.Popen([*program, *arguments], stderr=subprocess.PIPE, text=True, env=whole)


def finish(job: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status and what it said on standard error; a hang fails the test."""
    try:
        _, said = job.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        job.kill()
        raise
    return job.returncode, said


def complaints(said: str) -> list[str]:
    """The lines that are not progress."""
    return [line for line in said.splitlines() if line and not line.startswith(("epoch ", "Going on "))]


def table(folder: Path) -> pd.DataFrame:
    """training.tsv without the time that it took."""
    return pd.read_csv(folder / "training.tsv", sep="\t").drop(columns="seconds")


def same_bytes(first: Path, second: Path) -> bool:
    """Whether two models have the very same weights, of the best and the last epoch, and the same training.tsv."""
    weights = all(
        (first / n).read_bytes() == (second / n).read_bytes() for n in ("model.safetensors", "last.safetensors")
    )
    return weights and table(first).equals(table(second))


def farthest(first: Path, second: Path, name: str = "last.safetensors") -> float:
    """The largest difference of a weight."""
    a, b = load_file(first / name), load_file(second / name)
    assert a.keys() == b.keys()
    return max(float((a[key].double() - b[key].double()).abs().max()) for key in a if a[key].numel())


def saved(out: Path) -> dict:
    """The progress of an unfinished training."""
    return torch.load(out.parent / f".{out.name}.resume" / "last.ckpt", weights_only=True)["progress"]
