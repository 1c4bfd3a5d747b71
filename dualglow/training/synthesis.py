"""From T1 to PET with a trained model: the prediction and its standard deviation, in SUVR."""

import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from dualglow.errors import ConfigError, DualGlowError, InputError
from dualglow.files import write_json
from dualglow.models import Synthesiser
from dualglow.preprocess.pack import Dataset
from dualglow.training.checkpoint import load_model
from dualglow.training.data import Fold, Scaling, read_fold
from dualglow.training.seeds import derived_seed


@torch.no_grad()
def predict_volume(
    model: Synthesiser,
    card: dict[str, Any],
    mri: np.ndarray,
    mask: np.ndarray,
    age: float | None,
    sex: str | None,
    samples: int,
    temperature: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """PET of one person at temperature 0, and the voxelwise sd of `samples` samples at `temperature`.

    Parameters
    ----------
    model, card
        As `load_model` returns them.
    mri, mask
        (X, Y, Z) on the model grid of the card: T1 in [0, 1] as `pack` scales it, and the brain mask.
    age, sex
        Years and F or M; None or n/a if unknown.

    Returns
    -------
    Two float32 arrays (X, Y, Z) in SUVR, 0 outside the mask. PET is cut to [0, window], the range of the training.

    Raises
    ------
    InputError, ConfigError, DualGlowError
        If the shape is not the card's, `samples` is below 2, or the model yields values that are not finite.
    """
    if samples < 2:
        raise ConfigError(f"--samples {samples}: a standard deviation needs at least 2.")
    if list(mri.shape) != list(card["shape"]):
        raise InputError(f"the T1 has the shape {mri.shape}, the model {tuple(card['shape'])}. Resample it first.")
    scaling = Scaling.from_card(card)
    device = next(iter(model.state_dict().values())).device
    image, inside = (torch.from_numpy(np.array(v, dtype=np.float32))[None, None].to(device) for v in (mri, mask))
    covariates = torch.from_numpy(scaling.covariates(age, sex))[None].to(device)
    generator = torch.Generator(device).manual_seed(seed)
    prediction = _in_range(model.predict(image, covariates, inside))
    mean, squares = torch.zeros_like(prediction, dtype=torch.float64), torch.zeros_like(prediction, dtype=torch.float64)
    for count in range(1, samples + 1):  # Welford: one sample in memory, no cancellation
        sample = _in_range(model.sample(image, covariates, inside, temperature, generator)).double()
        change = sample - mean
        mean += change / count
        squares += change * (sample - mean)
    sd = (squares / (samples - 1)).sqrt()
    return _suvr(prediction, scaling), _suvr(sd, scaling)


def _in_range(pet: Tensor) -> Tensor:
    if not torch.isfinite(pet).all():
        raise DualGlowError("the model yields values that are not finite. Train it with a lower --learning-rate.")
    return pet.clamp(0, 1)


def _suvr(pet: Tensor, scaling: Scaling) -> np.ndarray:
    return (pet * scaling.window)[0, 0].float().cpu().numpy()


def synthesise_fold(
    model_folder: Path,
    dataset_folder: Path,
    folds: Path,
    fold: int,
    out: Path,
    samples: int,
    temperature: float,
    seed: int,
    device: torch.device,
) -> list[str]:
    """Write PET and sd (SUVR, the grid's affine) of every test pair of `fold` into `out`, a folder whole or absent.

    Each pair has a generator of its own, so it does not matter which others are synthesised. Returns the pair_ids.
    Raises InputError if the model was trained on another split than this one: test people may be among its training.
    """
    model, card = load_model(model_folder, device)
    dataset = Dataset.load(dataset_folder)
    chosen = read_fold(folds, fold, dataset)
    _check_split(card, chosen, model_folder, folds)
    _check_grid(card, dataset, model_folder, dataset_folder)
    part = _fresh_part(out)
    names = dataset.pairs.iloc[chosen.test]["pair_id"].tolist()
    for row, name in zip(chosen.test, names, strict=True):
        person = dataset.pairs.iloc[row]
        mri, mask = dataset.volumes[row, 0], dataset.masks[row]
        own_seed = derived_seed(seed, "sample", name)
        try:
            images = predict_volume(
                model, card, mri, mask, person.get("age"), person.get("sex"), samples, temperature, own_seed
            )
        except DualGlowError as error:
            raise type(error)(f"{name}: {error}") from error
        for description, array in zip(("synthetic", "std"), images, strict=True):
            nib.save(dataset.grid.image(array), part / f"{name}_desc-{description}_pet.nii.gz")
    settings = {"samples": samples, "temperature": temperature, "seed": seed, "units": "SUVR"}
    kept = ("method", "fold", "split_hash", "reference_region", "simulated", "versions")
    write_json({**{name: card.get(name) for name in kept}, **settings}, part / "synthesis.json")
    _replace(part, out)
    return names


def _check_split(card: dict[str, Any], fold: Fold, model_folder: Path, folds: Path) -> None:
    if card["fold"] != fold.number:
        raise InputError(f"{model_folder}: was trained on fold {card['fold']}, not on fold {fold.number}.")
    if card["split_hash"] != fold.split_hash:
        raise InputError(
            f"{model_folder}: was trained on another split ({card['split_hash']}) than fold {fold.number} of {folds} "
            f"({fold.split_hash}), so it may have seen its test people. Train it again on this split."
        )


def _check_grid(card: dict[str, Any], dataset: Dataset, model_folder: Path, dataset_folder: Path) -> None:
    same_grid = list(card["shape"]) == list(dataset.grid.shape) and np.allclose(card["affine"], dataset.grid.affine)
    if not same_grid:
        raise InputError(f"{dataset_folder}: is on another grid than {model_folder}. Pack it again, or train again.")
    region = dataset.info.get("reference_region")
    if card.get("reference_region") != region:
        raise InputError(
            f"{dataset_folder}: SUVR is relative to {region}, but {model_folder} was trained on "
            f"{card.get('reference_region')}. Train again."
        )


def _fresh_part(out: Path) -> Path:
    """An empty folder beside `out` to build in. Refuses an `out` that holds anything but an earlier synthesis."""
    foreign = [path.name for path in out.iterdir()] if out.is_dir() else []
    foreign = [name for name in foreign if not name.endswith("_pet.nii.gz") and name != "synthesis.json"]
    if foreign:
        raise InputError(f"{out}: holds other files ({foreign[0]}). Choose a new or empty folder for --out.")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{part}: cannot be created ({error.strerror}). Choose a writable --out.") from error
    return part


def _replace(part: Path, out: Path) -> None:
    if out.is_dir():
        shutil.rmtree(out)
    part.rename(out)
