"""Does the training stay stable over the paper's 90 epochs at its learning rate of 0.001, with no warm-up?

Two networks, three seeds each, two pairs a step, on fold 0 of a packed dataset (by default the demo's, which is of
simulated people): the demo's network, and a deeper one with the paper's prior. The deeper one sees the middle
48×72×48 voxels of each volume, so that all six trainings fit into 40 minutes of one core.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from dualglow.models.dualglow import DualGlow
from dualglow.preprocess.pack import Dataset
from dualglow.training.checkpoint import LAST, load_model
from dualglow.training.data import Pairs, Scaling, in_order, read_fold
from dualglow.training.fold import Request, train_fold
from dualglow.training.guard import DivergenceError
from dualglow.training.optimisation import Optimisation
from tests.benchmarks.models import keep
from tests.benchmarks.precision import round_trip
from tests.benchmarks.report import Row, machine, table

DEMO = Path("results/demo")
NETWORKS: dict[str, dict[str, Any]] = {
    "demo (1 × 2, 16 hidden, spatial prior)": {"levels": 1, "steps": 2, "hidden": 16, "spatial_prior": True},
    "deeper (3 × 4, 32 hidden, paper's prior)": {"levels": 3, "steps": 4, "hidden": 32},
}
MIDDLE = (48, 72, 48)


class Case(NamedTuple):
    """One training."""

    network: str
    options: dict[str, Any]
    seed: int
    dataset: Path
    out: Path


def main() -> None:
    options = _options()
    if not (options.dataset.is_dir() and options.folds.is_file()):
        print(f"Stability: not measured, {options.dataset} or {options.folds} is missing; run `make demo` first.")
        return
    torch.set_num_threads(1)
    print(f"{options.epochs} epochs at learning rate {options.learning_rate}, batch 2, no warm-up\n{machine()}\n")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for case in _cases(options, Path(folder)):
            rows.append(_row(case, options))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(table(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=DEMO / "dataset")
    parser.add_argument("--folds", type=Path, default=DEMO / "cohort" / "folds.tsv")
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("--learning-rate", type=float, default=0.001)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", default="", help="of the networks, the one that starts so: demo or deeper")
    return parser.parse_args()


def _cases(options: argparse.Namespace, folder: Path) -> list[Case]:
    middle = middle_of(options.dataset, folder / "middle")
    return [
        Case(
            name,
            network,
            seed,
            middle if network["levels"] > 1 else options.dataset,
            folder / f"{name.split()[0]}-{seed}",
        )
        for name, network in NETWORKS.items()
        if name.startswith(options.only)
        for seed in options.seeds
    ]


def middle_of(dataset: Path, folder: Path) -> Path:
    """A copy of the dataset with the middle MIDDLE voxels of every volume."""
    folder.mkdir()
    for name in ("volumes.npy", "masks.npy"):
        whole = np.load(dataset / name, mmap_mode="r")
        starts = [(size - middle) // 2 for size, middle in zip(whole.shape[-3:], MIDDLE, strict=True)]
        cut = tuple(slice(start, start + middle) for start, middle in zip(starts, MIDDLE, strict=True))
        np.save(folder / name, whole[(..., *cut)])
    info = json.loads((dataset / "grid.json").read_text())
    affine = np.array(info["affine"])
    affine[:3, 3] += affine[:3, :3] @ starts
    (folder / "grid.json").write_text(json.dumps(info | {"shape": MIDDLE, "affine": affine.tolist()}))
    (folder / "pairs.tsv").write_text((dataset / "pairs.tsv").read_text())
    return folder


def _row(case: Case, options: argparse.Namespace) -> Row:
    how = Optimisation(options.epochs, batch_size=2, learning_rate=options.learning_rate, seed=case.seed)
    request = Request(case.dataset, options.folds, 0, "dualglow", case.out, case.options | {"memory": "plain"}, how)
    stopped = "no"
    try:
        train_fold(request, torch.device("cpu"))
    except DivergenceError as error:
        stopped = str(error)
    curve = pd.read_csv(case.out / "training.tsv", sep="\t") if (case.out / "training.tsv").exists() else None
    done = _of_curve(curve) if curve is not None else dict.fromkeys(CURVE, "none")
    there_and_back = _round_trip(case, options.folds) if stopped == "no" else "none"
    return {"network": case.network, "seed": case.seed, **done, "there and back": there_and_back, "stopped": stopped}


CURVE = ("PET bits, training", "PET bits, validation", "MAE, validation (SUVR)", "gradient norm (highest epoch mean)")


def _of_curve(curve: pd.DataFrame) -> dict[str, object]:
    """First → last epoch (lowest … highest of all), of what was trained on and what was not."""
    columns = ("pet_bits_train", "pet_bits_validation", "mae_validation")
    shown = [
        f"{v.iloc[0]:.3f} → {v.iloc[-1]:.3f} ({v.min():.3f} … {v.max():.3f})" for v in (curve[name] for name in columns)
    ]
    return dict(zip(CURVE, [*shown, float(curve["gradient_norm"].max())], strict=True))


def _round_trip(case: Case, folds: Path) -> float:
    """Of the last epoch's weights, over the validation PETs."""
    model, card = load_model(case.out)
    assert isinstance(model, DualGlow)
    model.load_state_dict(load_file(case.out / LAST))
    keep(model, "plain")
    dataset = Dataset.load(case.dataset)
    rows = read_fold(folds, 0, dataset).validation
    return max(round_trip(model, batch) for batch in in_order(Pairs(dataset, rows, Scaling.from_card(card)), 1))


if __name__ == "__main__":
    main()
