"""Which settings suit each method? Every network gets as many trials as the others, each of the same CPU time.

On one fold of a packed dataset of people whom no comparison uses (by default the demo's, simulated): its training
people train, its test people are scored, by the lowest MAE that any epoch reaches. The best row of each method is what
config/comparison.yaml has. dualglow-conditional takes what dualglow takes. linear and mean are closed forms.
"""

import argparse
import json
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from dualglow.files import read_table, write_table
from dualglow.training.fold import Request, train_fold
from dualglow.training.guard import DivergenceError
from dualglow.training.interruption import Interruption, StoppedError
from dualglow.training.optimisation import Optimisation
from tests.benchmarks.report import Row, machine, table

DEMO = Path("results/demo")
ADVERSARIAL = {"optimiser": "adam", "learning_rate": 0.001, "beta1": 0.5}
ADAM = {"optimiser": "adam", "learning_rate": 0.001}
SLOW = {"learning_rate": 0.0002}
START: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dualglow": ({"levels": 1, "steps": 4, "hidden": 32, "spatial_prior": True, "memory": "plain"}, {}),
    "cgan": ({"width": 6, "from_mean": True}, ADVERSARIAL),
    "ucgan": ({"width": 8, "from_mean": True}, ADVERSARIAL),
    "cvae": ({"width": 8, "code": 4, "from_mean": True}, ADAM),
    "pix2pix": ({"width": 8, "from_mean": True}, ADVERSARIAL),
    "iglow": ({"levels": 3, "steps": 4, "hidden": 32, "iterations": 10, "memory": "plain"}, {}),
    "linear": ({"pseudo_people": 16}, {}),
    "mean": ({}, {}),
}
"""Each method's first trial: its options, and how it is trained."""

CHANGES: dict[str, list[dict[str, Any]]] = {
    "dualglow": [SLOW, {"levels": 2}, {"levels": 3}, {"hidden": 64}, {"spatial_prior": False, "levels": 3}],
    "cgan": [SLOW, {"width": 12}, {"adversarial_weight": 0.01}, {"gradient_weight": 0.1}, {"from_mean": False}],
    "ucgan": [SLOW, {"width": 16}, {"adversarial_weight": 0.01}, {"gradient_weight": 0.1}, {"from_mean": False}],
    "cvae": [SLOW, {"width": 16}, {"code": 16}, {"kl_weight": 0.2}, {"from_mean": False}],
    "pix2pix": [SLOW, {"width": 16}, {"l1_weight": 1000.0}, {"dropout": 0.2}, {"from_mean": False}],
    "iglow": [SLOW, {"levels": 1}, {"levels": 4}, {"hidden": 64}, {"iterations": 30}],
    "linear": [{"pseudo_people": 0}],
    "mean": [],
}
"""One thing that each further trial does otherwise: an option, or how it is trained."""

SWAPPED = {"train": "train", "validation": "test", "test": "validation"}


class Budget(Interruption):
    """Ends a training after so many seconds of CPU time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.end = time.process_time() + seconds

    @property
    def told(self) -> bool:
        if time.process_time() > self.end:
            self.name = "the end of its time"
        return bool(self.name)


def main() -> None:
    options = _options()
    if not (options.dataset.is_dir() and options.folds.is_file()):
        print(f"Tuning: not done, {options.dataset} or {options.folds} is missing; run `make demo` first.")
        return
    torch.set_num_threads(1)
    print(f"{options.minutes:g} CPU minutes for every trial, batch 2\n{machine()}\n")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        folds = _scored(options.folds, options.fold, Path(folder))
        for method in options.methods:
            for number, change in enumerate([{}, *CHANGES[method]]):
                rows.append(_trial(method, change, folds, Path(folder) / f"{method}-{number}", options))
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(table(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=DEMO / "dataset")
    parser.add_argument("--folds", type=Path, default=DEMO / "cohort" / "folds.tsv")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=2.5)
    parser.add_argument("--methods", nargs="+", choices=START, default=list(START))
    return parser.parse_args()


def _scored(folds: Path, fold: int, folder: Path) -> Path:
    """That fold alone, with its test people as those whose error is measured after every epoch."""
    split = read_table(folds, ["fold", "pair_id", "part"])
    chosen = split[split["fold"].astype(int) == fold]
    path = folder / "folds.tsv"
    write_table(chosen.assign(part=chosen["part"].map(SWAPPED)), path)
    return path


def settings(method: str, change: dict[str, Any]) -> tuple[dict[str, Any], Optimisation]:
    """The network's options of a trial, and how it is trained, without an end."""
    network, training = START[method]
    how = {name: value for name, value in change.items() if name in Optimisation.__dataclass_fields__}
    network = network | {name: value for name, value in change.items() if name not in how}
    return network, Optimisation(epochs=10_000, batch_size=2, **training | how)


def _trial(method: str, change: dict[str, Any], folds: Path, out: Path, options: argparse.Namespace) -> Row:
    network, optimisation = settings(method, change)
    request = Request(options.dataset, folds, options.fold, method, out, network, optimisation)
    stopped = ""
    try:
        with suppress(StoppedError):
            train_fold(request, torch.device("cpu"), told=Budget(60 * options.minutes))
    except DivergenceError as error:
        stopped = str(error)
    curve = pd.read_csv(out / "training.tsv", sep="\t") if (out / "training.tsv").exists() else pd.DataFrame()
    what = ", ".join(f"{name} {value}" for name, value in change.items()) or "start"
    return {"method": method, "change": what, **_of_curve(curve), "stopped": stopped}


def _of_curve(curve: pd.DataFrame) -> dict[str, object]:
    if curve.empty:
        return {"epochs": 0, "best epoch": 0, "MAE (SUVR)": "none", "of the last epoch": "none"}
    error = curve["mae_validation"]
    return {
        "epochs": len(curve),
        "best epoch": int(curve["epoch"][error.idxmin()]),
        "MAE (SUVR)": f"{error.min():.4f}",
        "of the last epoch": f"{error.iloc[-1]:.4f}",
    }


if __name__ == "__main__":
    main()
