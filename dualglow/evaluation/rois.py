"""Mean uptake per atlas region on the model grid, for real PET, MRI and synthetic PET."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from nibabel.processing import resample_from_to

from dualglow.atlases import Atlas
from dualglow.errors import InputError
from dualglow.evaluation.heldout import read_on_grid
from dualglow.preprocess.grid import Grid
from dualglow.preprocess.pack import Dataset

REAL, MRI = "real", "mri"  # the `method` of rows measured on the real PET (SUVR) and on the T1 (0..1)
COLUMNS = ["pair_id", "method", "fold", "region", "n_voxels", "value"]


@dataclass(frozen=True)
class Regions:
    """An atlas on a grid: integer labels (X, Y, Z), 0 outside; the name of each label, in the atlas's order."""

    labels: np.ndarray
    names: dict[int, str]


def regions_on(atlas: Atlas, grid: Grid) -> Regions:
    """Bring an atlas to a grid by nearest neighbour. Small regions may lose all voxels; their means are then missing.

    Raises
    ------
    InputError
        If no label of the atlas falls on the grid.
    """
    resampled = resample_from_to(atlas.image, (grid.shape, grid.matrix), order=0)
    labels = np.rint(np.asarray(resampled.dataobj)).astype(np.int32)
    labels[~np.isin(labels, list(atlas.labels))] = 0
    if not labels.any():
        raise InputError(f"atlas {atlas.name}: no label falls on the model grid; it must be in MNI152 (RAS+ mm).")
    return Regions(labels, atlas.labels)


def roi_means(volume: np.ndarray, mask: np.ndarray, regions: Regions) -> pd.DataFrame:
    """Mean of a volume (X, Y, Z) over the part of each region that lies in the mask.

    Returns
    -------
    Columns region, n_voxels, value (unit of the volume); a region without voxels has n_voxels 0 and no value.
    """
    inside = regions.labels[mask]
    size = max(regions.names) + 1
    counts = np.bincount(inside, minlength=size)
    sums = np.bincount(inside, weights=volume[mask], minlength=size)
    keys = list(regions.names)
    with np.errstate(invalid="ignore"):
        values = sums[keys] / counts[keys]
    return pd.DataFrame({"region": list(regions.names.values()), "n_voxels": counts[keys], "value": values})


def both_sides(means: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Join left and right: the voxel-weighted mean of `<name>_L` and `<name>_R` under `<name>`, as a tidy table.

    Raises
    ------
    InputError
        If the atlas has no such region; the message names it.
    """
    bilateral = {side: name for name in names for side in (name, f"{name}_L", f"{name}_R")}
    chosen = means.assign(region=means["region"].map(bilateral)).dropna(subset=["region"])
    for name in names:
        if name not in set(chosen["region"]):
            raise InputError(f"the atlas has no region {name} (nor {name}_L, {name}_R): see its label table for names.")
    chosen["total"] = (chosen["value"] * chosen["n_voxels"]).fillna(0)
    keys = ["pair_id", "method", "fold", "region"]
    joined = chosen.groupby(keys, sort=False, dropna=False, as_index=False)[["n_voxels", "total"]].sum()
    joined["value"] = joined["total"] / joined["n_voxels"].replace(0, np.nan)
    order = {name: i for i, name in enumerate(names)}
    return joined.sort_values("region", key=lambda column: column.map(order), kind="stable", ignore_index=True)[COLUMNS]


def stems(names: list[str]) -> list[str]:
    """The regions' names without side, each once, in order."""
    return list(dict.fromkeys(name.removesuffix("_L").removesuffix("_R") for name in names))


def without_sides(means: pd.DataFrame) -> pd.DataFrame:
    """Join left and right of all regions of one volume (`roi_means`), in the atlas's order; others stay as they are."""
    joined = both_sides(means.assign(pair_id="", method="", fold=0), stems(list(means["region"])))
    return joined[["region", "n_voxels", "value"]]


def dataset_rois(dataset: Dataset, regions: Regions, pair_ids: list[str], channel: str) -> pd.DataFrame:
    """Region means of the dataset's own images, `channel` being `real` (PET, SUVR) or `mri` (T1, 0..1).

    Returns
    -------
    Tidy table with the columns of COLUMNS; `fold` is missing, since these images depend on no model.
    """
    index = {MRI: 0, REAL: 1}[channel]
    rows = zip(pair_ids, dataset.rows(pair_ids), strict=True)
    means = (
        (pair_id, roi_means(np.asarray(dataset.volumes[row, index]), np.asarray(dataset.masks[row]), regions))
        for pair_id, row in rows
    )
    return join([table.assign(pair_id=pair_id, method=channel, fold=None) for pair_id, table in means])


def synthesis_rois(
    dataset: Dataset, regions: Regions, method: str, fold: int | None, files: dict[str, Path]
) -> pd.DataFrame:
    """Region means of one fold's synthetic PETs (`files`: pair_id → NIfTI on the model grid, SUVR), as a tidy table."""
    tables = []
    for (pair_id, path), row in zip(files.items(), dataset.rows(list(files)), strict=True):
        means = roi_means(read_on_grid(path, dataset.grid), np.asarray(dataset.masks[row]), regions)
        tables.append(means.assign(pair_id=pair_id, method=method, fold=fold))
    return join(tables)


def join(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """One tidy table of several, or of none."""
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat([table.astype({"fold": "Int64"}) for table in tables], ignore_index=True)[COLUMNS]
