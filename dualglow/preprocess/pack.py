"""All pairs on the model grid as one memory-mapped array, and its loader."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dualglow.errors import InputError
from dualglow.files import read_json, read_table, reserve, write_json, write_table, written
from dualglow.preprocess.derivatives import derivative
from dualglow.preprocess.duplicates import Duplicates
from dualglow.preprocess.exclusions import EXCLUSIONS, usable_pairs
from dualglow.preprocess.grid import MODEL_GRID, Grid
from dualglow.preprocess.images import load_3d
from dualglow.preprocess.intensity import t1_to_unit

PERSON = ("group", "sex", "age")  # what a cohort may not know of a pair's person


@dataclass(frozen=True)
class Dataset:
    """Every pair of a cohort on the model grid; row i of all members is the same pair.

    volumes: (n, 2, x, y, z) float32 memory map; [:, 0] T1 in [0, 1], [:, 1] PET in SUVR; both 0 outside the brain.
    masks: (n, x, y, z) bool memory map, the brain. grid: x, y, z and the affine, voxel → RAS+ mm in MNI152.
    pairs: pairs.tsv; group, sex and age are always columns, all missing where the table does not have them.
    info: the content of grid.json (space, reference_region, simulated, ...).
    left_out: pairs of the cohort that are not here because preprocessing failed or a person excluded them.
    """

    volumes: np.ndarray
    masks: np.ndarray
    pairs: pd.DataFrame
    grid: Grid
    info: dict[str, Any]
    left_out: frozenset[str] = frozenset()

    @classmethod
    def load(cls, folder: Path) -> "Dataset":
        """Open a folder that `pack` wrote; raises InputError naming what is missing or does not fit."""
        info = read_json(folder / "grid.json")
        pairs = read_table(folder / "pairs.tsv", ["pair_id"])
        pairs = pairs.reindex(columns=list(dict.fromkeys([*pairs.columns, *PERSON])))
        volumes, masks = _open(folder / "volumes.npy"), _open(folder / "masks.npy")
        grid = Grid(tuple(info["shape"]), tuple(tuple(row) for row in info["affine"]))
        if volumes.shape != (len(pairs), 2, *grid.shape) or masks.shape != (len(pairs), *grid.shape):
            raise InputError(
                f"{folder}: volumes.npy {volumes.shape} and masks.npy {masks.shape} do not fit the {len(pairs)} pairs "
                f"and the grid {grid.shape}. Pack the dataset again."
            )
        return cls(volumes, masks, pairs, grid, info, _left_out(folder / EXCLUSIONS))

    def rows(self, pair_ids: Iterable[str]) -> np.ndarray:
        """Give the row of each pair; raises InputError naming pairs that the dataset lacks."""
        wanted = list(pair_ids)
        rows = pd.Index(self.pairs["pair_id"]).get_indexer(wanted)
        absent = [pair for pair, row in zip(wanted, rows, strict=True) if row < 0]
        if absent:
            raise InputError(f"the dataset lacks {len(absent)} pair(s): {', '.join(absent[:5])}. Pack it again.")
        return rows


def _left_out(path: Path) -> frozenset[str]:
    """Pairs in exclusions.tsv; none where there is no such table: the dataset is older, or made by other means."""
    return frozenset(read_table(path, ["pair_id"])["pair_id"]) if path.exists() else frozenset()


def _open(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be opened ({error}). Pack the dataset again.") from error
    return np.asarray(array) if array.ndim == 0 else array


def pack(
    pairs: Path, derivatives: Path, out: Path, reference: str, simulated: bool, exclude: Path | None = None
) -> None:
    """Write volumes.npy, masks.npy, pairs.tsv, exclusions.tsv and, last, grid.json from the derivatives of all pairs.

    Pairs whose preprocessing failed by its own numbers, and those in the table `exclude` (pair_id, reason), are left
    out; exclusions.tsv (pair_id, reason, detail) says why.

    Raises
    ------
    InputError
        If the table is empty or names a pair twice, two subjects have the same image, no pair is usable, `exclude`
        names an unknown pair, or a derivative is missing, damaged, not on the model grid or was made with another
        reference region.
    """
    table = read_table(pairs, ["pair_id"])
    if table.empty or table["pair_id"].duplicated().any():
        raise InputError(f"{pairs}: needs at least one pair and each only once.")
    table, excluded = usable_pairs(table, derivatives, exclude)
    n, shape = len(table), MODEL_GRID.shape
    volumes_path, masks_path = out / "volumes.npy", out / "masks.npy"
    with written(volumes_path) as volumes_part, written(masks_path) as masks_part:
        volumes = np.lib.format.open_memmap(volumes_part, mode="w+", dtype=np.float32, shape=(n, 2, *shape))
        masks = np.lib.format.open_memmap(masks_part, mode="w+", dtype=np.bool_, shape=(n, *shape))
        reserve(volumes_part)
        reserve(masks_part)
        duplicates, subjects = Duplicates(), table.get("subject", table["pair_id"]).astype(str)
        for row, (pair_id, subject) in enumerate(zip(table["pair_id"], subjects, strict=True)):
            _require_reference(derivatives, pair_id, reference)
            volumes[row], masks[row] = _pair(derivatives, pair_id)
            duplicates.add(pair_id, subject, dict(zip(("T1", "PET"), volumes[row], strict=True)))
        volumes.flush()
        masks.flush()
    write_table(table, out / "pairs.tsv")
    write_table(excluded, out / EXCLUSIONS)
    write_json(_card(reference, simulated, n, excluded), out / "grid.json")


def _card(reference: str, simulated: bool, n: int, excluded: pd.DataFrame) -> dict[str, Any]:
    return {
        "shape": list(MODEL_GRID.shape),
        "affine": [list(row) for row in MODEL_GRID.affine],
        "space": "MNI152 (nilearn's ICBM 2009a symmetric), voxel to RAS+ mm",
        "reference_region": reference,
        "channels": ["T1 in [0, 1]: 0.1 to 99.9 % within the brain mask", "PET in SUVR"],
        "simulated": simulated,
        "pairs": n,
        "left_out": {str(reason): int(count) for reason, count in excluded["reason"].value_counts().items()},
    }


def _pair(derivatives: Path, pair_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Read one pair: volumes (2, x, y, z) and mask (x, y, z)."""
    where = {"space": "MNI152", "res": "model"}
    mask = _on_model_grid(derivative(derivatives, pair_id, "anat", "mask", desc="brain", **where)) > 0
    t1 = _on_model_grid(derivative(derivatives, pair_id, "anat", "T1w", desc="brain", **where))
    pet = _on_model_grid(derivative(derivatives, pair_id, "pet", "pet", desc="suvr", **where))
    return np.stack([t1_to_unit(t1, mask), pet * mask]), mask


def _on_model_grid(path: Path) -> np.ndarray:
    image = load_3d(path)
    if not MODEL_GRID.holds(image):
        raise InputError(f"{path}: is not on the model grid {MODEL_GRID.shape} at 2.25 mm. Make it again: resample.")
    return np.asarray(image.dataobj)


def _require_reference(derivatives: Path, pair_id: str, reference: str) -> None:
    path = derivative(derivatives, pair_id, "pet", "qc", ".json", desc="suvr")
    found = read_json(path).get("reference_region")
    if found != reference:
        raise InputError(f"{path}: was made with the reference region {found}, not {reference}. Resample it again.")
