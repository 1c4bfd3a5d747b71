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
    """pair_ids of a fold's test part, in the table's order; raises ConfigError if the table has no such fold."""
    test = folds[(folds["fold"] == fold) & (folds["part"] == "test")]
    if test.empty:
        known = ", ".join(str(k) for k in sorted(folds["fold"].unique()))
        raise ConfigError(f"fold {fold} holds out no pair in folds.tsv, which has the folds {known}.")
    return test["pair_id"].tolist()


def synthesis_files(folder: Path, pair_ids: Iterable[str], suffix: str = "desc-synthetic_pet") -> dict[str, Path]:
    """The synthetic PETs of a fold: exactly one file `<pair_id>_<suffix>.nii.gz` per held-out pair, and no others.

    Raises
    ------
    InputError
        If files are missing, or are there for pairs that this fold does not hold out.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of synthetic PETs; run `dualglow synthesise` for this fold first.")
    ending = f"_{suffix}.nii.gz"
    expected = {pair_id: folder / f"{pair_id}{ending}" for pair_id in pair_ids}
    missing = [pair_id for pair_id, path in expected.items() if not path.is_file()]
    if missing:
        raise InputError(
            f"{folder}: lacks the synthetic PET of {_some(missing)} of {len(expected)} held-out pairs; "
            "synthesise them with this fold's model."
        )
    extra = sorted({path.name.removesuffix(ending) for path in folder.glob(f"*{ending}")} - set(expected))
    if extra:
        raise InputError(
            f"{folder}: holds the synthetic PET of {_some(extra)} that this fold does not hold out: folds.tsv has "
            "changed since, or the folder belongs to another fold. Synthesise the fold again."
        )
    return expected


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
    if data.shape != tuple(grid.shape) or not np.allclose(image.affine, grid.affine, atol=1e-3):
        raise InputError(
            f"{path}: has shape {data.shape} and origin {np.round(image.affine[:3, 3], 2).tolist()} mm, not the "
            f"dataset's grid {tuple(grid.shape)} at {np.round(grid.affine[:3, 3], 2).tolist()} mm."
        )
    if not np.isfinite(data).all():
        raise InputError(f"{path}: holds nan or infinite values; synthesise it again and see the model's training.tsv.")
    return data
