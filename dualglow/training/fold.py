"""Train one method on one fold: from the dataset's folder to the model's folder."""

import shutil
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from dualglow.errors import ConfigError
from dualglow.files import write_table, written
from dualglow.models import METHODS, Batch, Synthesiser, build
from dualglow.preprocess.pack import Dataset
from dualglow.training import loop
from dualglow.training.checkpoint import LAST, save_model, save_weights, versions
from dualglow.training.curve import training_curve
from dualglow.training.data import Fold, Pairs, Scaling, dataset_hash, fit_scaling, in_order, read_fold, to_device
from dualglow.training.display import epoch_line
from dualglow.training.distributed import Processes
from dualglow.training.guard import DivergenceError
from dualglow.training.interruption import Interruption
from dualglow.training.numerics import device_name
from dualglow.training.optimisation import Optimisation
from dualglow.training.processes import ALONE, Place
from dualglow.training.resume import Progress, ResumeFolder
from dualglow.training.saving import Saving
from dualglow.training.seeds import derived_seed
from dualglow.training.steps import mae


@dataclass(frozen=True)
class Request:
    """What to train: `options` are the method's own, `window_percentile` sets the PET intensity window.

    Within an epoch the state is saved every `save_minutes`; see resume.py.
    """

    dataset: Path
    folds: Path
    fold: int
    method: str
    out: Path
    options: dict[str, Any] = field(default_factory=dict)
    optimisation: Optimisation = field(default_factory=Optimisation)
    window_percentile: float = 99.9
    save_minutes: float = 10.0


@dataclass(frozen=True)
class _Material:
    """What a training works with, once read."""

    dataset: Dataset
    fold: Fold
    scaling: Scaling
    train: Pairs
    validation: Pairs


def train_fold(request: Request, device: torch.device, place: Place = ALONE, told: Interruption | None = None) -> None:
    """Write model.safetensors, model.json, training.tsv and training.png into `request.out`.

    Everything fitted sees the training pairs only; model.safetensors is the epoch with the lowest MAE of the validation
    people, last.safetensors beside it the last one (of iterative methods). Of several processes, each at its `place`,
    the leading one writes. `told` is what may stop it, see interruption.py.
    """
    if request.method not in METHODS:
        raise ConfigError(f"--method {request.method}: unknown. Choose one of {', '.join(METHODS)}.")
    if METHODS[request.method].iterative:
        with Processes(place, device, request.optimisation.precision) as processes:
            request.optimisation.check_shared(processes.size)
            _train_iterative(request, processes, told or Interruption())
    elif place.leads:  # a closed form is no work to share
        _fit_closed_form(request, device)


def _read(request: Request) -> _Material:
    dataset = Dataset.load(request.dataset)
    fold = read_fold(request.folds, request.fold, dataset)
    scaling = fit_scaling(dataset, fold.train, request.window_percentile)
    train, validation = (Pairs(dataset, rows, scaling) for rows in (fold.train, fold.validation))
    return _Material(dataset, fold, scaling, train, validation)


def _settings(request: Request, material: _Material) -> dict[str, Any]:
    """All that decides the weights; an unfinished training is resumed only if every one is the same."""
    return {
        "method": request.method,
        **{f"model.{name}": value for name, value in request.options.items()},
        **asdict(request.optimisation),
        "window_percentile": request.window_percentile,
        "split_hash": material.fold.split_hash,
        "dataset_hash": dataset_hash(request.dataset),
        "dualglow": versions()["dualglow"],
        "torch": versions()["torch"],
    }


def _build(request: Request, material: _Material) -> Synthesiser:
    torch.manual_seed(derived_seed(request.optimisation.seed, "weights"))
    return build(request.method, material.dataset.grid.shape, request.options)


def _train_iterative(request: Request, processes: Processes, told: Interruption) -> None:
    material = _read(request)
    model = _build(request, material)
    resume = ResumeFolder(request.out, _settings(request, material) if processes.leads else {})
    progress = processes.from_leader(resume.load() if processes.leads else Progress())
    logs = request.out / "tensorboard"
    done_before = progress.epoch
    if processes.leads and not progress.begun:
        shutil.rmtree(logs, ignore_errors=True)

    def epoch_done(now: Progress) -> None:
        if processes.leads:
            print(epoch_line(now, request.optimisation.epochs, done_before), file=sys.stderr, flush=True)
            _write_curve(request, material, now)

    saving = Saving(told, processes, request.save_minutes, resume.save)
    how = request.optimisation
    loop.fit(model, material.train, material.validation, how, processes, progress, saving, epoch_done, logs)
    if not progress.best_epoch:
        raise DivergenceError("the validation error was never finite. Train with a lower --learning-rate.")
    if processes.leads:
        save_weights(progress.judged, request.out / LAST)  # before the best take their place in the model
        model.load_state_dict(resume.best_weights(progress))
        _write(request, material, model, resume.settings, progress, processes.name)
        resume.remove()


def _fit_closed_form(request: Request, device: torch.device) -> None:
    started = time.monotonic()
    material = _read(request)
    model = _build(request, material)
    (request.out / LAST).unlink(missing_ok=True)  # of another training
    loop.initialise(model.to(device), material.train, request.optimisation, device)
    model.eval()
    errors = {
        f"mae_{part}": _mean_error(model, pairs, device)
        for part, pairs in (("train", material.train), ("validation", material.validation))
    }
    record = {"epoch": 0, **errors, "seconds": round(time.monotonic() - started, 2)}
    _write(request, material, model, _settings(request, material), Progress(records=[record]), device_name(device))


def _write(
    request: Request,
    material: _Material,
    model: Synthesiser,
    settings: dict[str, Any],
    progress: Progress,
    machine: str,
) -> None:
    save_model(request.out, model, _card(request, material, settings, progress, machine))
    _write_curve(request, material, progress)


def _mean_error(model: Synthesiser, pairs: Pairs, device: torch.device) -> float:
    """MAE over these pairs (SUVR, brain mask)."""
    batches: list[Batch] = list(to_device(in_order(pairs, 1), device))
    return sum(float(mae(model, batch, pairs.scaling.window)) for batch in batches) / len(pairs)


def _card(
    request: Request, material: _Material, settings: dict[str, Any], progress: Progress, machine: str
) -> dict[str, Any]:
    """The content of model.json."""
    dataset, fold = material.dataset, material.fold
    return {
        "method": request.method,
        "options": request.options,
        "shape": list(dataset.grid.shape),
        "affine": [[float(value) for value in row] for row in dataset.grid.affine],
        "space": dataset.info.get("space"),
        "reference_region": dataset.info.get("reference_region"),
        **material.scaling.as_card(),
        "fold": fold.number,
        "split_hash": fold.split_hash,
        "dataset_hash": settings["dataset_hash"],
        "pairs": {"train": len(fold.train), "validation": len(fold.validation)},
        "seed": request.optimisation.seed,
        "optimisation": asdict(request.optimisation) if progress.best_epoch else None,
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "best_error": progress.best_error if progress.best_epoch else None,
        "simulated": bool(dataset.info.get("simulated", False)),
        "device": machine,
        "precision": request.optimisation.precision if progress.best_epoch else "fp32",
        "versions": versions(),
    }


def _write_curve(request: Request, material: _Material, progress: Progress) -> None:
    table = pd.DataFrame(progress.records)
    write_table(table, request.out / "training.tsv")
    simulated = " · simulated cohort" if material.dataset.info.get("simulated") else ""
    title = f"{request.method} · fold {request.fold}{simulated}"
    with written(request.out / "training.png") as part:
        training_curve(table, title, progress.best_epoch).savefig(part, dpi=150)
