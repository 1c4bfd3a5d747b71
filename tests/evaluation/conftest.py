"""A small results tree on the model grid's box at 4.5 mm: painted regions, groups that differ in one region."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.nifti1 import Nifti1Image

from dualglow.evaluation.rois import Regions, regions_on
from dualglow.preprocess.grid import Grid

SHAPE = (32, 48, 32)
AFFINE = ((4.5, 0.0, 0.0, -69.0), (0.0, 4.5, 0.0, -124.5), (0.0, 0.0, 4.5, -63.0), (0.0, 0.0, 0.0, 1.0))
GROUPS = ("CN", "SMC", "EMCI", "MCI", "LMCI", "AD")
N, FOLDS = 48, 4


@pytest.fixture(scope="session")
def grid() -> Grid:
    return Grid(SHAPE, AFFINE)


@pytest.fixture(scope="session")
def regions(grid: Grid) -> Regions:
    from dualglow.atlases import atlas

    return regions_on(atlas("aal2"), grid)


@pytest.fixture
def results(tmp_path: Path, regions: Regions) -> Path:
    """48 simulated people in 4 folds; temporoparietal uptake falls with disease; `copy` = real + 0.1, `mean` = mean."""
    pairs, pet, mask = people(), volumes(regions), regions.labels > 0
    write_dataset(tmp_path / "dataset", pairs, pet, mask)
    test_fold = np.arange(N) // len(GROUPS) % FOLDS
    rows = [
        (fold, pair_id, subject, "test" if test_fold[i] == fold else "train")
        for fold in range(FOLDS)
        for i, (pair_id, subject) in enumerate(zip(pairs["pair_id"], pairs["subject"], strict=True))
    ]
    folds = pd.DataFrame(rows, columns=["fold", "pair_id", "subject", "part"])
    folds.to_csv(tmp_path / "folds.tsv", sep="\t", index=False)
    for fold in range(FOLDS):
        average = pet[test_fold != fold].mean(axis=0)
        for i in np.flatnonzero(test_fold == fold):
            for method, data in (("copy", pet[i] + 0.1 * mask), ("mean", average)):
                folder = tmp_path / "synthesis" / method / f"fold-{fold}"
                folder.mkdir(parents=True, exist_ok=True)
                write_volume(data, folder / f"{pairs['pair_id'][i]}_desc-synthetic_pet.nii.gz")
    return tmp_path


def people() -> pd.DataFrame:
    index = np.arange(N)
    return pd.DataFrame(
        {
            "pair_id": [f"sub-900S{9000 + i}_ses-20060523" for i in index],
            "subject": [f"900_S_{9000 + i}" for i in index],
            "group": [GROUPS[i % 6] for i in index],
            "sex": ["FM"[i % 2] for i in index],
            "age": 60.0 + index * 0.5,
        }
    )


def volumes(regions: Regions) -> np.ndarray:
    rng = np.random.default_rng(0)
    inside = regions.labels > 0
    affected = ("Cingulate_Post", "Precuneus", "Angular", "Parietal", "Temporal", "Hippocampus")
    changing = np.isin(regions.labels, [i for i, name in regions.names.items() if name.startswith(affected)])
    pet = np.zeros((N, *SHAPE), np.float32)
    for i in range(N):
        severity = (i % 6) / 5
        pet[i] = (1.2 + 0.02 * rng.standard_normal(SHAPE)) * inside - 0.4 * severity * changing
    return pet


def write_dataset(folder: Path, pairs: pd.DataFrame, pet: np.ndarray, mask: np.ndarray) -> None:
    folder.mkdir()
    mri = np.broadcast_to(0.5 * mask, pet.shape)
    np.save(folder / "volumes.npy", np.stack([mri, pet], axis=1).astype(np.float32))
    np.save(folder / "masks.npy", np.broadcast_to(mask, pet.shape))
    pairs.to_csv(folder / "pairs.tsv", sep="\t", index=False)
    info = {"shape": SHAPE, "affine": AFFINE, "space": "MNI152", "reference_region": "pons", "simulated": True}
    (folder / "grid.json").write_text(json.dumps(info))


def write_volume(data: np.ndarray, path: Path) -> None:
    nib.save(Nifti1Image(data.astype(np.float32), np.array(AFFINE)), path)
