"""A trained model on one new T1: preprocessing, prediction, and the way back to the T1's own space."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import dualglow
from dualglow.cohort.scan import GROUPS
from dualglow.errors import InputError
from dualglow.figures.applied import Slices, applied_montage
from dualglow.figures.style import save_picture
from dualglow.files import write_json
from dualglow.models import Synthesiser
from dualglow.models.dualglow import DualGlow
from dualglow.preprocess.ants import workspace
from dualglow.preprocess.grid import MODEL_GRID
from dualglow.preprocess.images import load_3d, save
from dualglow.preprocess.intensity import t1_to_unit
from dualglow.preprocess.resample import to_mni
from dualglow.preprocess.t1 import PreparedT1, prepare_t1, to_native
from dualglow.training.checkpoint import load_model
from dualglow.training.synthesis import Sampling, predict_volume


@dataclass(frozen=True)
class Person:
    """Whom to synthesise: a raw T1 (scanner space, with skull); age in years, sex (F or M), diagnosis where known."""

    t1: Path
    age: float | None
    sex: str | None
    group: str | None = None


def apply_model(
    model_folder: Path,
    person: Person,
    out: Path,
    sampling: Sampling,
    preset: str,
    engine: str,
    seed: int,
) -> None:
    """Write the synthetic PET, the samples' standard deviation and quantiles (SUVR) in MNI152 (1.5 mm) and T1 space.

    Outputs in `out`: `space-{MNI152,T1w}_desc-{synthetic,std,q05,…}_pet.nii.gz`, `synthetic.png` and, last,
    `apply.json`.

    Raises
    ------
    InputError
        If the model or the T1 cannot be read, the T1 is not a whole head, or the model is of another grid.
    """
    model, card = load_model(model_folder)
    _check_grid(card, model_folder)
    _check_person(model, person, model_folder)
    with workspace() as workdir:
        prepared = prepare_t1(person.t1, workdir, preset, seed, engine)
        mask = np.asarray(load_3d(prepared.carried.model_mask).dataobj) > 0
        mri = t1_to_unit(np.asarray(load_3d(prepared.carried.model_t1).dataobj), mask)
        maps = predict_volume(model, card, mri, mask, person.age, person.sex, person.group, sampling, seed)
        for description, volume in maps.items():
            _save(volume, description, prepared, out)
        slices = Slices(mri, maps["synthetic"], maps["std"], MODEL_GRID.matrix)
    label = f"{person.t1.name}, {card['method']}, fold {card['fold']}"
    simulated = bool(card["simulated"])
    save_picture(applied_montage(slices, label, trained_on_simulated=simulated), out / "synthetic.png")
    write_json(_record(card, person, preset, sampling, seed), out / "apply.json")


def _check_grid(card: dict[str, Any], folder: Path) -> None:
    if tuple(card["shape"]) != MODEL_GRID.shape or not np.allclose(card["affine"], MODEL_GRID.matrix):
        raise InputError(f"{folder}: is a model of the grid {card['shape']}, not of the model grid {MODEL_GRID.shape}.")


def _check_person(model: Synthesiser, person: Person, folder: Path) -> None:
    """A conditional model needs to know what it was conditioned on."""
    names = model.names if isinstance(model, DualGlow) else ()
    if missing := [name for name in names if getattr(person, name) is None]:
        raise InputError(f"{folder}: was trained on {', '.join(names)}. Give {', '.join(f'--{n}' for n in missing)}.")
    if person.group is not None and person.group not in GROUPS:
        raise InputError(f"--group {person.group}: choose one of {', '.join(GROUPS)}.")


def _save(volume: np.ndarray, description: str, prepared: PreparedT1, out: Path) -> None:
    """Carry one volume from the model grid to MNI152 and to the T1, each in one interpolation."""
    on_model_grid = prepared.converted.with_name(f"{description}.nii.gz")
    save(MODEL_GRID.image(volume), on_model_grid)
    to_mni(on_model_grid, out / f"space-MNI152_desc-{description}_pet.nii.gz")
    to_native(on_model_grid, prepared, out / f"space-T1w_desc-{description}_pet.nii.gz")


def _record(card: dict[str, Any], person: Person, preset: str, sampling: Sampling, seed: int) -> dict[str, Any]:
    kept = ("method", "fold", "split_hash", "reference_region", "simulated", "window")
    return {
        "t1": str(person.t1.resolve()),
        "age": person.age,
        "sex": person.sex,
        "group": person.group,
        "units": "SUVR",
        "preset": preset,
        **asdict(sampling),
        "seed": seed,
        "dualglow": dualglow.__version__,
        "model": {name: card.get(name) for name in kept},
    }
