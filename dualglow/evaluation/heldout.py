"""The pairs that a fold holds out, and the files of their synthetic PET."""

from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.nifti1 import Nifti1Image

from dualglow.errors import ConfigError, InputError
from dualglow.preprocess.grid import Grid


def held_out(folds: pd.DataFrame, fold: int) -> list[str]:
    """pair_ids of a fold's test part, perhaps none, in the table's order; raises ConfigError if it has no such fold."""
    rows = folds[folds["fold"] == fold]
    if rows.empty:
        known = ", ".join(str(k) for k in sorted(folds["fold"].unique()))
        raise ConfigError(f"fold {fold} is not in folds.tsv, which has the folds {known}.")
    return rows.loc[rows["part"] == "test", "pair_id"].tolist()


def synthesis_file(folder: Path, pair_id: str, kind: str = "synthetic") -> Path:
    """Name of a pair's synthetic PET (`kind` `synthetic`) or of its standard deviation (`std`)."""
    return folder / f"{pair_id}_desc-{kind}_pet.nii.gz"


def synthesis_files(folder: Path, pair_ids: Iterable[str]) -> dict[str, Path]:
    """The synthetic PETs of a fold: exactly one file per held-out pair, and no others.

    Raises
    ------
    InputError
        If files are missing, or are there for pairs that this fold does not hold out.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of synthetic PETs; run `dualglow synthesise` for this fold first.")
    expected = {pair_id: synthesis_file(folder, pair_id) for pair_id in pair_ids}
    missing = [pair_id for pair_id, path in expected.items() if not path.is_file()]
    if missing:
        raise InputError(
            f"{folder}: lacks the synthetic PET of {_some(missing)} of {len(expected)} held-out pairs; "
            "synthesise them with this fold's model."
        )
    extra = sorted(set(_found(folder)) - set(expected))
    if extra:
        raise InputError(
            f"{folder}: holds the synthetic PET of {_some(extra)} that this fold does not hold out: folds.tsv has "
            "changed since, or the folder belongs to another fold. Synthesise the fold again."
        )
    return expected


def synthesised_folds(folds: pd.DataFrame, root: Path, methods: list[str]) -> list[int]:
    """The folds that every method has a folder for below `root` (`<method>/fold-<k>`).

    Raises
    ------
    InputError
        If there is none, or if some methods have a fold that others lack: they could not be compared.
    """
    every = sorted(int(fold) for fold in folds["fold"].unique())
    have = {method: [fold for fold in every if (root / method / f"fold-{fold}").is_dir()] for method in methods}
    if not any(have.values()):
        raise InputError(f"{root}: holds no folder <method>/fold-<k> of {', '.join(methods)}; synthesise first.")
    if len({tuple(own) for own in have.values()}) > 1:
        which = "; ".join(f"{method}: {', '.join(map(str, own)) or 'none'}" for method, own in have.items())
        raise InputError(f"{root}: the methods have different folds ({which}); synthesise the same folds with each.")
    return have[methods[0]]


def every_synthesis(folds: pd.DataFrame, root: Path, methods: list[str]) -> dict[str, dict[str, Path]]:
    """For each method, pair_id → synthetic PET of the first fold that holds it out, by pair_id.

    Raises
    ------
    InputError
        If the methods have different folds, or files are missing or too many in one: then they are of another split.
    """
    found: dict[str, dict[str, Path]] = {method: {} for method in methods}
    for fold in synthesised_folds(folds, root, methods):
        held = held_out(folds, fold)
        for method, own in found.items() if held else ():
            found[method] = synthesis_files(root / method / f"fold-{fold}", held) | own
    return {method: dict(sorted(own.items())) for method, own in found.items()}


def _found(folder: Path) -> dict[str, Path]:
    ending = synthesis_file(folder, "").name
    return {path.name.removesuffix(ending): path for path in folder.glob(f"*{ending}")}


def _some(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"


def read_on_grid(path: Path, grid: Grid) -> np.ndarray:
    """Read a volume (X, Y, Z) that must lie on the grid; raises InputError if it does not, or holds nan or inf."""
    try:
        image = nib.load(path)
        assert isinstance(image, Nifti1Image)
        data = np.asarray(image.dataobj, dtype=np.float32)
    except Exception as error:  # nibabel and zlib raise many kinds on a damaged file
        raise InputError(f"{path}: cannot be read as NIfTI ({error}); synthesise it again.") from error
    if not grid.holds(image):
        raise InputError(
            f"{path}: has shape {data.shape} and origin {np.round(image.affine[:3, 3], 2).tolist()} mm, not the "
            f"dataset's grid {grid.shape} at {np.round(grid.matrix[:3, 3], 2).tolist()} mm; synthesise it again."
        )
    if not np.isfinite(data).all():
        raise InputError(f"{path}: holds nan or infinite values; synthesise it again and see the model's training.tsv.")
    return data
